# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's own table: comma-separated numbers with the label last."""

from __future__ import annotations

import csv
import hashlib
import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from flower_ops.training.data.classes import label_of, numbered
from flower_ops.training.data.errors import DataError, several
from flower_ops.training.data.lying import files_ending
from flower_ops.training.data.samples import Array, Found

#: More different labels than this, in more than half of the lines, are none.
MOST_UNLIKE = 20


def _is_number(cell: str) -> bool:
    try:
        return math.isfinite(float(cell))
    except ValueError:
        return False


def _lines(file: Path) -> tuple[list[str], list[tuple[int, list[str]]]]:
    """The header, a first line whose features are no numbers, empty when there is none; lines with their numbers."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.reader(stream)
            lines = [(reader.line_num, [cell.strip() for cell in row]) for row in reader if any(map(str.strip, row))]
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{file} is no text in UTF-8 with comma-separated values ({error}); convert it.") from error
    if lines and len(lines[0][1]) > 1 and not any(map(_is_number, lines[0][1][:-1])):
        return [cell.lower() for cell in lines[0][1]], lines[1:]
    return [], lines


def find_table(folder: Path, classes: Sequence[str] | None) -> Found[Array] | None:
    """data.csv, or all .csv files where there are several: float64 (n, features); None when there is none.

    Raises DataError for cells that are no finite numbers, for lines of different length, and for files with headers
    that differ.
    """
    files = files_ending(folder, ".csv")
    if not files:
        return None
    rows, names, origins, faults = [], [], [], []
    width = 0
    header: list[str] = []
    for file in files:
        own_header, lines = _lines(file)
        # The label may be called as it pleases.
        if own_header and header and own_header[:-1] != header[:-1]:
            faults.append(f"the header of {file.name} is not that of the files before it")
        header = header or own_header
        for number, cells in lines:
            width = width or len(cells)
            if len(cells) != width or width < 2:
                wanted = f"{width}, as the first one has" if width > 1 else "at least two"
                faults.append(f"line {number} of {file.name} has {len(cells)} columns instead of {wanted}")
                continue
            bad = [column for column, cell in enumerate(cells[:-1], 1) if not _is_number(cell)]
            # Where it is, not what it is: the text leaves the node.
            faults += [f"column {at} of line {number} of {file.name} is no number" for at in bad]
            if not bad:
                rows.append([float(cell) for cell in cells[:-1]])
                names.append(label_of(cells[-1]))
                origins.append(file.name)
    if not rows and not faults:
        faults.append(f"{files[0].name} has no lines")
    if faults:
        raise DataError(f"The table in {folder} cannot be used: {several(faults)}; correct it.")
    different = len(set(names))
    if different > MOST_UNLIKE and 2 * different > len(names):
        # The names of classes leave the node; a column of measurements or numbers of patients must not.
        raise DataError(
            f"The last column of the table in {folder} has {different} different values in {len(names)} lines, so it is"
            " no label; put the label there."
        )
    features = np.array(rows, np.float64)
    # A plan may be older than the one way to write labels.
    given = None if classes is None else [label_of(name) for name in classes]
    labels, known = numbered(names, given, str(files[0] if len(files) == 1 else folder))
    origin = f"own table {files[0] if len(files) == 1 else f'of {len(files)} files in {folder}'}"
    # A name may say what nobody outside is to know.
    columns = hashlib.sha256("\n".join(header[:-1]).encode()).hexdigest()[:16] if header else ""
    return Found(
        origin, len(rows), lambda indices: features[indices], labels, known, files=tuple(origins), columns=columns
    )
