# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whether one direction of a connection is TLS from its first byte to its last.

TLS hides what it carries, but not its frames: every record tells its kind and its length. A direction whose every byte
lies in a record is TLS; a single byte beside them is not.
"""

from __future__ import annotations

from dataclasses import dataclass, field

HANDSHAKE, APPLICATION = 22, 23
KINDS = (20, 21, HANDSHAKE, APPLICATION, 24)
#: A record holds 16 KiB and what its cipher adds.
LONGEST = (1 << 14) + 2048
CLIENT_HELLO, SERVER_HELLO = 1, 2
#: Segments that wait for an earlier one.
MOST_WAITING = 512


@dataclass
class TlsStream:
    """Feed it the segments of one direction. `plain`: bytes beside records; `gaps`: pieces that were not captured.

    `hello`: the kind of handshake message that it began with; 0 where the beginning was not seen.
    """

    records: int = 0
    framed: int = 0
    plain: int = 0
    gaps: int = 0
    hello: int = 0
    opened: bool = False
    _next: int | None = None
    _left: int = 0
    _head: bytes = b""
    _kind: int = 0
    _waiting: dict[int, bytes] = field(default_factory=dict)

    def syn(self, sequence: int) -> None:
        """The connection begins here."""
        self.opened, self._next = True, (sequence + 1) & 0xFFFFFFFF
        self._left, self._head = 0, b""
        self._waiting.clear()

    def feed(self, sequence: int, data: bytes) -> None:
        """A segment, in whatever order, any number of times."""
        if self._next is None:
            self._next = sequence
        ahead = _ahead(sequence, self._next)
        if ahead > 0:
            self._waiting[sequence] = data
            if len(self._waiting) <= MOST_WAITING:
                return
            # What is missing was never captured: go on behind it.
            self._next = min(self._waiting, key=lambda one: _ahead(one, self._next or 0))
            self.gaps, self._left, self._head = self.gaps + 1, 0, b""
        else:
            self._take(data[-ahead:])
        while self._waiting:
            first = min(self._waiting, key=lambda one: _ahead(one, self._next or 0))
            ahead = _ahead(first, self._next)
            if ahead > 0:
                return
            self._take(self._waiting.pop(first)[-ahead:] if ahead else self._waiting.pop(first))

    @property
    def missing(self) -> int:
        """Gaps, and what still waits for a piece that never came: nobody has looked at it."""
        return self.gaps + bool(self._waiting)

    @property
    def encrypted(self) -> bool:
        """Whether all that was seen were records, and there were some."""
        return self.records > 0 and self.plain == 0

    def _take(self, data: bytes) -> None:
        self._next = ((self._next or 0) + len(data)) & 0xFFFFFFFF
        while data:
            if self._left:
                if self._kind == HANDSHAKE and self.framed == 5 and self.opened:
                    self.hello = data[0]
                part = min(self._left, len(data))
                self.framed += part
                self._left -= part
                data = data[part:]
                continue
            need = 5 - len(self._head)
            self._head, data = self._head + data[:need], data[need:]
            if len(self._head) < 5:
                return
            kind, version, length = self._head[0], self._head[1:3], int.from_bytes(self._head[3:], "big")
            if kind not in KINDS or version[0] != 3 or version[1] > 4 or not 0 < length <= LONGEST:
                self.plain += len(self._head) + len(data)
                self._head = b""
                return
            self.records += 1
            self.framed += 5
            self._head, self._left, self._kind = b"", length, kind


def _ahead(sequence: int, expected: int) -> int:
    """How far ahead of what is expected, negative for what came before; numbers go round at 2**32."""
    return (sequence - expected + 0x80000000) % 0x100000000 - 0x80000000
