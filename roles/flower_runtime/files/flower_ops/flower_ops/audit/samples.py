# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The samples of a node's data folder, each as a short piece that tells it from all others, in every form.

Arrays (.npy, in .npz), tables (.csv, .tsv), rows of JSON (.jsonl, .json), lines of text (.txt, .md) and what gzip has
packed of them are read as samples; of any other file parts of 4 KiB are taken as they are. Files are counted by their
paths in alphabetical order; their names never leave the node, because a name may say as much as a picture.
"""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import os
import random
import struct
import zipfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from flower_ops.audit import arrays, forms, texts
from flower_ops.audit.errors import DAMAGED
from flower_ops.audit.forms import ITEMS, Coded, Number
from flower_ops.audit.split import training
from flower_ops.audit.texts import LEAST_LETTERS

#: Files that are not read as samples are looked for in parts of this many bytes.
PART = 4096
#: Different numbers among those of a piece: blank paper is no sample.
LEAST_NUMBERS = 6
TABLES, JSONS, LINES = {".csv": ",", ".tsv": "\t"}, (".json", ".jsonl"), (".txt", ".md")
#: Lines of a table are put together until they have this many bytes.
TABLE = 48
#: Bytes read of a file at most, and numbers of an array that are looked at in one go.
LARGEST, CHUNK = 1 << 30, 1 << 20


@dataclass(frozen=True)
class Piece:
    """What is looked for of one sample: number of its file, its number there, and its forms.

    `whole`: a keyed hash of the whole sample, the same however wide its numbers are stored; 0 for labels, targets and
    indices, one number per entry, which many nodes have in common. `weight`: how many samples count as looked for by
    it. `again`: the same samples once more, in another order or form, so it may have stretches in common with others.
    """

    file: int
    row: int
    coded: tuple[Coded, ...]
    whole: int
    weight: int = 0
    again: bool = False


@dataclass
class Seen:
    """What the folder holds. `rows` counts samples, `taken` those that a piece was taken of.

    `together`: rows that are looked for as numbers in one piece, because one alone has too few; the most of any file.
    """

    files: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    taken: int = 0
    blank: int = 0
    bytes: int = 0
    unreadable: int = 0
    together: int = 1


def files_of(folders: Sequence[Path]) -> list[Path]:
    """All files below, in alphabetical order. A link to a file is one: an app that opens it sees no difference."""
    found = [
        Path(place) / name
        for folder in folders
        for place, _folders, names in os.walk(folder)
        for name in names
        if (Path(place) / name).is_file()
    ]
    return sorted(found)


class Reader:
    """Pieces of the samples in some folders, at most `limit` of them; which ones, the salt decides."""

    def __init__(self, folders: Sequence[Path], salt: bytes, limit: int) -> None:
        self.seen = Seen()
        self._files = files_of(folders)
        self._salt = salt
        self._chance = random.Random(salt)
        self._share = max(4, limit // max(1, len(self._files)))
        # The same paths on every node, so that what all of them have is known to be the same.
        ranked = sorted(range(len(self._files)), key=lambda number: self._keyed(os.fsencode(self._files[number])))
        self._chosen = set(ranked[: max(1, limit // 4)])
        #: Keyed hashes of the files that were read, by number.
        self.contents: dict[int, int] = {}

    def _keyed(self, data: bytes) -> int:
        return int.from_bytes(hashlib.blake2b(data, key=self._salt, digest_size=8).digest(), "little")

    def pieces(self) -> Iterator[Piece]:
        """All of them; `seen` is complete afterwards."""
        for number, path in enumerate(self._files):
            self.seen.files += 1
            kind = path.suffix.lower() or "none"
            self.seen.kinds[kind] = self.seen.kinds.get(kind, 0) + 1
            try:
                self.seen.bytes += path.stat().st_size
                if number in self._chosen:
                    yield from self._file(number, path)
                else:
                    self.seen.rows += 1
            except (*DAMAGED, csv.Error):
                self.seen.unreadable += 1

    def _file(self, number: int, path: Path) -> Iterator[Piece]:
        with path.open("rb") as stream:
            content = stream.read(LARGEST)
        self.contents[number] = self._keyed(content)
        yield from self._content(number, path.name, content, top=True)

    def _content(self, number: int, name: str, content: bytes, top: bool) -> Iterator[Piece]:
        suffix = Path(name).suffix.lower()
        if suffix == ".gz" and top:
            yield from self._parts(number, content)
            with gzip.open(io.BytesIO(content)) as stream:
                yield from self._content(number, name[:-3], stream.read(LARGEST), top=False)
        elif content.startswith(b"PK\x03\x04") and top:
            yield from self._parts(number, content)
            with zipfile.ZipFile(io.BytesIO(content)) as archive:
                for member in archive.infolist():
                    with archive.open(member) as stream:
                        yield from self._content(number, member.filename, stream.read(LARGEST), top=False)
        elif (array := arrays.read(content)) is not None and array.count:
            yield from self._array(number, array)
        elif suffix in TABLES:
            yield from self._table(number, content, TABLES[suffix])
        elif suffix == ".json" and len(content) > texts.LARGEST:
            yield from self._parts(number, content, samples=True)
        elif suffix in JSONS:
            read = texts.of_json(content, whole=suffix == ".json")
            self.seen.rows += read.rows
            yield from self._text(number, read.units)
            yield from self._numbers(number, read.numbers)
        elif suffix in LINES:
            lines = list(enumerate(content.splitlines(keepends=True)))
            self.seen.rows += sum(bool(line.strip()) for _row, line in lines)
            yield from self._text(number, texts.of_lines(lines))
        else:
            yield from self._parts(number, content, samples=top)

    def _array(self, number: int, array: arrays.Stored) -> Iterator[Piece]:
        # Short rows are taken several at a time: five numbers are in every file.
        step = array.row if array.row >= ITEMS else -(-ITEMS // array.row) * array.row
        rows = array.count // step
        per = max(1, step // array.row)
        # One number per entry is a label, or a target: looked for, but no sample of its own.
        counted = array.row > 1
        self.seen.rows += array.count // array.row * counted
        self.seen.together = max(self.seen.together, per * counted)
        chunks = range(0, array.count, CHUNK)
        greatest = float(max(max(array.values(at, min(CHUNK, array.count - at))) for at in chunks))
        # A picture in colours has half as many forms again.
        most = self._share * 2 // 3 if array.picture else self._share
        for row in self._some(rows, most):
            start = _best(array.values(row * step, step))
            if start is None:
                self.seen.blank += per * counted
                continue
            values = array.values(row * step + start, ITEMS)
            stored = array.bytes_of(row * step + start, ITEMS)
            coded = tuple(forms.of_numbers(values, stored, array.size, greatest))
            self.seen.taken += per * counted
            whole = self._keyed(_doubles(array.values(row * step, step))) if counted else 0
            yield Piece(number, row * per, coded, whole, per * counted)
        if array.picture >= ITEMS:
            yield from self._moved(number, array, greatest, most)

    def _moved(self, number: int, array: arrays.Stored, greatest: float, most: int) -> Iterator[Piece]:
        """The same pictures with the axis of colours moved; they were counted above."""
        for picture in self._some(array.count // array.picture, most):
            start = _best_start(array.picture, partial(array.moved, picture))
            if start is not None:
                values = array.moved(picture, start, ITEMS)
                coded = tuple(forms.of_moved(values, array.packed(values), array.size, greatest))
                whole = self._keyed(_doubles(array.values(picture * array.picture, array.picture)))
                yield Piece(number, picture * array.picture // array.row, coded, whole)

    def _table(self, number: int, content: bytes, delimiter: str) -> Iterator[Piece]:
        """Lines of a table and the numbers of its rows; its lines are what is counted as samples."""
        lines = [(row, line) for row, line in enumerate(content.splitlines(keepends=True)) if line.strip()]
        self.seen.rows += len(lines)
        units = texts.of_lines(lines, TABLE)
        yield from self._text(number, units, texts.NARROW)
        csv.field_size_limit(LARGEST)
        rows: list[list[float]] = []
        for cells in csv.reader(io.StringIO(content.decode("utf-8-sig", "replace")), delimiter=delimiter):
            rows.append([float(cell) for cell in cells if _is_number(cell)])
        yield from self._numbers(number, rows)
        header = bool(rows) and not rows[0]
        if any(unit.count > 1 for unit in units):
            kept = [lines[header + at] for at in training(len(lines) - header)]
            yield from self._text(number, texts.of_lines(kept, TABLE), texts.NARROW, again=True)

    def _numbers(self, number: int, rows: Sequence[list[float]]) -> Iterator[Piece]:
        """Numbers of rows, which are counted elsewhere; of narrow ones several at a time."""
        longest = max((len(row) for row in rows), default=0)
        whole = list(enumerate(row for row in rows if len(row) == longest))
        narrow = 0 < longest < 2 * ITEMS
        kept = [whole[at] for at in training(len(whole))] if narrow else []
        for again, some in ((False, whole), (True, kept)):
            # With the last column and without it, because that is usually the label.
            for width in range(longest, max(0, longest - 2), -1):
                yield from self._blocks(number, some, width, again, self._share // 2 if narrow else self._share)

    def _blocks(
        self, number: int, rows: Sequence[tuple[int, list[float]]], width: int, again: bool, most: int
    ) -> Iterator[Piece]:
        """Blocks of rows in the order given, by their first `width` columns."""
        numbers = [value for _at, row in rows for value in row[:width]]
        step = width if width >= ITEMS else -(-ITEMS // width) * width
        self.seen.together = max(self.seen.together, step // width)
        greatest = max(numbers, default=0)
        for at in self._some(len(numbers) // step, max(4, most)):
            whole = numbers[at * step : (at + 1) * step]
            start = _best(whole)
            if start is not None:
                coded = tuple(forms.of_numbers(whole[start:][:ITEMS], b"", 8, greatest))
                row = rows[at * (step // width)][0]
                yield Piece(number, row, coded, self._keyed(_doubles(whole)), again=again)

    def _text(
        self, number: int, units: Sequence[texts.Unit], width: int = texts.WIDE, again: bool = False
    ) -> Iterator[Piece]:
        """Rows and lines. `again`: they were counted before."""
        looked: dict[int, int] = {}
        taken: set[int] = set()
        times = max(1, self._share // max(1, len(units)))
        for at in self._some(len(units)):
            unit = units[at]
            coded, whole = tuple(texts.pieces(unit, width, times)), self._keyed(texts.whole(unit))
            looked[unit.row] = unit.count
            if coded and unit.told:
                taken.add(unit.row)
            yield Piece(number, unit.row, coded, whole, unit.count * unit.told * (not again), again)
            yield Piece(number, unit.row, tuple(texts.stored(unit, times)), whole, again=True)
        if not again:
            self.seen.taken += sum(looked[row] for row in taken)
            self.seen.blank += sum(looked[row] for row in looked.keys() - taken)

    def _parts(self, number: int, content: bytes, samples: bool = False) -> Iterator[Piece]:
        """Parts of a file as it is; `samples`: the file is one sample, for want of a better reading."""
        taken = 0
        for part in self._some(max(1, len(content) // PART)):
            piece = content[part * PART :][64:208] or content[:144]
            if len(set(piece)) >= LEAST_LETTERS:
                taken = 1
                whole = self._keyed(content[part * PART : (part + 1) * PART])
                yield Piece(number, part, tuple(forms.of_file(piece)), whole)
        if samples:
            self.seen.rows += 1
            self.seen.taken += taken
            self.seen.blank += 1 - taken

    def _some(self, total: int, most: int = 0) -> Sequence[int]:
        """All of them, or as many as the file's share allows, or `most`, chosen by the salt."""
        most = most or self._share
        return range(total) if total <= most else sorted(self._chance.sample(range(total), most))


def _best(values: Sequence[Number]) -> int | None:
    return _best_start(len(values), lambda start, count: values[start : start + count])


def _best_start(length: int, take: Callable[[int, int], Sequence[Number]]) -> int | None:
    """Where, among a few places, ITEMS numbers of a sample differ most; None when they hardly differ anywhere."""
    room = length - ITEMS
    if room < 0:
        return None
    starts = sorted({0, room // 4, room // 2, 3 * room // 4, room})
    # The last numbers are not part of narrow windows at every offset: the first ones must tell enough.
    different = {start: len(set(take(start + ITEMS // 3, ITEMS // 3))) for start in starts}
    best = max(starts, key=lambda start: different[start])
    return best if different[best] >= LEAST_NUMBERS else None


def _doubles(values: Sequence[Number]) -> bytes:
    return struct.pack(f"<{len(values)}d", *values)


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < 1e300
    except ValueError:
        return False
