# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packed streams in the middle of anything, unpacked for as long as they go on."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

from flower_ops.audit.windows import STEP, WIDTHS

#: Where a stream of zlib or gzip, or a packed member of an archive, may begin, in the middle of anything.
PACKED = re.compile(rb"\x78[\x01\x5e\x9c\xda]|\x1f\x8b\x08|PK\x03\x04....\x08\x00", re.DOTALL)
#: Bytes that are needed to see one of them.
HEADER = 10
#: Header of a member: its fixed part, and where the lengths of its name and its extra field are.
MEMBER, MEMBER_LENGTHS = 30, 26
#: Fed and taken at a time. Most of what looks packed is not, and breaks after a few hundred bytes.
FIRST, FED, TAKEN, LITTLE = 512, 1 << 16, 1 << 20, 32
#: Bytes of one stream that wait for more before they are looked at, and streams that go on at once, so that no file
#: makes the audit hold much. The streams that honest bytes make by chance end after a few hundred of them.
HELD, LIVE = 1 << 16, 64
#: What two blocks of unpacked bytes have in common, so that no sample is cut.
OVERLAP = max(WIDTHS) + STEP


class Unpacker:
    """One stream, given piece by piece. `at`: where it begins; `over`: it has ended, or was none."""

    def __init__(self, at: int, head: bytes) -> None:
        self.at = at
        self.over = False
        # NumPy's .npz in a message or a database: members have no header of zlib.
        self._member = b"" if head.startswith(b"PK") else None
        self._machine = zlib.decompressobj(wbits=-15 if self._member is not None else 47)
        # What has come out and waits for more; of it, what was looked at.
        self._held = bytearray()
        self._looked = 0
        #: Bytes that have come out, or gone in, if those are more: some streams take much and give nothing.
        self.spent = 0
        self._step = FIRST

    def feed(self, data: bytes | memoryview, last: bool = False) -> Iterator[bytes]:
        """Blocks to look at in what comes out, of HELD bytes to TAKEN and HELD, each with the end of the one before.

        `last`: nothing follows.
        """
        view = memoryview(data)
        if self._member is not None:
            view = self._without_header(view, self._member)
        for at in range(0, len(view), FED):
            if self.over:
                break
            yield from self._some(bytes(view[at : at + FED]))
        self.over = self.over or last
        if self.over and len(self._held) > self._looked:
            yield bytes(self._held)

    def _some(self, data: bytes) -> Iterator[bytes]:
        while data and not self.over:
            fed, data = data[: self._step], data[self._step :]
            # What breaks gives nothing of all that it was fed: then it is fed once more, bit by bit.
            copy = self._machine.copy()
            try:
                out = self._machine.decompress(fed, TAKEN)
                data = self._machine.unconsumed_tail + data
                self.over = self._machine.eof
                took = len(fed) - len(self._machine.unconsumed_tail) - len(self._machine.unused_data)
            except zlib.error:
                out, took = _broken(copy, fed), len(fed)
                self.over = True
            self.spent += max(took, len(out))
            self._step = min(FED, 2 * self._step)
            self._held += out
            if len(self._held) >= HELD:
                block = bytes(self._held)
                del self._held[:-OVERLAP]
                self._looked = OVERLAP
                yield block

    def _without_header(self, view: memoryview, member: bytes) -> memoryview:
        for _part in ("fixed", "name and extra field"):
            more = sum(struct.unpack_from("<HH", member, MEMBER_LENGTHS)) if len(member) >= MEMBER else 0
            missing = MEMBER + more - len(member)
            self.spent += min(missing, len(view))
            member, view = member + bytes(view[:missing]), view[missing:]
            if len(member) < MEMBER + more:
                self._member = member
                return view[:0]
        self._member = None
        return view


def _broken(machine: zlib._Decompress, data: bytes) -> bytes:
    """What comes out before a stream breaks."""
    found = []
    for at in range(0, len(data), LITTLE):
        try:
            found.append(machine.decompress(data[at : at + LITTLE]))
        except zlib.error:
            break
    return b"".join(found)


class Packed:
    """All packed streams in bytes that come block by block.

    `room`: bytes that may come out of all of them together, or go in, if those are more. Of more than LIVE that go on
    the oldest ends.
    """

    def __init__(self, room: int) -> None:
        self.room = room
        self._live: list[Unpacker] = []

    def go_on(self, data: bytes) -> Iterator[tuple[int, bytes]]:
        """What comes out of those that have begun, by what follows; each block with where its stream begins."""
        for one in self._live:
            yield from self._of(one, data)
        self._live = [one for one in self._live if not one.over]

    def begin(self, data: bytes, start: int, upto: int) -> Iterator[tuple[int, bytes]]:
        """What comes out of those that begin before `upto` in data, which lies at `start`."""
        for found in PACKED.finditer(data):
            if found.start() >= upto or self.room <= 0:
                return
            one = Unpacker(start + found.start(), found[0])
            yield from self._of(one, memoryview(data)[found.start() :])
            if not one.over:
                self._live.append(one)
            if len(self._live) > LIVE:
                yield from self._of(self._live.pop(0), b"", last=True)

    def end(self) -> Iterator[tuple[int, bytes]]:
        """What is left of those that were cut off."""
        for one in self._live:
            yield from self._of(one, b"", last=True)
        self._live.clear()

    def _of(self, one: Unpacker, data: bytes | memoryview, last: bool = False) -> Iterator[tuple[int, bytes]]:
        """Blocks of one stream; when there is no more room, what has come out before, and its end."""
        spent = one.spent
        for block in one.feed(data if self.room > 0 else b"", last or self.room <= 0):
            yield one.at, block
            if self.room <= one.spent - spent:
                # A bomb must not fill the audit's time.
                break
        self.room -= one.spent - spent
        if self.room <= 0 and not one.over:
            yield from ((one.at, block) for block in one.feed(b"", last=True))
