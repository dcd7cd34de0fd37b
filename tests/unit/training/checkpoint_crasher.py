# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that has the saving of a checkpoint end badly, for test_checkpoint_crash.py.

    checkpoint_crasher.py calls FOLDER          the calls to the system that saving makes, a JSON list each
    checkpoint_crasher.py kill FOLDER SHARE     for each of them in turn, a process that is killed (SIGKILL) before it;
                                                of the data of a write, SHARE (0 to 1) is written then
    checkpoint_crasher.py fail FOLDER CODE      for each of them in turn, a process in which it fails with this code
    checkpoint_crasher.py forever FOLDER SIZE   save one round after the other, and print its number after each

The processes of kill and fail are forks, in FOLDER/1, FOLDER/2 and so on, in which the rounds 3 and 4 stand and 5 is
saved; of each is printed [exit status, what it said].
"""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

from checkpoint_support import checkpoint
from flower_ops.training.checkpoint import CheckpointError, Store

NAMES = ("open", "fchmod", "write", "lseek", "fsync", "close", "replace", "unlink", "symlink")
Call = Callable[..., Any]


def watch(before: Callable[[int, str, Call, tuple[Any, ...]], None]) -> None:
    """Have it called with number, name and arguments of each call that saving makes, before the call."""
    numbers = count(1)

    def watched(name: str, call: Call) -> Call:
        def instead(*arguments: Any) -> Any:
            before(next(numbers), name, call, arguments)
            return call(*arguments)

        return instead

    for name in NAMES:
        setattr(os, name, watched(name, getattr(os, name)))
    fcntl.flock = watched("flock", fcntl.flock)


def standing(folder: Path) -> Store:
    """A store in which the rounds 3 and 4 stand."""
    store = Store(folder, keep=2)
    for number in (3, 4):
        store.save(checkpoint(number))
    return store


def calls(folder: Path) -> list[list[str]]:
    """Names and arguments, those of bytes as their length."""
    made: list[list[str]] = []

    def note(number: int, name: str, call: Call, arguments: tuple[Any, ...]) -> None:
        made.append([name, *(str(one.nbytes if isinstance(one, memoryview) else one) for one in arguments)])

    store = standing(folder)
    watch(note)
    store.save(checkpoint(5))
    return made


def end_badly(store: Store, at: int, mode: str, how: float) -> str:
    """Save round 5 with call `at` ending badly; what the error says, empty when there was none."""

    def spoil(number: int, name: str, call: Call, arguments: tuple[Any, ...]) -> None:
        if number == at and mode == "kill":
            if name == "write":
                handle, data = arguments
                call(handle, data[: int(len(data) * how)])
            os.kill(os.getpid(), signal.SIGKILL)
        if number == at:
            if name == "close":
                call(*arguments)
            raise OSError(int(how), os.strerror(int(how)))

    watch(spoil)
    try:
        store.save(checkpoint(5))
    except CheckpointError as error:
        return str(error)
    return ""


def in_a_fork(work: Callable[[], str]) -> tuple[int, str]:
    """Exit status (negative: the signal) and answer."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answer = work().encode()
            os.write(writing, answer)
            status = 0
        finally:
            os._exit(status)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        answer = stream.read()
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), answer.decode()


def main(mode: str, folder: Path, how: float = 0) -> None:
    """Print one JSON value a line."""
    if mode == "forever":
        store = Store(folder, keep=2)
        for number in count(1):
            store.save(checkpoint(number, size=int(how)))
            print(number, flush=True)
    made = json.loads(in_a_fork(lambda: json.dumps(calls(folder / "calls")))[1])
    if mode == "calls":
        for call in made:
            print(json.dumps(call))
        return
    for at in range(1, len(made) + 1):
        store = standing(folder / str(at))
        print(json.dumps(in_a_fork(lambda store=store, at=at: end_badly(store, at, mode, how))))  # type: ignore[misc]


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(float, sys.argv[3:]))
