# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Programs that are gone afterwards, with all that they have started."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Mapping
from pathlib import Path

MARK = "FLOWER_LOCAL_SIM"
GRACE_S = 10.0


def free_ports(count: int) -> list[int]:
    """Ports on loopback that nobody listens on."""
    probes = [socket.socket() for _port in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [int(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Processes:
    """Programs of one simulation, which lives in a folder; each writes into a log of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.mark = os.environ.get(MARK) or uuid.uuid4().hex
        # The process that follows a run is started elsewhere and inherits this.
        os.environ[MARK] = self.mark
        self.logs: list[Path] = []
        self._running: list[subprocess.Popen[bytes]] = []

    def start(self, command: list[str], environment: Mapping[str, str], folder: Path, log: Path) -> None:
        """Start a program in a folder."""
        self.logs.append(log)
        with log.open("wb") as stream:
            self._running.append(
                subprocess.Popen(
                    command,
                    env={**environment, MARK: self.mark},
                    cwd=folder,
                    stdin=subprocess.DEVNULL,
                    stdout=stream,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            )

    def all_run(self) -> bool:
        """Whether none has ended."""
        return all(one.poll() is None for one in self._running)

    def stop(self) -> None:
        """End them and whatever they have left behind."""
        for one in reversed(self._running):
            one.terminate()
        end = time.monotonic() + GRACE_S
        for one in self._running:
            try:
                one.wait(max(0.1, end - time.monotonic()))
            except subprocess.TimeoutExpired:
                one.kill()
                one.wait()
        self._running.clear()
        # Flower's helpers have sessions of their own, and some outlive what started them.
        for kind in (signal.SIGTERM, signal.SIGKILL):
            end = time.monotonic() + GRACE_S
            while (left := self._left()) and time.monotonic() < end:
                for pid in left:
                    _signal(pid, kind)
                time.sleep(0.2)
        os.environ.pop(MARK, None)

    def _left(self) -> list[int]:
        mark = f"{MARK}={self.mark}".encode()
        # A flwr command gets no environment but its own, so it lacks the mark.
        home = f"FLWR_HOME={self.folder}/".encode()
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                words = (place / "environ").read_bytes().split(b"\0")
                ours = mark in words or any(word.startswith(home) for word in words)
                if ours and int(place.name) != os.getpid():
                    found.append(int(place.name))
            except OSError:
                continue
        return found


def _signal(pid: int, kind: signal.Signals) -> None:
    try:
        os.kill(pid, kind)
    except ProcessLookupError:
        return
