# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a sample may be written down: numbers as raw bytes of every usual type, as text, in base64.

An app that sends a sample sends it in some form. These are the forms that frameworks, NumPy, JSON, CSV and Flower's own
messages give to numbers without anybody trying to hide them. Encryption and rounding are none of them.
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
#: Names of the forms, for people; positions are what files of fingerprints hold.
FORMS = (
    "the bytes as stored",
    "8-bit integers",
    "32-bit integers",
    "64-bit integers",
    "integers of a Flower metric",
    "32-bit floats",
    "64-bit floats",
    "32-bit floats, divided by 255",
    "64-bit floats, divided by 255",
    "32-bit floats, divided by the greatest",
    "64-bit floats, divided by the greatest",
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
        yield from _floats(", divided by 255", [value / 255 for value in floats])
    if greatest not in (0, 1, 255):
        scaled = [value / greatest for value in floats]
        yield from _floats(", divided by the greatest", scaled)
        text = ", ".join(map(repr, scaled[LEAD:])).encode()
        yield Coded(_form("text, decimal numbers divided by the greatest"), 64, text)


def _floats(suffix: str, values: Sequence[float]) -> Iterator[Coded]:
    double = struct.pack(f"<{len(values)}d", *values)
    yield Coded(_form(f"64-bit floats{suffix}"), 256, double)
    if not suffix:
        yield from _base64("base64 of 64-bit floats", double, 8)
    try:
        single = struct.pack(f"<{len(values)}f", *values)
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


def of_file(data: bytes) -> Iterator[Coded]:
    """A part of a file that is not read as numbers or text: a picture, an archive."""
    yield Coded(_form("the file as it is"), 64, data)
    yield from _base64("base64 of the file", data, 1)
