# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rows of SQLite that are longer than a page, put together again from a database or from its log.

SQLite cuts a long row and puts a number between its parts, which breaks whatever is packed in it. The files are read as
they are, for a reader of SQLite's own would see neither rows that were deleted since nor the older states in the log.
"""

from __future__ import annotations

import struct
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

DATABASE, LOGS = b"SQLite format 3\0", (b"\x37\x7f\x06\x82", b"\x37\x7f\x06\x83")
#: Header of a log, and of each page in it.
LOG, FRAME = 32, 24
#: Pages that hold rows: of tables, and of indexes (also of tables WITHOUT ROWID), with the length of their header.
TABLE_LEAF = 0x0D
HEADERS = {TABLE_LEAF: 8, 0x0A: 8, 0x02: 12}
SMALLEST, LARGEST = 512, 1 << 16
#: The header of a database is on its first page.
FIRST = 100


@dataclass(frozen=True)
class Row:
    """A row: where its beginning lies in the file, and its parts, each of one page."""

    at: int
    parts: Iterator[bytes]


@dataclass
class Pages:
    """The pages of a file: where each state of a page lies, in order, and where the transaction of a state ends."""

    stream: BinaryIO
    size: int
    usable: int
    places: dict[int, list[int]] = field(default_factory=dict)
    ends: dict[int, int] = field(default_factory=dict)

    @classmethod
    def of(cls, stream: BinaryIO, head: bytes) -> Pages | None:
        """None for a file that is neither a database nor a log of one."""
        stream.seek(0, 2)
        total = stream.tell()
        if head.startswith(DATABASE):
            stream.seek(16)
            size, _versions, reserved = struct.unpack(">HHB", stream.read(5).ljust(5, b"\0"))
            size = LARGEST if size == 1 else size
            pages = cls(stream, size, size - reserved)
            if _valid(size):
                pages.places = {at // size + 1: [at] for at in range(0, total - size + 1, size)}
                return pages
        elif head[:4] in LOGS:
            stream.seek(8)
            (size,) = struct.unpack(">I", stream.read(4).ljust(4, b"\0"))
            if _valid(size):
                pages = cls(stream, size, size)
                pages._frames(total)
                return pages
        return None

    def _frames(self, total: int) -> None:
        """Where a log has each page."""
        open_: list[int] = []
        for at in range(LOG, total - FRAME - self.size + 1, FRAME + self.size):
            self.stream.seek(at)
            number, end = struct.unpack(">II", self.stream.read(8).ljust(8, b"\0"))
            self.places.setdefault(number, []).append(at + FRAME)
            open_.append(at + FRAME)
            if number == 1:
                self.stream.seek(at + FRAME + 20)
                # A log that is cut meanwhile gives nothing.
                self.usable = self.size - int.from_bytes(self.stream.read(1), "big")
            if end:
                self.ends.update(dict.fromkeys(open_, at + FRAME))
                open_.clear()

    def rows(self) -> Iterator[Row]:
        """All rows of more than one page, each state of each once."""
        seen: set[tuple[int, int]] = set()
        for number, states in self.places.items():
            for at in states:
                self.stream.seek(at)
                page = self.stream.read(self.size)
                for start, local, length, following in self._cells(page, FIRST * (number == 1)):
                    next_at = self._state(following, at)
                    if next_at is not None and (next_at, length) not in seen:
                        seen.add((next_at, length))
                        yield Row(at + start, self._parts(page[start : start + local], length, following, at))

    def _cells(self, page: bytes, begin: int) -> Iterator[tuple[int, int, int, int]]:
        """Of each cell that goes on: where its content begins, how much is here, how much in all, the next page."""
        kind = page[begin] if len(page) == self.size else 0
        if kind not in HEADERS:
            return
        (count,) = struct.unpack_from(">H", page, begin + 3)
        first = begin + HEADERS[kind]
        for at in range(first, min(first + 2 * count, self.size - 1), 2):
            (start,) = struct.unpack_from(">H", page, at)
            start += 4 * (kind == 0x02)
            length, start = _varint(page, start)
            if kind == TABLE_LEAF:
                _rowid, start = _varint(page, start)
            local = self._local(kind, length)
            if local < length and start + local + 4 <= self.usable:
                yield start, local, length, struct.unpack_from(">I", page, start + local)[0]

    def _local(self, kind: int, length: int) -> int:
        """How much of a row lies on its own page, as SQLite's file format says."""
        most = self.usable - 35 if kind == TABLE_LEAF else (self.usable - 12) * 64 // 255 - 23
        if length <= most:
            return length
        least = (self.usable - 12) * 32 // 255 - 23
        wanted = least + (length - least) % (self.usable - 4)
        return wanted if wanted <= most else least

    def _parts(self, local: bytes, length: int, following: int, at: int) -> Iterator[bytes]:
        yield local
        left = length - len(local)
        seen: set[int] = set()
        while left > 0 and (place := self._state(following, at)) is not None and place not in seen:
            # What only looks like a row may go round in a circle.
            seen.add(place)
            self.stream.seek(place)
            page = self.stream.read(self.usable)
            if len(page) < 5:
                return
            (following,) = struct.unpack_from(">I", page)
            yield page[4 : 4 + left]
            left -= len(page) - 4

    def _state(self, number: int, at: int) -> int | None:
        """Where a page lies as it was when the transaction ended that wrote what lies at `at`."""
        states = self.places.get(number)
        if not states:
            return None
        if not self.ends:
            return states[0]
        found = bisect_right(states, self.ends.get(at, at))
        return states[found - 1] if found else None


def _valid(size: int) -> bool:
    return SMALLEST <= size <= LARGEST and not size & size - 1


def _varint(page: bytes, at: int) -> tuple[int, int]:
    """SQLite's number of variable length, and where it ends; cut off by the end of the page."""
    value = 0
    for turn in range(9):
        if at >= len(page):
            break
        byte = page[at]
        at += 1
        if turn == 8:
            return value << 8 | byte, at
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            break
    return value, at
