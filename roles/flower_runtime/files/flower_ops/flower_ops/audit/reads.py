# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether anybody opened the samples while the node was watched, asked of the kernel (inotify).

An app that trains on something else cannot leak them, and an audit of it says nothing about apps that do read them.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Sequence
from pathlib import Path

#: A file was opened; it was a folder.
OPEN, IS_FOLDER = 0x20, 0x40000000
_EVENT = struct.Struct("iIII")
_ROOM = 1 << 16


class Reads:
    """Watches the folders, with all below them, from when it is made until close()."""

    def __init__(self, folders: Sequence[Path]) -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        self._opened: set[tuple[int, bytes]] = set()
        self._stream = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._watches = 0
        for folder in folders:
            for place, _folders, _names in os.walk(folder):
                if self._stream >= 0 and libc.inotify_add_watch(self._stream, os.fsencode(place), OPEN) >= 0:
                    self._watches += 1

    def count(self) -> int | None:
        """How many files were opened until now; None where the kernel does not tell."""
        if not self._watches:
            return None
        while True:
            try:
                data = os.read(self._stream, _ROOM)
            except BlockingIOError:
                return len(self._opened)
            at = 0
            while at < len(data):
                folder, what, _cookie, length = _EVENT.unpack_from(data, at)
                at += _EVENT.size
                if not what & IS_FOLDER:
                    self._opened.add((folder, data[at : at + length].rstrip(b"\0")))
                at += length

    def close(self) -> None:
        """Watch no longer."""
        if self._stream >= 0:
            os.close(self._stream)
            self._stream, self._watches = -1, 0
