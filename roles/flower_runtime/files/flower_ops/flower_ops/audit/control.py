# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The positive control: samples that nobody has, put where a search has to find them.

A search that finds nothing proves something only if it would have found. So every search looks for samples made by
chance as well, that lie on the same disks in every form, in packed files, in a deleted row of a database, and in packed
rows of a database and of its log, behind what no packing makes smaller, such as a model.
"""

from __future__ import annotations

import gzip
import json
import random
import shutil
import sqlite3
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

from flower_ops.audit import arrays, forms, prints
from flower_ops.audit.forms import FORMS
from flower_ops.audit.prints import Prints

NAME = "positive control"
PREFIX = "flower-audit-control-"
#: Pictures, their side and colours.
COUNT, SHAPE = 24, (8, 8, 3)
WIDTH = 8 * 8 * 3
#: Bytes that are packed before the samples.
BEFORE = 100_000


class Control:
    """Makes samples and their fingerprints, plants them, says which were not found, and removes all of it."""

    def __init__(self, salt: bytes, places: Sequence[Path]) -> None:
        self._chance = random.Random()
        self._places = [place for place in places if place.is_dir()]
        self._folders: list[Path] = []
        self.planted: dict[str, str] = {}
        self._array = bytes(self._chance.randrange(251) for _turn in range(COUNT * WIDTH))
        self._texts = [self._text() for _turn in range(COUNT)]
        self._lines = "".join(json.dumps({"instruction": text}) + "\n" for text in self._texts).encode()
        self._other = self._chance.randbytes(2 * 4096)
        with tempfile.TemporaryDirectory() as folder:
            (Path(folder) / "samples.npy").write_bytes(npy(self._array, (COUNT, *SHAPE)))
            (Path(folder) / "samples.jsonl").write_bytes(self._lines)
            (Path(folder) / "samples.bin").write_bytes(self._other)
            self.prints: Prints = prints.make(NAME, [Path(folder)], salt, 10**6)

    def _text(self) -> str:
        # JSON writes the letter in the middle in another way than an app does.
        return f"{self._chance.getrandbits(160):040x} \u00e9 {self._chance.getrandbits(160):040x}"

    def plant(self) -> None:
        """Write one file per form into the first place, and one of plain bytes into every other."""
        for number, place in enumerate(self._places):
            folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=place))
            self._folders.append(folder)
            if number:
                self._write(folder / "bytes", self._array, f"a file in {place}")
            else:
                self._plant_forms(folder)

    def _plant_forms(self, folder: Path) -> None:
        array = arrays.read(npy(self._array, (COUNT, *SHAPE)))
        assert array is not None
        values = array.values(0, array.count)
        coded = [*forms.of_numbers(values, self._array, 1, max(values))]
        moved = [value for number in range(COUNT) for value in array.moved(number, 0, WIDTH)]
        coded += forms.of_moved(moved, array.packed(moved), 1, max(values))
        coded += [*forms.of_text(self._lines, 64), *forms.of_value("; ".join(self._texts).encode(), 64)]
        coded += forms.of_file(self._other)
        for number, one in enumerate(coded):
            self._write(folder / f"form-{number}", one.data, FORMS[one.form])
        # Numbers of 8 bits that chance made do not get smaller: packed, they would lie there as they are.
        wide = struct.pack(f"<{array.count}d", *values)
        with gzip.open(folder / "packed.gz", "wb") as stream:
            stream.write(wide)
        self.planted[str(folder / "packed.gz")] = "a file packed by gzip"
        with zipfile.ZipFile(folder / "packed.zip", "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("arr_0.npy", wide)
        self.planted[str(folder / "packed.zip")] = "an archive of NumPy"
        self._write(folder / "inside", (folder / "packed.zip").read_bytes(), "an archive of NumPy inside a file")
        packed = zlib.compress(self._chance.randbytes(BEFORE) + wide)
        self._write(folder / "stream", packed, "a packed stream inside a file")
        self._plant_deleted(folder, wide)
        self._plant_packed(folder, packed)

    def _plant_deleted(self, folder: Path, row: bytes) -> None:
        base = sqlite3.connect(folder / "rows.db")
        base.execute("PRAGMA secure_delete = OFF")
        base.execute("CREATE TABLE objects (content BLOB)")
        base.execute("INSERT INTO objects VALUES (?)", (row,))
        base.commit()
        base.execute("DELETE FROM objects")
        base.commit()
        base.close()
        self.planted[str(folder / "rows.db")] = "a deleted row of a database"

    def _plant_packed(self, folder: Path, row: bytes) -> None:
        """In a database, and in the log of one that has deleted it since."""
        path, log = folder / "packed.db", folder / "packed.log"
        base = sqlite3.connect(path)
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("CREATE TABLE objects (content BLOB)")
        for _turn in range(2):
            base.execute("DELETE FROM objects")
            base.commit()
            if (written := folder / "packed.db-wal").exists():
                shutil.copy(written, log)
            base.execute("INSERT INTO objects VALUES (?)", (row,))
            base.commit()
        base.close()
        self.planted[str(path)] = "a packed row of a database"
        self.planted[str(log)] = "a packed row in the log of a database"

    def _write(self, path: Path, data: bytes, what: str) -> None:
        noise = self._chance.randbytes
        path.write_bytes(noise(self._chance.randrange(1, 200)) + data + noise(100))
        self.planted[str(path)] = what

    def missed(self, found: set[str]) -> list[str]:
        """What was not found again, in words, by the paths that hits were in."""
        return sorted({what for path, what in self.planted.items() if path not in found})

    def remove(self) -> None:
        """Take away all that was planted."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
        self._folders.clear()


def npy(data: bytes, columns: int | tuple[int, ...]) -> bytes:
    """A uint8 array in NumPy's format 1.0: of that many columns, of a shape, or (0) of one axis."""
    if isinstance(columns, tuple):
        shape = columns
    else:
        shape = (len(data) // columns, columns) if columns else (len(data),)
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    text = (header + " " * (-(11 + len(header)) % 64) + "\n").encode("latin-1")
    return arrays.MAGIC + b"\x01\x00" + len(text).to_bytes(2, "little") + text + data
