# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that are whole or not there: written aside, flushed to the disk, then renamed.

Every call to the operating system that writes goes through `os` here, so that a test can make each of them fail.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, TypeVar, cast

from flower_ops import durable

FILE_MODE, FOLDER_MODE = 0o640, 0o750
ASIDE = ".new-"
LOCK = ".lock"
BUFFER = 1 << 20

T = TypeVar("T")


class _Sink:
    """As much of a file as zipfile needs. Unlike io.BufferedWriter it keeps nothing that closing would write again."""

    def __init__(self, handle: int) -> None:
        self._handle, self._waiting = handle, bytearray()

    def write(self, data: bytes) -> int:
        self._waiting += data
        if len(self._waiting) >= BUFFER:
            self.flush()
        return len(data)

    def flush(self) -> None:
        data, self._waiting = memoryview(self._waiting), bytearray()
        while data:
            data = data[os.write(self._handle, data) :]

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self.flush()
        return os.lseek(self._handle, offset, whence)

    def tell(self) -> int:
        return os.lseek(self._handle, 0, os.SEEK_CUR) + len(self._waiting)


def write(place: Path, fill: Callable[[IO[bytes]], T]) -> T:
    """Put the file there in one step, with what `fill` writes. Raises OSError; then what was there before still is."""
    aside = place.with_name(f"{ASIDE}{os.getpid()}-{place.name}")
    handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        try:
            # Whatever the umask says.
            os.fchmod(handle, FILE_MODE)
            sink = _Sink(handle)
            answer = fill(cast("IO[bytes]", sink))
            sink.flush()
            os.fsync(handle)
        finally:
            # Network file systems tell of a full disk only here.
            os.close(handle)
        os.replace(aside, place)
    except BaseException:
        with suppress(OSError):
            os.unlink(aside)
        raise
    durable.sync(place.parent)
    return answer


def link(place: Path, target: str) -> None:
    """Put a relative symbolic link there in one step; where the file system has none, there is none."""
    aside = place.with_name(f"{ASIDE}{os.getpid()}-{place.name}")
    with suppress(FileNotFoundError):
        os.unlink(aside)
    try:
        os.symlink(target, aside)
        os.replace(aside, place)
    except OSError as error:
        with suppress(OSError):
            os.unlink(aside)
        if error.errno not in (errno.EPERM, errno.EOPNOTSUPP):
            raise
    else:
        durable.sync(place.parent)


@contextmanager
def alone(folder: Path, patience_s: float) -> Iterator[None]:
    """Be the only writer of a folder, and remove what writers that died left aside.

    Raises TimeoutError when another one keeps it for longer than `patience_s` seconds.
    """
    handle = os.open(folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        end = time.monotonic() + patience_s
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() >= end:
                    raise TimeoutError(f"{folder} is being written by another process") from None
                time.sleep(0.05)
                continue
            except OSError as error:
                # No locks on this file system: names aside hold the process id, and nothing is swept.
                if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS):
                    raise
            else:
                for left in folder.glob(f"{ASIDE}*"):
                    os.unlink(left)
            break
        yield
    finally:
        os.close(handle)
