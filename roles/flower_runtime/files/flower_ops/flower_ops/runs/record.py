# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The record of a run: one JSON file that the watcher writes and everybody reads, so that asking costs nothing."""

from __future__ import annotations

import contextlib
import json
import os
import platform
import pwd
import re
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any

from flower_ops import durable as disk
from flower_ops.flower_cli.flwr_cli import FlwrCli
from flower_ops.machine import foreign
from flower_ops.runs.errors import NoRecord, RunError

SERVICE_USER = "flower"
RUN_ID = re.compile(r"[0-9]{1,20}")


@dataclass(frozen=True)
class Places:
    """Where runs live on the SuperLink; everything below `root`."""

    root: Path = Path("/")

    @property
    def runs(self) -> Path:
        """Folder of records and of one output folder per run."""
        return self.root / "opt/flower/runs"

    @property
    def user(self) -> str | None:
        """Account that owns what runs write; None below another root, where nothing changes accounts."""
        return SERVICE_USER if self.root == Path("/") else None

    def record(self, run_id: str) -> Path:
        """The record of a run; RunError for something that is not a run id (it becomes part of a path)."""
        if not RUN_ID.fullmatch(run_id):
            raise RunError(f"{run_id!r} is not a run id; a run id is a number, see 'flower-ops run list'.")
        return self.runs / f"{run_id}.json"

    def cli(self) -> FlwrCli:
        """Flower's command line interface of this SuperLink."""
        binary = os.environ.get("FLOWER_OPS_FLWR") if self.user is None else None
        return FlwrCli(binary or self.root / "opt/flower/venv/bin/flwr", self.root / "opt/flower/cli", user=self.user)


def new_record(run_id: str, app: Mapping[str, Any], output_dir: Path, training: str = "") -> dict[str, Any]:
    """The record of a run that was just submitted; `training` is the supervised one that it belongs to."""
    return {
        "run_id": run_id,
        "app": dict(app),
        "training": training or None,
        "status": "pending",
        "reason": None,
        "exception": None,
        "degraded": False,
        "submitted_at": timestamp(),
        "started_at": None,
        "finished_at": None,
        "duration_s": None,
        "rounds": [],
        "initial": None,
        "num_rounds": None,
        "waiting": None,
        "nodes": None,
        "bytes_sent": None,
        "bytes_recv": None,
        "output_dir": str(output_dir),
        "log_tail": [],
        "versions": versions(),
        "watcher": None,
        "revision": 0,
    }


def versions() -> dict[str, str | None]:
    """Versions of what takes part on the SuperLink; read from metadata, importing Flower would take a second."""
    found: dict[str, str | None] = {"python": platform.python_version()}
    for name, distribution in (("flwr", "flwr"), ("flower_ops", "flower-ops")):
        try:
            found[name] = metadata.version(distribution)
        except metadata.PackageNotFoundError:
            found[name] = None
    return found


def is_finished(record: Mapping[str, Any]) -> bool:
    """Whether the run has ended, well or not."""
    return str(record["status"]).startswith("finished")


def load(path: Path) -> dict[str, Any]:
    """Read a record; NoRecord when there is none, another RunError when it cannot be read."""
    try:
        content = foreign.load(path)
    except FileNotFoundError:
        raise NoRecord(
            f"There is no record of run {path.stem} in {path.parent}; 'flower-ops run list' shows the runs it knows."
        ) from None
    except (OSError, ValueError) as error:
        raise RunError(f"The record {path} cannot be read: {error}.") from error
    if not isinstance(content, dict):
        raise RunError(f"The record {path} does not describe a run; remove the file.")
    return content


def save(path: Path, record: dict[str, Any], owner: str | None = None) -> None:
    """Replace a record in one step, with the next revision number."""
    record["revision"] = int(record.get("revision", 0)) + 1
    write_atomically(path, json.dumps(record, indent=1, allow_nan=False) + "\n", owner)


def write_atomically(path: Path, text: str, owner: str | None = None, mode: int = 0o644, durable: bool = False) -> None:
    """Write a file so that a reader sees the old content or the new, never a part; `durable`: after a power cut too."""
    temporary = ""
    try:
        # Training code may write into this folder: a name that it can guess could be a link of its own making.
        handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            os.fchmod(stream.fileno(), mode)
            give_to(stream.fileno(), owner)
            if durable:
                stream.flush()
                os.fsync(stream.fileno())
        os.replace(temporary, path)
        if durable:
            disk.sync(path.parent)
    except OSError as error:
        if temporary:
            with contextlib.suppress(OSError):
                os.unlink(temporary)
        raise RunError(
            f"Cannot write {path}: {error.strerror}; are the folder's owner and free space right?"
        ) from error


def give_to(place: Path | int, owner: str | None) -> None:
    """Hand a file (path or open file) to an account, when we are root and it exists; of a link the link itself."""
    if owner is None or os.geteuid() != 0:
        return
    with contextlib.suppress(KeyError):
        account = pwd.getpwnam(owner)
        os.chown(place, account.pw_uid, account.pw_gid, follow_symlinks=isinstance(place, int))


def timestamp(seconds: float | None = None) -> str:
    """UTC time as ISO 8601 with a Z."""
    moment = datetime.fromtimestamp(time.time() if seconds is None else seconds, tz=timezone.utc)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
