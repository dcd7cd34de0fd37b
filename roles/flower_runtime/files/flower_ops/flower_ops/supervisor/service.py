# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of flower-supervisor.service."""

from __future__ import annotations

import fcntl
import os
import signal
import threading
import time
from collections.abc import Callable
from pathlib import Path

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.machine import processes
from flower_ops.machine.errors import NodeError
from flower_ops.machine.systemd import Systemd
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor.shelf import Shelf
from flower_ops.supervisor.supervisor import WAITING, Supervisor
from flower_ops.supervisor.view import LOCK
from flower_ops.supervisor.world import Machine

UNIT = "flower-superlink.service"


def serve(root: Path = Path("/"), stop: threading.Event | None = None, born: Callable[[], float] | None = None) -> int:
    """Supervise until SIGTERM. `born`: since when the SuperLink runs, seconds since the epoch."""
    if stop is None:
        stop = _until_told()
    places = Places(root)
    runtime = (root / "opt/flower/venv").resolve()
    with (places.runs / LOCK).open("a") as lock:
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


def born_by_systemd() -> float:
    """When systemd has started the SuperLink's process; 0 while it does not run."""
    try:
        pid = Systemd().state(UNIT).main_pid
    except NodeError:
        return 0.0
    return born(pid) if pid else 0.0


def born(pid: int) -> float:
    """When a process was started, seconds since the epoch; 0 for one that is gone."""
    age = processes.age(pid)
    return time.time() - age if age != float("inf") else 0.0


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
