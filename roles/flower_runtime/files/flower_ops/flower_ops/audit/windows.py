# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fingerprints of pieces of bytes that are found again at any offset of a large file.

A piece is known by the keyed hashes of STEP windows that begin at STEP offsets in a row. Whoever searches looks at
every STEP-th offset only: where the piece lies whole, one of the windows lies there. A hash is 64 bits: 32 of a
checksum that is quick to compute, and 32 of BLAKE2b with the audit's salt, computed where the checksum is known.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Callable, Iterator

STEP = 16
#: Widths of windows in bytes: narrow ones for single bytes and text, wide ones for numbers of 2, 4 and 8 bytes.
WIDTHS = (32, 64, 128, 256)


def needed(width: int) -> int:
    """Bytes that a piece must have: windows of `width` at STEP offsets."""
    return width + STEP - 1


def hasher(salt: bytes) -> tuple[int, Callable[[bytes | memoryview], int]]:
    """Start value of the checksum, and the keyed second half of the hash."""
    keyed = hashlib.blake2b(b"windows", key=salt, digest_size=20).digest()
    key = keyed[4:]

    def second(window: bytes | memoryview) -> int:
        return int.from_bytes(hashlib.blake2b(window, key=key, digest_size=4).digest(), "little")

    return int.from_bytes(keyed[:4], "little"), second


def hashes(piece: bytes, width: int, salt: bytes) -> Iterator[int]:
    """The STEP hashes of a piece of needed(width) bytes or more."""
    seed, second = hasher(salt)
    for at in range(STEP):
        window = piece[at : at + width]
        yield zlib.crc32(window, seed) << 32 | second(window)
