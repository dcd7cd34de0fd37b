# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New lines of a service's journal, without asking for them again and again."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
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
        if self._process is None or self._process.poll() is not None:
            self._start()
        data = self._rest + self._available()
        *lines, self._rest = data.split(b"\n")
        return [_COLOUR.sub("", line.decode(errors="replace")).strip() for line in lines]

    def close(self) -> None:
        """See Lines."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait()

    def _start(self) -> None:
        with contextlib.suppress(OSError):
            # It must not hold the keeper up when it is gone: without a journal the keeper still sees the processes.
            self._process = subprocess.Popen(
                self._command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
            )
            assert self._process.stdout is not None
            os.set_blocking(self._process.stdout.fileno(), False)

    def _available(self) -> bytes:
        if self._process is None or self._process.stdout is None:
            return b""
        try:
            return os.read(self._process.stdout.fileno(), _AT_ONCE)
        except BlockingIOError:
            return b""
