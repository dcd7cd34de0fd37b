# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One call of `flower-ops run …` or `flower-ops training …` on the SuperLink, judged by its JSON answer."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Run = Callable[..., "tuple[int, str, str]"]


class RunFailed(Exception):
    """flower-ops refused or failed; the text is one sentence for a person."""


class RunCutOff(RunFailed):
    """flower-ops was ended by a signal before it could answer, as by a machine that shuts down."""


class RunCommands:
    """Commands of flower-ops on this machine; `run_command` is that of an AnsibleModule."""

    def __init__(self, run_command: Run, home: str = "/opt/flower") -> None:
        self._run_command = run_command
        self._home = home

    @property
    def installed(self) -> bool:
        """Whether this machine has flower-ops at all."""
        return os.path.exists(self._program)

    def submit(self, archive: str, run_config: dict[str, Any], check: bool = False) -> dict[str, Any]:
        """Unpack a packed app, submit it, remove it again (the SuperLink keeps its own copy)."""
        with self._unpacked(archive) as folder:
            # The configuration goes through standard input, so that no value shows in the process list.
            arguments = ["submit", "--app", folder, "--run-config", "-", *_check(check)]
            return self._call("run", arguments, data=json.dumps(run_config))

    def start(
        self, archive: str, run_config: dict[str, Any], name: str | None = None, check: bool = False
    ) -> dict[str, Any]:
        """Unpack a packed app and hand it to the supervisor, which keeps a copy; not again while the same is under way.

        After its end the same call begins a new training.
        """
        with self._unpacked(archive) as folder:
            arguments = ["start", "--once", "--app", folder, "--run-config", "-", *_check(check)]
            return self._call("training", arguments + (["--name", name] if name else []), data=json.dumps(run_config))

    def resume(self, training: str, run_config: dict[str, Any], check: bool = False) -> dict[str, Any]:
        """Go on with a training that has ended; one that is under way stays as it is, unless values differ."""
        arguments = ["resume", "--training", training, "--run-config", "-", *_check(check)]
        return self._call("training", arguments, data=json.dumps(run_config))

    def status(self, run_id: str, wait: float = 0, seen: str | None = None) -> dict[str, Any]:
        """State, rounds and files of a run; returns early when `progress` differs from `seen`."""
        return self._call("run", ["status", "--run-id", run_id, *_wait(wait, seen)])

    def training(self, name: str, wait: float = 0, seen: str | None = None) -> dict[str, Any]:
        """The same of a training."""
        return self._call("training", ["status", "--training", name, *_wait(wait, seen)])

    def file(self, folder: str, name: str, offset: int, state: str) -> dict[str, Any]:
        """A part of a file that a run left: `size`, `state`, and `content` in base64."""
        # With = because a value may begin with a dash.
        words = {"folder": folder, "file": name, "offset": offset, "state": state}
        return self._call("run", ["file", *(f"--{key}={value}" for key, value in words.items())])

    def stop(self, run_id: str) -> dict[str, Any]:
        """Stop a run; one that has finished stays as it is."""
        return self._call("run", ["stop", "--run-id", run_id])

    def withdraw(self, training: str, check: bool = False) -> dict[str, Any]:
        """Stop a training; one that has ended stays as it is."""
        return self._call("training", ["stop", "--training", training, *_check(check)])

    def runs(self, run_id: str | None = None) -> dict[str, Any]:
        """All that is known of one run, or of all: `runs` and `warnings`."""
        return self._call("run", ["info", *(["--run-id", run_id] if run_id else [])])

    def trainings(self) -> list[dict[str, Any]]:
        """All trainings, newest first."""
        return list(self._answer("training", ["list"]))

    def connection(self, name: str, address: str, certificates: str) -> dict[str, Any]:
        """How Flower's command line on another machine reaches this SuperLink."""
        words = ["--name", name, "--address", address, "--certificates", certificates]
        return self._call("run", ["connection", *words])

    @property
    def _program(self) -> str:
        return f"{self._home}/venv/bin/flower-ops"

    def _call(self, kind: str, arguments: list[str], data: str | None = None) -> dict[str, Any]:
        answer = self._answer(kind, arguments, data)
        if not isinstance(answer, dict):
            raise RunFailed(str(answer))
        return answer

    def _answer(self, kind: str, arguments: list[str], data: str | None = None) -> Any:
        if not self.installed:
            raise RunFailed(
                f"There is no {self._program} on this machine; it is no SuperLink of this collection, "
                "run playbooks/single_site.yml first or name the right host."
            )
        status, out, err = self._run_command([self._program, kind, *arguments, "--json"], data=data)
        try:
            answer = json.loads(out.strip().splitlines()[-1])
        except (ValueError, IndexError):
            said = (err or out).strip().splitlines()
            text = f"flower-ops {kind} {arguments[0]} gave no answer: {said[-1] if said else status}."
            # As Python tells a signal, and as a shell does.
            raise (RunCutOff if status < 0 or status > 128 else RunFailed)(text) from None
        if isinstance(answer, dict) and "error" in answer:
            raise RunFailed(str(answer["error"]))
        return answer

    @contextmanager
    def _unpacked(self, archive: str) -> Iterator[str]:
        parent = f"{self._home}/apps"
        if not os.path.isdir(parent):
            raise RunFailed(f"There is no {parent} on this machine; apply the role superlink first.")
        # Not in there: that folder belongs to the account of apps, which could put a link in the place of ours.
        folder = tempfile.mkdtemp(prefix="app-", dir=self._home)
        try:
            with tarfile.open(archive) as packed:
                for member in packed.getmembers():
                    _check_member(member)
                    packed.extract(member, folder, set_attrs=False)
            _show(folder, os.stat(parent).st_gid)
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def _check(check: bool) -> list[str]:
    return ["--check"] if check else []


def _wait(wait: float, seen: str | None) -> list[str]:
    return ["--wait", str(wait), *(["--seen", seen] if seen is not None else [])]


def _check_member(member: tarfile.TarInfo) -> None:
    """Only plain files below the folder: the archive was packed on another machine."""
    parts = member.name.split("/")
    if not member.isfile() or member.name.startswith("/") or ".." in parts:
        raise RunFailed(f"The packed app holds {member.name!r}, which is no plain file below the app directory.")


def _show(folder: str, group: int) -> None:
    """Let the group read everything, and change nothing: Flower's command line runs as an account of that group."""
    for place, _subfolders, names in os.walk(folder):
        for name in (".", *names):
            path = os.path.join(place, name)
            os.chmod(path, 0o750 if name == "." else 0o640)
            if os.geteuid() == 0:
                os.chown(path, -1, group, follow_symlinks=False)
