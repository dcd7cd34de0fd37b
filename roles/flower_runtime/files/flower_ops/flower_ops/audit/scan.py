# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for fingerprints in streams of bytes, packed ones included."""

from __future__ import annotations

import gzip
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

from flower_ops.audit.prints import Prints
from flower_ops.audit.windows import STEP, WIDTHS, hasher

BLOCK = 1 << 20
#: Bits of a checksum that a first table knows, a byte each; most windows of a file go no further than this table.
FEWEST_BITS, MOST_BITS = 16, 24
#: Where a stream of zlib or gzip, or a packed member of an archive, may begin, in the middle of anything.
PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08|PK\x03\x04....\x08\x00", re.DOTALL)
#: Header of a member: its fixed part, and where the lengths of its name and its extra field are.
MEMBER, MEMBER_LENGTHS = 30, 26
#: Bytes of such a stream that are read, and what it may grow to; small streams in a database are not longer.
PACKED_READ, PACKED_GROWN = 1 << 16, 1 << 20
#: What may come out of a packed file: a bomb must not fill the audit's time.
MOST_UNPACKED = 1 << 31
#: What the standard library raises for bytes that only look packed.
DAMAGED = (OSError, EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile)


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
        """Hits in an open file, and in what it holds if it is packed by gzip or zip."""
        head = stream.read(4)
        stream.seek(0)
        yield from self.stream(stream)
        stream.seek(0)
        if head.startswith(b"\x1f\x8b"):
            with gzip.GzipFile(fileobj=stream) as inner:
                yield from self._inner(inner)
        elif head == b"PK\x03\x04":
            try:
                with zipfile.ZipFile(stream) as archive:
                    for member in archive.infolist():
                        with archive.open(member) as inner:
                            yield from self._inner(inner)
            # RuntimeError: encrypted, or packed by an unknown method. The bytes themselves were looked at.
            except (*DAMAGED, RuntimeError):
                return

    def _inner(self, stream: object) -> Iterator[Hit]:
        before = self.looked
        try:
            for hit in self.stream(stream, packed=False):
                yield hit
                if self.looked - before > MOST_UNPACKED:
                    return
        except DAMAGED:
            return
        finally:
            self.unpacked += self.looked - before
            self.looked = before

    def stream(self, stream: object, packed: bool = True) -> Iterator[Hit]:
        """Hits in a stream that is read to its end; windows across the borders of blocks are not missed."""
        read = stream.read  # type: ignore[attr-defined]
        start, held = 0, b""
        keep = max(WIDTHS) + PACKED_READ if packed else max(WIDTHS)
        while block := read(BLOCK):
            self.looked += len(block)
            data = held + block
            # What begins near the end waits for what follows it; it begins where a window may begin.
            done = max(0, len(data) - keep) // STEP * STEP
            yield from self.block(data, start, done, packed)
            start, held = start + done, data[done:]
        if held:
            yield from self.block(held, start, len(held), packed)

    def block(self, data: bytes, start: int, upto: int, packed: bool) -> Iterator[Hit]:
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
        if packed:
            yield from self._packed(data, start, upto)

    def _packed(self, data: bytes, start: int, upto: int) -> Iterator[Hit]:
        for found in PACKED.finditer(data, 0, upto):
            grown = unpack(data[found.start() : found.start() + PACKED_READ])
            if len(grown) >= min(WIDTHS):
                self.unpacked += len(grown)
                for hit in self.block(grown, 0, len(grown), packed=False):
                    yield Hit(hit.node, hit.owner, start + found.start())


def unpack(data: bytes) -> bytes:
    """As much as a stream of zlib or gzip, or a member of a zip archive, gives before it ends or breaks."""
    machine = zlib.decompressobj(wbits=47)
    if data.startswith(b"PK") and len(data) >= MEMBER:
        # NumPy's .npz in a message or a database: members have no header of zlib.
        data = data[MEMBER + sum(struct.unpack_from("<HH", data, MEMBER_LENGTHS)) :]
        machine = zlib.decompressobj(wbits=-15)
    grown = b""
    for at in range(0, len(data), 512):
        try:
            grown += machine.decompress(data[at : at + 512], PACKED_GROWN)
        except zlib.error:
            break
        if machine.eof or len(grown) >= PACKED_GROWN:
            break
    return grown
