# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for fingerprints in streams of bytes, packed ones included."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from flower_ops.audit.errors import DAMAGED
from flower_ops.audit.pages import Pages
from flower_ops.audit.prints import Prints
from flower_ops.audit.unpack import HEADER, OVERLAP, Packed
from flower_ops.audit.windows import STEP, WIDTHS, hasher

BLOCK = 1 << 20
#: Bits of a checksum that a first table knows, a byte each; most windows of a file go no further than this table.
FEWEST_BITS, MOST_BITS = 16, 24
#: What may come out of all that is packed in a file: a bomb must not fill the audit's time.
MOST_UNPACKED = 1 << 31
#: Methods of packing in archives whose members are seen where they lie, without the archive's list of them.
OPEN = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)


@dataclass(frozen=True)
class Hit:
    """A window found: whose (position in the list of prints), which owner there, and where."""

    node: int
    owner: int
    at: int


@dataclass
class Scanner:
    """Counts what it has looked at; `looked` are bytes of files, `unpacked` those that came out of packed streams."""

    prints: Sequence[Prints]
    salt: bytes
    looked: int = 0
    unpacked: int = 0
    _seed: int = 0
    _tables: dict[int, bytearray] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._seed, self._second = hasher(self.salt)
        for width in WIDTHS:
            keys = [one.tables[width].keys for one in self.prints if width in one.tables]
            total = sum(map(len, keys))
            if not total:
                continue
            # Sixteen places for each: one window in sixteen at most is looked up in vain.
            size = 1 << min(MOST_BITS, max(FEWEST_BITS, (total * 16).bit_length()))
            table = bytearray(size)
            for some in keys:
                for key in some:
                    table[key >> 32 & size - 1] = 1
            self._tables[width] = table

    def file(self, stream: BinaryIO) -> Iterator[Hit]:
        """Hits in an open file, in what is packed in it, and in the rows of a database that lie on several pages."""
        head = stream.read(16)
        stream.seek(0)
        packed = Packed(MOST_UNPACKED)
        yield from self._follow(stream, packed)
        if head.startswith(b"PK\x03\x04"):
            yield from self._archive(stream, packed)
        elif pages := Pages.of(stream, head):
            for row in pages.rows():
                yield from self._row(row.at, row.parts, packed)

    def _archive(self, stream: BinaryIO, packed: Packed) -> Iterator[Hit]:
        try:
            with zipfile.ZipFile(stream) as archive:
                for member in archive.infolist():
                    if member.compress_type not in OPEN:
                        yield from self._member(archive, member, packed)
        except DAMAGED:
            # The bytes themselves were looked at.
            return

    def _member(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo, packed: Packed) -> Iterator[Hit]:
        flow = Flow(self)
        try:
            with archive.open(member) as inner:
                while packed.room > 0 and (block := inner.read(BLOCK)):
                    packed.room -= len(block)
                    self.unpacked += len(block)
                    yield from flow.feed(block)
        except DAMAGED:
            pass
        yield from flow.end()

    def _row(self, at: int, parts: Iterator[bytes], packed: Packed) -> Iterator[Hit]:
        """Hits in what is packed in a row, and where a page of it ends; all else was seen on its pages."""
        before, held, done = b"", b"", 0
        for part in parts:
            seam = before[-OVERLAP:] + part[:OVERLAP]
            if before:
                yield from self.block(seam, at, len(seam))
            before = (before + part)[-OVERLAP:]
            yield from self.grown(packed.go_on(part), at)
            data = held + part
            upto = max(0, len(data) - HEADER)
            yield from self.grown(packed.begin(data, done, upto), at)
            held, done = data[upto:], done + upto
        yield from self.grown(packed.begin(held, done, len(held)), at)
        yield from self.grown(packed.end(), at)

    def grown(self, blocks: Iterator[tuple[int, bytes]], at: int | None = None) -> Iterator[Hit]:
        """Hits in what comes out of packed streams; `at`: where that is, if not where each stream begins."""
        for begin, block in blocks:
            self.unpacked += len(block)
            for hit in self.block(block, 0, len(block)):
                yield Hit(hit.node, hit.owner, begin if at is None else at)

    def stream(self, stream: object) -> Iterator[Hit]:
        """Hits in a stream that is read to its end, and in what is packed in it."""
        yield from self._follow(stream, Packed(MOST_UNPACKED))

    def _follow(self, stream: object, packed: Packed) -> Iterator[Hit]:
        read = stream.read  # type: ignore[attr-defined]
        flow = Flow(self, packed)
        while block := read(BLOCK):
            self.looked += len(block)
            yield from flow.feed(block)
        yield from flow.end()

    def block(self, data: bytes, start: int, upto: int) -> Iterator[Hit]:
        """Hits of windows that begin before `upto`; `start` is where the data lies in its file."""
        if data.count(0) == len(data):
            return
        checksum, seed = zlib.crc32, self._seed
        for width, table in self._tables.items():
            mask = len(table) - 1
            end = min(upto, len(data) - width + 1)
            # The one line that sees every byte of every disk.
            likely = [at for at in range(0, end, STEP) if table[checksum(data[at : at + width], seed) & mask]]
            for at in likely:
                window = data[at : at + width]
                key = checksum(window, seed) << 32 | self._second(window)
                for node, one in enumerate(self.prints):
                    owner = one.tables[width].find(key)
                    if owner is not None:
                        yield Hit(node, owner, start + at)


class Flow:
    """Bytes that come block by block: windows and packed streams across the borders of blocks are not missed."""

    def __init__(self, scanner: Scanner, packed: Packed | None = None) -> None:
        self._scanner = scanner
        self._packed = packed
        self._start = 0
        self._held = b""

    def feed(self, block: bytes) -> Iterator[Hit]:
        """Hits in what follows."""
        if self._packed:
            yield from self._scanner.grown(self._packed.go_on(block))
        data = self._held + block
        # What begins near the end waits for what follows it; it begins where a window may begin.
        done = max(0, len(data) - max(WIDTHS)) // STEP * STEP
        yield from self._look(data, done)
        self._start, self._held = self._start + done, data[done:]

    def end(self) -> Iterator[Hit]:
        """Hits in the rest."""
        yield from self._look(self._held, len(self._held))
        if self._packed:
            yield from self._scanner.grown(self._packed.end())

    def _look(self, data: bytes, upto: int) -> Iterator[Hit]:
        yield from self._scanner.block(data, self._start, upto)
        if self._packed:
            yield from self._scanner.grown(self._packed.begin(data, self._start, upto))
