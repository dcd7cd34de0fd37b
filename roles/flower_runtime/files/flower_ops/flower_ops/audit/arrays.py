# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NumPy's files without NumPy: the node's agent has the standard library alone."""

from __future__ import annotations

import ast
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from flower_ops.audit.forms import Number

MAGIC = b"\x93NUMPY"
#: Types of numbers, with their letter in the module struct.
LETTERS = {
    "b1": "B", "u1": "B", "i1": "b", "u2": "H", "i2": "h", "f2": "e", "u4": "I", "i4": "i", "f4": "f",
    "u8": "Q", "i8": "q", "f8": "d",
}  # fmt: skip


@dataclass(frozen=True)
class Stored:
    """Numbers of an array in the order of the file. `row`: numbers of one entry of the first axis.

    `picture`: numbers of one picture in colours, 0 where there are none; `colours`: how many, `planes`: each a plane.
    """

    data: bytes
    order: str
    letter: str
    count: int
    row: int
    picture: int = 0
    colours: int = 1
    planes: bool = False

    @property
    def size(self) -> int:
        """Bytes of a number."""
        return struct.calcsize(self.letter)

    def values(self, start: int, count: int) -> tuple[Number, ...]:
        """Some of the numbers."""
        return struct.unpack_from(f"{self.order}{count}{self.letter}", self.data, start * self.size)

    def bytes_of(self, start: int, count: int) -> bytes:
        """The same numbers as they are stored."""
        return self.data[start * self.size : (start + count) * self.size]

    def moved(self, number: int, start: int, count: int) -> tuple[Number, ...]:
        """Some numbers of a picture whose axis of colours was moved: planes of pixels, or pixels of planes."""
        # A matrix read along its other axis.
        width = self.picture // self.colours if self.planes else self.colours
        height = self.picture // width
        places = (at % height * width + at // height for at in range(start, start + count))
        return tuple(self.values(number * self.picture + at, 1)[0] for at in places)

    def packed(self, values: Sequence[Number]) -> bytes:
        """Numbers as this file would hold them."""
        return struct.pack(f"{self.order}{len(values)}{self.letter}", *values)


def read(content: bytes) -> Stored | None:
    """The array of a .npy file; None for anything that is not numbers in a form that we know."""
    if not content.startswith(MAGIC) or len(content) < 12:
        return None
    wide = content[6] > 1
    (length,) = struct.unpack_from("<I" if wide else "<H", content, 8)
    start = 12 if wide else 10
    try:
        header = ast.literal_eval(content[start : start + length].decode("latin-1").strip())
        code, shape = str(header["descr"]), tuple(int(one) for one in header["shape"])
    except (ValueError, SyntaxError, KeyError, TypeError):
        return None
    letter = LETTERS.get(code[1:])
    if letter is None or code[0] not in "<>|=":
        return None
    row = 1
    # In Fortran's order an entry of the first axis does not lie in one piece, but an entry of the last axis does.
    for length in shape[:-1] if header.get("fortran_order") else shape[1:]:
        row *= length
    if len(shape) == 3 and shape[-1] in (1, 3, 4):
        # A picture and its colours: one sample.
        row *= shape[0]
    data = content[start + struct.unpack_from("<I" if wide else "<H", content, 8)[0] :]
    size = struct.calcsize(letter)
    order, count = ">" if code[0] == ">" else "<", len(data) // size
    picture, colours, planes = (0, 1, False) if header.get("fortran_order") else _colours(shape)
    return Stored(data, order, letter, count, max(1, row), picture, colours, planes)


def _colours(shape: tuple[int, ...]) -> tuple[int, int, bool]:
    """Numbers of a picture, its colours, and whether each is a plane: one picture, or many of them."""
    axes = shape[-3:]
    if len(shape) not in (3, 4) or 0 in shape:
        return 0, 1, False
    for axis, planes in ((2, False), (0, True)):
        if axes[axis] in (3, 4):
            return axes[0] * axes[1] * axes[2], axes[axis], planes
    return 0, 1, False
