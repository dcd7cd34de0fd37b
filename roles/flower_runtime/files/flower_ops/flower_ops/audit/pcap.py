# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures in files that tcpdump and Wireshark read too, limited in size: the oldest half makes room.

Each packet has the header of Linux' cooked captures, which says whether it left the machine or came in.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

#: Kind of link in the file's header: Linux cooked, version 1.
COOKED = 113
#: Packet of ours, on its way out.
OUTGOING = 4
LARGEST = 1 << 18
_FILE = struct.Struct("=IHHiIII")
_PACKET = struct.Struct("=IIII")
_LINK = struct.Struct("!HHH8sH")
_MAGIC = 0xA1B2C3D4


@dataclass(frozen=True)
class Record:
    """A packet of a capture: which way it went, its kind, and its bytes from the network layer on."""

    time: float
    outgoing: bool
    ethertype: int
    data: bytes
    length: int


class Ring:
    """Two files in a folder, together at most `limit` bytes. `lost`: bytes of packets that had to make room."""

    NAMES = ("capture-0.pcap", "capture-1.pcap")

    def __init__(self, folder: Path, limit: int) -> None:
        self._folder, self._half = folder, max(LARGEST, limit // 2)
        self.lost = 0
        self._sizes = [0, 0]
        self._now = 0
        self._stream = self._open()

    def _open(self) -> BinaryIO:
        path = self._folder / self.NAMES[self._now]
        path.unlink(missing_ok=True)
        stream = path.open("xb")
        path.chmod(0o600)
        stream.write(_FILE.pack(_MAGIC, 2, 4, 0, 0, LARGEST, COOKED))
        return stream

    def add(self, outgoing: bool, ethertype: int, data: bytes | memoryview, length: int) -> None:
        """Append a packet."""
        moment = time.time()
        head = _LINK.pack(OUTGOING if outgoing else 0, 1, 0, bytes(8), ethertype)
        size = len(head) + len(data)
        if self._sizes[self._now] + size > self._half:
            self._stream.close()
            self._now = 1 - self._now
            self.lost += self._sizes[self._now]
            self._sizes[self._now] = 0
            self._stream = self._open()
        self._sizes[self._now] += size
        whole = len(head) + length
        self._stream.write(_PACKET.pack(int(moment), int(moment % 1 * 1e6), size, whole) + head)
        self._stream.write(data)

    def close(self) -> None:
        """Write out what is buffered."""
        self._stream.close()


def captures(folder: Path) -> list[Path]:
    """Files of a ring, the older one first."""
    found = [folder / name for name in Ring.NAMES if (folder / name).is_file()]
    return sorted(found, key=_first)


def _first(path: Path) -> float:
    return next((record.time for record in read(path)), 0.0)


def read(path: Path) -> Iterator[Record]:
    """Packets of a file in either byte order; one that is cut off ends it. ValueError for another kind of file."""
    with path.open("rb") as stream:
        head = stream.read(_FILE.size)
        order = "<" if head[:4] == struct.pack("<I", _MAGIC) else ">"
        if len(head) < _FILE.size or struct.unpack(f"{order}I", head[:4])[0] != _MAGIC:
            raise ValueError(f"{path} is no capture")
        if struct.unpack(f"{order}IHHiIII", head)[6] != COOKED:
            raise ValueError(f"{path} is a capture of another kind of link")
        while len(head := stream.read(_PACKET.size)) == _PACKET.size:
            seconds, parts, size, whole = struct.unpack(f"{order}IIII", head)
            data = stream.read(size)
            if len(data) < size or size < _LINK.size:
                return
            kind, _hardware, _length, _address, ethertype = _LINK.unpack_from(data)
            yield Record(seconds + parts / 1e6, kind == OUTGOING, ethertype, data[_LINK.size :], whole - _LINK.size)
