# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut the digits data set into disjoint shards for the nodes and a held-back test set for the SuperLink.

    python3 make_shards.py --out DIR --shards 3      writes DIR/shard-0.npz … shard-2.npz and DIR/test.npz

Every file holds `images` (n, 64) and `labels` (n,), both uint8. Each digit is spread evenly over the files
(stratified), the split is the same on every machine, and no image is in two files. Needs only Python's standard
library, because it runs where the data is handed out, which is often a controller without NumPy.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import io
import os
import random
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

SOURCE = Path(__file__).resolve().parent / "data" / "digits.csv.gz"
PIXELS = 64
EPOCH = (1980, 1, 1, 0, 0, 0)

Row = tuple[bytes, int]


def read_digits(source: Path = SOURCE) -> list[Row]:
    """All images as (64 bytes of darkness 0..16, digit), in the order of the data set."""
    with gzip.open(source, "rt", encoding="ascii", newline="") as stream:
        return [
            (bytes(int(float(cell)) for cell in row[:PIXELS]), int(float(row[PIXELS]))) for row in csv.reader(stream)
        ]


def split(rows: list[Row], shards: int, test_share: float, seed: int) -> tuple[list[list[Row]], list[Row]]:
    """(shards, test set): of each digit, shuffled, the first part is held back and the rest is dealt out in turn."""
    dealt: list[list[Row]] = [[] for _turn in range(shards)]
    test: list[Row] = []
    turn = 0
    for digit in range(10):
        mine = [row for row in rows if row[1] == digit]
        random.Random(seed * 100 + digit).shuffle(mine)
        held_back = round(len(mine) * test_share)
        test.extend(mine[:held_back])
        for row in mine[held_back:]:
            dealt[turn % shards].append(row)
            turn += 1
    for part, content in enumerate([*dealt, test]):
        random.Random(seed * 1000 + part).shuffle(content)
    return dealt, test


def npy(shape: tuple[int, ...], content: bytes) -> bytes:
    """One uint8 array in NumPy's .npy format 1.0."""
    header = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape!r}, }}"
    padding = -(10 + len(header) + 1) % 64
    text = (header + " " * padding + "\n").encode("latin-1")
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + content


def write_npz(path: Path, rows: Iterable[Row]) -> None:
    """Write `images` and `labels`; the same rows give the same bytes."""
    rows = list(rows)
    members = {
        "images.npy": npy((len(rows), PIXELS), b"".join(row[0] for row in rows)),
        "labels.npy": npy((len(rows),), bytes(row[1] for row in rows)),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(name, EPOCH), content, zipfile.ZIP_DEFLATED)
    if path.is_file() and path.read_bytes() == buffer.getvalue():
        return
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_bytes(buffer.getvalue())
    temporary.replace(path)


def main(arguments: list[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="folder for the files, made if missing")
    parser.add_argument("--shards", type=int, default=3, help="number of nodes that get data (default: 3)")
    parser.add_argument("--test-share", type=float, default=0.2, help="share held back for testing (default: 0.2)")
    parser.add_argument("--seed", type=int, default=2024, help="another seed gives another split (default: 2024)")
    options = parser.parse_args(arguments)
    if not 1 <= options.shards <= 100:
        parser.error(f"--shards {options.shards}: use a number from 1 to 100, so that every shard holds every digit")
    if not 0.05 <= options.test_share <= 0.5:
        parser.error(f"--test-share {options.test_share}: use a number from 0.05 to 0.5")
    shards, test = split(read_digits(), options.shards, options.test_share, options.seed)
    options.out.mkdir(parents=True, exist_ok=True)
    for number, rows in enumerate(shards):
        write_npz(options.out / f"shard-{number}.npz", rows)
    write_npz(options.out / "test.npz", test)
    print(f"{options.out}: {len(shards)} shards of {', '.join(str(len(s)) for s in shards)} images, test {len(test)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
