# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text as samples: lines, and rows of JSON with the strings that an app reads from them.

An app takes `row["instruction"]` and puts it into a prompt: what it sends is neither a whole line nor written as JSON
writes it. So the strings of a row are looked for by themselves, each in several pieces, because a text may be cut.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flower_ops.audit import documents
from flower_ops.audit.forms import ITEMS, Coded, of_text, of_value
from flower_ops.audit.windows import needed

#: Different letters among those of a piece: blank paper is no sample.
LEAST_LETTERS = 10
#: Widths of windows in text, and where it is too short for that, or figures, which tell more than as many letters.
WIDE, NARROW = 64, 32
#: Lines are put together until they have this many bytes, and cut where they have more.
TOGETHER, PART = 96, 4096
#: There is a piece for as many bytes of a text, but no more than these of a row: of its strings, and as it is stored.
EVERY, MOST_OF_STRINGS, MOST_AS_STORED = 128, 24, 8
#: The same for lines; those of a table are known by their numbers as well.
MOST_OF_LINES, MOST_OF_TABLE = PART // EVERY, 8

#: A document or a row of JSON of more bytes is not taken apart, which takes many times its size.
LARGEST = 1 << 26


@dataclass(frozen=True)
class Unit:
    """A row of JSON, one or several lines, or a part of a long one. `count`: the rows that it stands for.

    `strings`: an app is known by the strings of this row, which `raw` holds as JSON. `told`: pieces of it tell the
    rows; False for rows of JSON whose strings are too short, which are only recognised as they are stored.
    """

    row: int
    count: int
    raw: bytes
    strings: bool = False
    told: bool = True


@dataclass
class Read:
    """What a file of text holds: units, number of rows, and the numbers of rows of JSON that are told by them."""

    units: list[Unit]
    rows: int
    numbers: list[list[float]]


def of_lines(lines: Sequence[tuple[int, bytes]], together: int = TOGETHER) -> list[Unit]:
    """Units of lines that are no JSON, with their numbers: short ones together, long ones in parts."""
    units: list[Unit] = []
    for row, line in lines:
        _append(units, row, line, True, together)
    return _closed(units, together)


def of_json(content: bytes, whole: bool) -> Read:
    """Units of rows of JSON. `whole`: the file may be one document; else, or if it is none, each line is a row."""
    read = Read([], 0, [])
    for row, raw in _raw_rows(content, whole):
        if not raw.strip():
            continue
        read.rows += 1
        try:
            if len(raw) > LARGEST:
                raise ValueError("too large")
            value = documents.parse(raw)
            strings, numbers = list(documents.strings(value)), list(documents.numbers(value))
        except ValueError:
            _append(read.units, row, raw, True, TOGETHER)
            continue
        if any(len(_bytes(text)) >= needed(NARROW) for text in strings):
            read.units.append(Unit(row, 1, raw, strings=True))
            continue
        by_numbers = bool(numbers) and (not strings or len(numbers) >= ITEMS)
        if by_numbers:
            read.numbers.append(numbers)
        _append(read.units, row, raw if raw.endswith(b"\n") else raw + b"\n", by_numbers, TOGETHER)
    read.units = _closed(read.units, TOGETHER)
    return read


def _raw_rows(content: bytes, whole: bool) -> Iterator[tuple[int, bytes]]:
    if whole:
        try:
            rows = list(documents.rows(content.decode("utf-8-sig")))
        except ValueError:
            rows = []
        if rows:
            yield from enumerate(map(_bytes, rows))
            return
    yield from enumerate(content.removeprefix(b"\xef\xbb\xbf").splitlines(keepends=True))


def _append(units: list[Unit], row: int, text: bytes, told: bool, together: int) -> None:
    """Add a line or a short row: to what is there as long as that is short, and in parts if it is long."""
    count = int(bool(text.strip()))
    last = units[-1] if units else None
    if last and not last.strings and last.told == told and len(last.raw) < together and len(text) <= PART:
        units[-1] = Unit(last.row, last.count + count, last.raw + text, told=told)
        return
    for at in range(0, max(1, len(text) - needed(WIDE)), PART):
        # The last part takes what is too short for a part of its own; each reaches into the next one by a piece.
        end = len(text) if len(text) - at - PART <= needed(WIDE) else at + PART + needed(WIDE)
        units.append(Unit(row, count, text[at:end], told=told))


def _closed(units: list[Unit], together: int) -> list[Unit]:
    """With what is left at the end put to what is before it."""
    if len(units) > 1 and len(units[-1].raw) < together:
        before, last = units[-2:]
        if before.told == last.told and not before.strings and not last.strings and before.row != last.row:
            return [*units[:-2], Unit(before.row, before.count + last.count, before.raw + last.raw, told=last.told)]
    return units


def pieces(unit: Unit, width: int, times: int) -> Iterator[Coded]:
    """What is looked for of a unit: its strings, if it is known by them. `times`: as many as usual of those."""
    if not unit.strings:
        for piece, found in spread(unit.raw, MOST_OF_LINES if width == WIDE else MOST_OF_TABLE, width):
            yield from of_text(piece, found)
        return
    most = MOST_OF_STRINGS * times
    texts: list[bytes] = []
    for text in documents.strings(documents.parse(unit.raw)):
        texts.append(_bytes(text))
        # As json.dumps writes it, unless that is how the file has it.
        escaped = json.dumps(text)[1:-1].encode()
        if escaped != texts[-1] and escaped not in unit.raw:
            texts.append(escaped)
    every = [one for text in texts for one in spread(text, most, width)]
    taken = min(len(every), most)
    for at in range(taken):
        yield from of_value(*every[at * len(every) // taken])


def stored(unit: Unit, times: int) -> Iterator[Coded]:
    """Pieces of a row of JSON as the file has it, which tell it no better than its strings do."""
    for piece, width in spread(unit.raw, MOST_AS_STORED * times, WIDE) if unit.strings else ():
        yield from of_text(piece, width)


def spread(text: bytes, most: int, width: int) -> Iterator[tuple[bytes, int]]:
    """Pieces of a text, evenly over all of it, and the width of their windows; none of what tells too little."""
    width = width if len(text) >= needed(width) else NARROW
    size = needed(width)
    room = len(text) - size
    count = min(most, -(-len(text) // EVERY))
    for number in range(count if room >= 0 else 0):
        start = room * (2 * number + 1) // (2 * count)
        piece = text[start : start + size]
        if len(set(piece)) >= LEAST_LETTERS:
            yield piece, width


def whole(unit: Unit) -> bytes:
    """What says whether two rows are the same, however JSON is written."""
    return json.dumps(documents.parse(unit.raw), sort_keys=True).encode() if unit.strings else unit.raw.strip()


def _bytes(text: str) -> bytes:
    # JSON may hold halves of a letter.
    return text.encode("utf-8", "surrogatepass")
