# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services as a service manager runs them: own environment, own log, and at the end nothing of them is left."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path

#: Environment variable by which processes are found again.
MARK = "FLOWER_LANE_MARK"
_given: set[int] = set()


def free_port() -> int:
    """A port on loopback that nobody listens on, and that was not given before."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in _given:
            _given.add(port)
            return port


def wait_until(true: Callable[[], object], seconds: float, what: str) -> None:
    """Wait for a condition; AssertionError says what did not come."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"after {seconds:.0f} s: {what}"
        time.sleep(0.2)


class Service:
    """A program that can be started again and again; its output is added to one log file."""

    def __init__(self, command: list[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        self.command, self.log = command, log
        self._folder = folder
        self._mark = uuid.uuid4().hex
        self._environment = {**environment, MARK: self._mark}
        self._process: subprocess.Popen[bytes] | None = None
        self._read_from = 0

    def start(self, **more: str) -> None:
        """Start it, with more environment this time."""
        self._read_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command,
                env={**self._environment, **more},
                cwd=self._folder,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def said(self) -> str:
        """What it has printed since its last start."""
        with self.log.open("rb") as log:
            log.seek(self._read_from)
            return log.read().decode("utf-8", "replace")

    @property
    def running(self) -> bool:
        """Whether the program itself runs."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int | None:
        """Id of the program's process while it runs."""
        return self._process.pid if self._process is not None and self.running else None

    def family(self) -> list[int]:
        """Process ids of the program and of all that it has started."""
        return _marked(self._mark)

    def kill(self) -> None:
        """kill -9 of the program; what it has started ends with it, as a unit's control group does."""
        assert self._process is not None and self.running, "there is nothing to kill"
        self._process.kill()
        self._process.wait()
        end_all(self._mark)
        self._process = None

    def stop(self) -> int:
        """End it and everything it has started, by process id as a unit's control group is ended. Its exit status."""
        if self._process is None:
            return 0
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            status = self._process.wait(60)
        except subprocess.TimeoutExpired:
            self._process.kill()
            status = self._process.wait()
        end_all(self._mark)
        self._process = None
        return status


def end_all(mark: str) -> None:
    """End every process that has inherited this mark, wherever it has gone since."""
    begun = time.monotonic()
    while left := _marked(mark):
        passed = time.monotonic() - begun
        assert passed < 30, f"processes do not end: {left}"
        for pid in left:
            _signal(pid, signal.SIGTERM if passed < 5 else signal.SIGKILL)
        time.sleep(0.1)


def processes_told(entry: str) -> set[int]:
    """Ids of the processes that have an entry in their environment which begins so."""
    found = set()
    for place in Path("/proc").iterdir():
        if place.name.isdecimal():
            try:
                entries = (place / "environ").read_bytes().split(b"\0")
            except OSError:
                continue
            if any(one.startswith(entry.encode()) for one in entries):
                found.add(int(place.name))
    return found


def _marked(mark: str) -> list[int]:
    return sorted(processes_told(f"{MARK}={mark}"))


def _signal(pid: int, number: int) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
