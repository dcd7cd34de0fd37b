# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of flower-supervisor.service."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.machine import foreign, processes
from flower_ops.machine.errors import NodeError
from flower_ops.machine.systemd import Systemd
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor.shelf import Shelf
from flower_ops.supervisor.supervisor import WAITING, Supervisor
from flower_ops.supervisor.view import LOCK
from flower_ops.supervisor.world import Machine

UNIT = "flower-superlink.service"


def serve(root: Path = Path("/"), stop: threading.Event | None = None, born: Callable[[], str] | None = None) -> int:
    """Supervise until SIGTERM. `born`: which process the SuperLink is, empty for none."""
    if stop is None:
        stop = _until_told()
    places = Places(root)
    runtime = (root / "opt/flower/venv").resolve()
    with os.fdopen(foreign.opened(places.runs / LOCK, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "a") as lock:
        # A command that a killed supervisor has started holds it too: what it submits must be known before we submit.
        while not _taken(lock.fileno()):
            if stop.wait(1.0):
                return 0
        world = Machine(places, born or born_by_systemd, lock.fileno())
        supervisor = Supervisor(world, Shelf(places))
        told = ""
        try:
            while not stop.is_set() and (root / "opt/flower/venv").resolve() == runtime:
                pause = WAITING
                try:
                    pause, told = supervisor.tick(), ""
                except (RunError, FlwrCliError, OSError) as error:
                    if str(error) != told:
                        print(f"This look failed: {error}", flush=True)
                    told = str(error)
                stop.wait(pause)
        finally:
            world.rest()
    return 0


def born_by_systemd() -> str:
    """The process that systemd has started for the SuperLink; empty while it does not run."""
    try:
        pid = Systemd().state(UNIT).main_pid
    except NodeError:
        return ""
    return born(pid) if pid else ""


def born(pid: int) -> str:
    """Which process that is, by when it was started; empty for one that is gone."""
    return processes.identity(pid)


def _taken(handle: int) -> bool:
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    os.set_inheritable(handle, False)
    return True


def _until_told() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
