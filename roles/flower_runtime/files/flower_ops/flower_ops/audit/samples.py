# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The samples of a node's data folder, each as a short piece that tells it from all others, in every form.

Arrays (.npy, in .npz), tables (.csv, .tsv), lines of text (.jsonl, .txt) and what gzip has packed of them are read as
samples; of any other file parts of 4 KiB are taken as they are. Files are counted by their paths in alphabetical order;
their names never leave the node, because a name may say as much as a picture.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import random
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flower_ops.audit import arrays, forms
from flower_ops.audit.forms import ITEMS, Coded, Number

#: Files that are not read as samples are looked for in parts of this many bytes.
PART = 4096
#: Different numbers, or letters, among those of a piece: blank paper is no sample.
LEAST_NUMBERS, LEAST_LETTERS = 6, 10
TEXTS = (".csv", ".tsv", ".jsonl", ".json", ".txt", ".md")
#: Width of windows in text, and bytes of a piece: figures of a table tell more than as many letters.
TEXT, TABLE = (64, 96), (32, 48)
#: Bytes read of a file at most, and numbers of an array that are looked at in one go.
LARGEST, CHUNK = 1 << 30, 1 << 20


@dataclass(frozen=True)
class Piece:
    """What is looked for of one sample: number of its file, its number there, and its forms."""

    file: int
    row: int
    coded: tuple[Coded, ...]


@dataclass
class Seen:
    """What the folder holds. `rows` counts samples, `taken` those that a piece was taken of."""

    files: int = 0
    kinds: dict[str, int] = field(default_factory=dict)
    rows: int = 0
    taken: int = 0
    blank: int = 0
    bytes: int = 0
    unreadable: int = 0


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
        self._chance = random.Random(salt)
        self._share = max(4, limit // max(1, len(self._files)))
        self._chosen = set(range(len(self._files)))
        if len(self._files) > max(1, limit // 4):
            self._chosen = set(self._chance.sample(range(len(self._files)), max(1, limit // 4)))

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
            except (OSError, ValueError, EOFError, zipfile.BadZipFile, zlib.error):
                self.seen.unreadable += 1

    def _file(self, number: int, path: Path) -> Iterator[Piece]:
        with path.open("rb") as stream:
            content = stream.read(LARGEST)
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
        elif suffix in TEXTS:
            table = suffix in (".csv", ".tsv")
            yield from self._text(number, content, *(TABLE if table else TEXT))
            if table:
                yield from self._table(number, content, "\t" if suffix == ".tsv" else ",")
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
        chunks = range(0, array.count, CHUNK)
        greatest = float(max(max(array.values(at, min(CHUNK, array.count - at))) for at in chunks))
        for row in self._some(rows):
            start = _best(array.values(row * step, step))
            if start is None:
                self.seen.blank += per * counted
                continue
            values = array.values(row * step + start, ITEMS)
            stored = array.bytes_of(row * step + start, ITEMS)
            coded = tuple(forms.of_numbers(values, stored, array.size, greatest))
            self.seen.taken += per * counted
            yield Piece(number, row * per, coded)

    def _table(self, number: int, content: bytes, delimiter: str) -> Iterator[Piece]:
        """Numbers of a table's rows; its lines are counted as samples where its text is."""
        rows: list[list[float]] = []
        for cells in csv.reader(io.StringIO(content.decode("utf-8", "replace")), delimiter=delimiter):
            rows.append([float(cell) for cell in cells if _is_number(cell)])
        longest = max((len(row) for row in rows), default=0)
        rows = [row for row in rows if len(row) == longest]
        # With the last column and without it, because that is usually the label.
        for width in range(longest, max(0, longest - 2), -1):
            numbers = [value for row in rows for value in row[:width]]
            step = width if width >= ITEMS else -(-ITEMS // width) * width
            greatest = max(numbers)
            for at in self._some(len(numbers) // step):
                start = _best(numbers[at * step : (at + 1) * step])
                if start is not None:
                    values = numbers[at * step + start :][:ITEMS]
                    yield Piece(number, at * max(1, step // width), tuple(forms.of_numbers(values, b"", 8, greatest)))

    def _text(self, number: int, content: bytes, width: int, size: int) -> Iterator[Piece]:
        """Lines, several at a time where they are short."""
        groups: list[tuple[int, bytes]] = []
        held, first, rows = b"", 0, 0
        for row, line in enumerate(content.splitlines(keepends=True)):
            rows += bool(line.strip())
            first = first if held else row
            held += line
            if len(held) >= size:
                groups.append((first, held))
                held = b""
        self.seen.rows += rows
        per = max(1, round(rows / len(groups))) if groups else 1
        for at in self._some(len(groups)):
            row, text = groups[at]
            # The end of a line tells more than its beginning, which is often the same name of a field.
            middle = max(0, min(len(text) - size, len(text) // 3))
            piece = text[middle : middle + size]
            if len(set(piece)) < LEAST_LETTERS:
                self.seen.blank += per
                continue
            self.seen.taken += per
            yield Piece(number, row, tuple(forms.of_text(piece, width)))

    def _parts(self, number: int, content: bytes, samples: bool = False) -> Iterator[Piece]:
        """Parts of a file as it is; `samples`: the file is one sample, for want of a better reading."""
        taken = 0
        for part in self._some(max(1, len(content) // PART)):
            piece = content[part * PART :][64:208] or content[:144]
            if len(set(piece)) >= LEAST_LETTERS:
                taken = 1
                yield Piece(number, part, tuple(forms.of_file(piece)))
        if samples:
            self.seen.rows += 1
            self.seen.taken += taken
            self.seen.blank += 1 - taken

    def _some(self, total: int) -> Sequence[int]:
        """All of them, or as many as the file's share allows, chosen by the salt."""
        return range(total) if total <= self._share else sorted(self._chance.sample(range(total), self._share))


def _best(values: Sequence[Number]) -> int | None:
    """Where, among a few places, ITEMS numbers of a sample differ most; None when they hardly differ anywhere."""
    room = len(values) - ITEMS
    if room < 0:
        return None
    starts = sorted({0, room // 4, room // 2, 3 * room // 4, room})
    # The last numbers are not part of narrow windows at every offset: the first ones must tell enough.
    different = {start: len(set(values[start + ITEMS // 3 : start + 2 * ITEMS // 3])) for start in starts}
    best = max(starts, key=lambda start: different[start])
    return best if different[best] >= LEAST_NUMBERS else None


def _is_number(cell: str) -> bool:
    try:
        return abs(float(cell)) < 1e300
    except ValueError:
        return False
