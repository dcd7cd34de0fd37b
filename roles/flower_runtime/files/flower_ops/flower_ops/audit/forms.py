# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a sample may be written down: numbers as raw bytes of every usual type, as text, in base64.

An app that sends a sample sends it in some form. These are the forms that frameworks, NumPy, JSON, CSV and Flower's own
messages give to numbers without anybody trying to hide them. Encryption and rounding are none of them.

The same scaling gives other bits in 32 bits than in 64, and by a product other ones than by a quotient. So a scaled
form is one of a type *and* of a way to calculate it.
"""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

Number = int | float

#: Numbers of a sample that are looked for: 48 have at least the bytes that a window of their form needs.
ITEMS = 48
#: Left out at the beginning where a number takes more room than a window, so that the middle is in every window.
LEAD = 8
#: Forms of numbers in their order, for people.
NUMBERS = (
    "the bytes as stored",
    "8-bit integers",
    "32-bit integers",
    "64-bit integers",
    "integers of a Flower metric",
    "32-bit floats",
    "64-bit floats",
    "32-bit floats, divided by 255",
    "32-bit floats, times 1/255",
    "64-bit floats, divided by 255",
    "64-bit floats, divided by 255 in 32 bits",
    "32-bit floats, -1 to 1",
    "32-bit floats, -1 to 1 by times 1/255",
    "32-bit floats, -1 to 1 rounded from 64 bits",
    "64-bit floats, -1 to 1",
    "64-bit floats, -1 to 1 in 32 bits",
    "32-bit floats, divided by the greatest",
    "64-bit floats, divided by the greatest",
    "32-bit floats, -1 to 1 by the greatest",
    "64-bit floats, -1 to 1 by the greatest",
)
#: Of pictures they are looked for a second time with the axis of colours moved: as planes (CHW) where the file holds
#: pixels (HWC), and the other way round.
MOVED = "colours moved"
#: Names of all forms; positions are what files of fingerprints hold.
FORMS = (
    *NUMBERS,
    *(f"{name}, {MOVED}" for name in NUMBERS),
    "text, whole numbers with commas",
    "text, whole numbers with commas and blanks",
    "text, whole numbers with blanks",
    "text, decimal numbers with commas",
    "text, decimal numbers with commas and blanks",
    "text, decimal numbers with blanks",
    "text, decimal numbers divided by the greatest",
    "base64 of the bytes as stored",
    "base64 of 32-bit floats",
    "base64 of 64-bit floats",
    "the text itself",
    "a string of JSON",
    "the file as it is",
    "base64 of the file",
)
BY_SIZE = {1: 32, 2: 64, 4: 128, 8: 256}


@dataclass(frozen=True)
class Coded:
    """One form of a sample. `width` is that of its windows; base64 has three phases, each a form of its own."""

    form: int
    width: int
    data: bytes


def _form(name: str) -> int:
    return FORMS.index(name)


def of_numbers(values: Sequence[Number], stored: bytes, size: int, greatest: float) -> Iterator[Coded]:
    """All forms of ITEMS numbers. `stored`: their bytes in the file, `size` each; `greatest` of the whole array."""
    count = len(values)
    whole = all(value == int(value) for value in values)
    low, high = min(values), max(values)
    if stored:
        yield Coded(_form("the bytes as stored"), BY_SIZE[size], stored)
        yield from _base64("base64 of the bytes as stored", stored, size)
    if whole:
        numbers = [int(value) for value in values]
        if low >= 0 and high < 256 and not (stored and size == 1):
            yield Coded(_form("8-bit integers"), 32, bytes(numbers))
        if low >= -(2**31) and high < 2**31:
            yield Coded(_form("32-bit integers"), 128, struct.pack(f"<{count}i", *numbers))
        if low >= -(2**62) and high < 2**62:
            yield Coded(_form("64-bit integers"), 256, struct.pack(f"<{count}q", *numbers))
            yield Coded(_form("integers of a Flower metric"), 32, b"".join(map(zigzag, numbers)))
        for name, separator in (("commas", ","), ("commas and blanks", ", "), ("blanks", " ")):
            text = separator.join(map(str, numbers[LEAD:])).encode()
            yield Coded(_form(f"text, whole numbers with {name}"), 64, text)
    floats = [float(value) for value in values]
    yield from _floats("", floats)
    for name, separator in (("commas", ","), ("commas and blanks", ", "), ("blanks", " ")):
        yield Coded(_form(f"text, decimal numbers with {name}"), 64, separator.join(map(repr, floats[LEAD:])).encode())
    if whole and low >= 0 and high < 256 and greatest > 1:
        yield from _of_eight_bits(floats)
    elif low >= 0 and high <= 1:
        yield from _symmetric(singles(floats), floats)
    if greatest not in (0, 1, 255):
        scaled = [value / greatest for value in floats]
        yield from _floats(", divided by the greatest", scaled)
        if low >= 0:
            yield from _floats(", -1 to 1 by the greatest", [(value - 0.5) / 0.5 for value in scaled])
        text = ", ".join(map(repr, scaled[LEAD:])).encode()
        yield Coded(_form("text, decimal numbers divided by the greatest"), 64, text)


def of_moved(values: Sequence[Number], stored: bytes, size: int, greatest: float) -> Iterator[Coded]:
    """Forms of numbers of a picture whose axis of colours was moved; `stored` are their bytes in that order."""
    for coded in of_numbers(values, stored, size, greatest):
        name = FORMS[coded.form]
        if name in NUMBERS:
            yield Coded(_form(f"{name}, {MOVED}"), coded.width, coded.data)


def _of_eight_bits(values: Sequence[float]) -> Iterator[Coded]:
    """Numbers from 0 to 255 as frameworks scale them: to 0..1, and from there to -1..1."""
    yield from _floats(", divided by 255", [value / 255 for value in values])
    quotients = singles([value / 255 for value in values])
    yield Coded(_form("64-bit floats, divided by 255 in 32 bits"), 256, _doubles(quotients))
    (factor,) = singles([1 / 255])
    products = singles([value * factor for value in values])
    yield Coded(_form("32-bit floats, times 1/255"), 128, _packed(products))
    centred = [value / 0.5 for value in singles([value - 0.5 for value in products])]
    yield Coded(_form("32-bit floats, -1 to 1 by times 1/255"), 128, _packed(centred))
    yield from _symmetric(quotients, [value / 255 for value in values])


def _symmetric(narrow: Sequence[float], wide: Sequence[float]) -> Iterator[Coded]:
    """The same numbers from 0 to 1, in 32 and in 64 bits, from -1 to 1; torchvision calls that Normalize(0.5, 0.5)."""
    in_narrow = [value / 0.5 for value in singles([value - 0.5 for value in narrow])]
    in_wide = [(value - 0.5) / 0.5 for value in wide]
    yield Coded(_form("32-bit floats, -1 to 1"), 128, _packed(in_narrow))
    yield Coded(_form("64-bit floats, -1 to 1 in 32 bits"), 256, _doubles(in_narrow))
    yield Coded(_form("32-bit floats, -1 to 1 rounded from 64 bits"), 128, _packed(in_wide))
    yield Coded(_form("64-bit floats, -1 to 1"), 256, _doubles(in_wide))


def singles(values: Sequence[float]) -> tuple[float, ...]:
    """Rounded to 32 bits. One operation in 64 bits, rounded, is the same operation in 32 bits."""
    return struct.unpack(f"<{len(values)}f", _packed(values))


def _packed(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}f", *values)


def _doubles(values: Sequence[float]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def _floats(suffix: str, values: Sequence[float]) -> Iterator[Coded]:
    double = _doubles(values)
    yield Coded(_form(f"64-bit floats{suffix}"), 256, double)
    if not suffix:
        yield from _base64("base64 of 64-bit floats", double, 8)
    try:
        single = _packed(values)
    except OverflowError:
        return
    yield Coded(_form(f"32-bit floats{suffix}"), 128, single)
    if not suffix:
        yield from _base64("base64 of 32-bit floats", single, 4)


def _base64(name: str, data: bytes, size: int) -> Iterator[Coded]:
    """Text of the same bytes differs by where among three they begin."""
    for skip in range(3):
        part = data[LEAD * size + skip :]
        yield Coded(_form(name), BY_SIZE[size], base64.b64encode(part[: len(part) // 3 * 3]))


def zigzag(value: int) -> bytes:
    """A signed number in the variable length that protocol buffers give to it (sint64)."""
    left = value << 1 if value >= 0 else (-value << 1) - 1
    found = bytearray()
    while left > 0x7F:
        found.append(left & 0x7F | 0x80)
        left >>= 7
    found.append(left)
    return bytes(found)


def of_text(data: bytes, width: int) -> Iterator[Coded]:
    """A line, or several short ones."""
    yield Coded(_form("the text itself"), width, data)


def of_value(data: bytes, width: int) -> Iterator[Coded]:
    """A part of a string that JSON holds, as an app reads it."""
    yield Coded(_form("a string of JSON"), width, data)


def of_file(data: bytes) -> Iterator[Coded]:
    """A part of a file that is not read as numbers or text: a picture, an archive."""
    yield Coded(_form("the file as it is"), 64, data)
    yield from _base64("base64 of the file", data, 1)
