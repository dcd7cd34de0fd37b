# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New lines of a service's journal, without asking for them again and again."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import subprocess
from collections.abc import Iterator
from typing import Protocol

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
#: Bytes that one look takes in at most; a service that floods its log is read in parts.
_AT_ONCE = 1 << 20


class Lines(Protocol):
    """Where log lines come from."""

    def read(self) -> list[str]:
        """Lines since the last call; empty when there are none, and then nobody waits for any."""

    def close(self) -> None:
        """No more lines are wanted."""


class Journal:
    """Follows the journal of a unit through one journalctl, which is started again should it end."""

    def __init__(self, unit: str, command: tuple[str, ...] = ()) -> None:
        follow = ("journalctl", "--quiet", "--no-pager", "--follow", "--lines=0", "--output=cat", "--unit", unit)
        self._command = command or follow
        self._process: subprocess.Popen[bytes] | None = None
        self._rest = b""

    def read(self) -> list[str]:
        """See Lines."""
        ended = self._process is not None and self._process.poll() is not None
        if self._process is None:
            self._start()
        found = b"".join(self._available())
        *lines, self._rest = (self._rest + found).split(b"\n")
        if ended and len(found) < _AT_ONCE:
            # All that it left in its pipe has been read; nobody will complete its last line.
            lines += [self._rest] if self._rest else []
            self._rest = b""
            self._start()
        return [_COLOUR.sub("", line.decode(errors="replace")).strip() for line in lines]

    def close(self) -> None:
        """See Lines."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _start(self) -> None:
        if self._process is not None and self._process.stdout is not None:
            self._process.stdout.close()
        self._process = None
        with contextlib.suppress(OSError):
            # It must not hold the keeper up when it is gone: without a journal the keeper still sees the processes.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert self._process.stdout is not None
            pipe = self._process.stdout.fileno()
            os.set_blocking(pipe, False)
            with contextlib.suppress(OSError):
                # A pipe of the usual size would let a busy service's lines arrive minutes late.
                fcntl.fcntl(pipe, fcntl.F_SETPIPE_SZ, _AT_ONCE)

    def _available(self) -> Iterator[bytes]:
        if self._process is None or self._process.stdout is None:
            return
        left = _AT_ONCE
        # Where the pipe stayed small there is more at once.
        while left > 0:
            try:
                block = os.read(self._process.stdout.fileno(), left)
            except BlockingIOError:
                return
            if not block:
                return
            left -= len(block)
            yield block
