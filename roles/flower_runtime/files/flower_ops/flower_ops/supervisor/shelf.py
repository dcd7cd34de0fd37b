# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings on disk: what was asked for, which only root writes, and what the supervisor remembers of it.

    /opt/flower/trainings/<name>/asked.json   root, for the supervisor to read; beside it app/, if one was handed over
    /opt/flower/runs/<name>.training.json     the supervisor's memory
    /opt/flower/runs/supervisor.json          what the keeper publishes, see keeper/run_state.py

Apps run as the account of the supervisor: they could write whatever it can, and must not change what was asked for.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from flower_ops import durable
from flower_ops.machine import foreign
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places, write_atomically
from flower_ops.supervisor.model import Asked, Attempt, Memory, State

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
ASKED, SUMMARY = "asked.json", "supervisor.json"
#: Seconds to wait for another one who asks, and may copy an app or remove checkpoints.
PATIENCE = 60.0


class Shelf:
    """The trainings of one SuperLink."""

    def __init__(self, places: Places) -> None:
        self.places = places

    @property
    def folder(self) -> Path:
        """One folder per training."""
        return self.places.root / "opt/flower/trainings"

    def all(self) -> list[Asked]:
        """What was asked for, oldest first; a file that is damaged is passed over."""
        found = [one for path in self.folder.glob(f"*/{ASKED}") if (one := _asked(path)) is not None]
        return sorted(found, key=lambda one: (one.at, one.name))

    def one(self, name: str) -> Asked:
        """A training by its name; RunError where there is none."""
        asked = _asked(self.folder / name / ASKED) if NAME.fullmatch(name) else None
        if asked is None:
            known = ", ".join(one.name for one in self.all()) or "none"
            raise RunError(f"There is no training {name} on this SuperLink; it knows: {known}.")
        return asked

    def ask(self, asked: Asked) -> None:
        """Write down what is asked for. The folder is readable for the group of the service, where there is one."""
        folder = self.folder / asked.name
        try:
            for place in (self.folder, folder):
                place.mkdir(mode=0o750, parents=True, exist_ok=True)
                own(place, self.places)
            durable.sync(self.folder)
        except OSError as error:
            raise RunError(f"{folder} cannot be made ({error.strerror}); only root may ask for trainings.") from error
        text = json.dumps(asdict(asked), indent=1) + "\n"
        write_atomically(folder / ASKED, text, mode=0o640, durable=True)
        own(folder / ASKED, self.places)

    def recall(self, name: str) -> Memory:
        """What is remembered of a training; nothing where it cannot be read, because Flower's list tells most of it."""
        try:
            found = foreign.load(self._memory(name))
            attempts = tuple(Attempt(**one) for one in found.pop("attempts"))
            return Memory(**{**found, "attempts": attempts, "state": State(found["state"])})
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return Memory()

    def keep(self, name: str, memory: Memory) -> None:
        """Write memory down, whole or not at all, and for good."""
        text = json.dumps({**asdict(memory), "state": memory.state.value}, indent=1) + "\n"
        write_atomically(self._memory(name), text, self.places.user, durable=True)

    def forget(self, name: str) -> None:
        """Remember nothing of a training; OSError."""
        self._memory(name).unlink(missing_ok=True)

    def tell(self, summary: dict[str, Any]) -> None:
        """What the keeper shall publish."""
        write_atomically(self.places.runs / SUMMARY, json.dumps(summary) + "\n", self.places.user)

    def _memory(self, name: str) -> Path:
        return self.places.runs / f"{name}.training.json"


def own(place: Path, places: Places) -> None:
    """Let the service's group read what root has written; the file belongs to root, so that no app may change it."""
    if places.user is None or os.geteuid() != 0:
        return
    import grp

    try:
        os.chown(place, 0, grp.getgrnam(places.user).gr_gid, follow_symlinks=False)
    except KeyError:
        raise RunError(
            f"The group {places.user} does not exist on this machine; apply the role flower_runtime first."
        ) from None


@contextlib.contextmanager
def alone(shelf: Shelf, check: bool) -> Iterator[None]:
    """One at a time: two who ask for the same at once shall not both find that nobody has. RunError after PATIENCE."""
    if check:
        yield
        return
    try:
        shelf.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        own(shelf.folder, shelf.places)
        # Not for the group to read: whoever opens it can lock it, and an app could keep everybody out.
        lock = os.fdopen(os.open(shelf.folder / ".lock", os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC, 0o600), "w")
        os.chmod(lock.fileno(), 0o600)
    except OSError as error:
        text = f"{shelf.folder} cannot be written ({error.strerror}); only root may ask for trainings."
        raise RunError(text) from error
    with lock:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    kept = f"{shelf.folder} has been kept by another command for {PATIENCE:.0f} s"
                    raise RunError(f"{kept}; try again after its end.") from None
                time.sleep(0.05)
                continue
            break
        yield


def _asked(path: Path) -> Asked | None:
    try:
        found = foreign.load(path)
        known = {one.name for one in fields(Asked)}
        asked = Asked(**{key: value for key, value in found.items() if key in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    return asked if asked.name == path.parent.name and NAME.fullmatch(asked.name) else None
