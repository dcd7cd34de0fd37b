# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tables of few columns: what a node trains on is found, and how much of it has to leak is told."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path

import pytest
from audit_support import forms_found, prints_of, rows_found, samples
from flower_ops.audit.control import npy
from flower_ops.audit.prints import Prints
from flower_ops.audit.split import training

#: Rows and columns of the canary `table`; with four columns 12 rows are looked for together.
ROWS, COLUMNS, TOGETHER = 120, 4, 12
#: Of 20 rows.
HELD_BACK = [0, 7, 8, 12]
Table = tuple[list[list[float]], list[str], Prints]


@pytest.fixture(params=[False, True], ids=["bare", "with a header"])
def table(tmp_path: Path, request: pytest.FixtureRequest) -> Table:
    chance = random.Random(3)
    rows = [[round(chance.uniform(0.1, 8), 4) for _column in range(COLUMNS)] for _row in range(ROWS)]
    lines = [",".join(map(str, [*row, number % 3])) + "\n" for number, row in enumerate(rows)]
    head = ["a,b,c,d,kind\n"] if request.param else []
    (tmp_path / "data.csv").write_text("".join([*head, *lines]), encoding="ascii")
    return rows, lines, prints_of(tmp_path)


def flat(rows: list[list[float]]) -> list[float]:
    return [value for row in rows for value in row]


def test_what_the_use_cases_train_on_is_found_block_by_block(table: Table) -> None:
    """Without the fifth that is held back, twelve rows in a row are hardly ever twelve rows of the file."""
    rows, lines, whose = table
    kept = training(ROWS)
    assert len(kept) == 96
    for at in range(0, 96, TOGETHER):
        leaked = flat([rows[row] for row in kept[at : at + TOGETHER]])
        assert kept[at] in rows_found(whose, b"?" + struct.pack(f"<{len(leaked)}d", *leaked) + bytes(40))
        assert kept[at] in rows_found(whose, json.dumps(leaked).encode())
    assert len(rows_found(whose, "".join(lines[row] for row in kept).encode())) > 20


def test_the_file_as_it_is_is_found_as_before(table: Table) -> None:
    rows, lines, whose = table
    for at in range(0, ROWS, TOGETHER):
        leaked = flat(rows[at : at + TOGETHER])
        assert at in rows_found(whose, struct.pack(f"<{len(leaked)}d", *leaked))
        assert "the text itself" in forms_found(whose, "".join(lines[at : at + TOGETHER]).encode())
    every = flat(rows)
    assert len(rows_found(whose, struct.pack(f"<{len(every)}d", *every))) >= ROWS // TOGETHER


def test_how_many_rows_have_to_leak_together_is_told(table: Table, tmp_path: Path) -> None:
    """Twice as many in a row, less one, always hold a block; and one row alone is nothing that could be found."""
    rows, _lines, whose = table
    assert whose.facts["together"] == TOGETHER
    assert whose.facts["taken"] == whose.facts["rows"] and whose.facts["blank"] == 0
    for at in range(0, ROWS - 2 * TOGETHER, 5):
        leaked = flat(rows[at : at + 2 * TOGETHER - 1])
        assert rows_found(whose, struct.pack(f"<{len(leaked)}d", *leaked))
        assert not rows_found(whose, struct.pack(f"<{COLUMNS}d", *rows[at]) + bytes(99))
    for columns, together in ((64, 1), (5, 10)):
        (tmp_path / str(columns)).mkdir()
        (tmp_path / str(columns) / "x.npy").write_bytes(npy(samples(1, 40, columns), columns))
        assert prints_of(tmp_path / str(columns)).facts["together"] == together


def test_what_is_held_back_is_what_numpy_chooses() -> None:
    """As tests/unit/training/test_audit_split.py compares it with the use cases' own."""
    assert training(0) == training(1) == []
    assert sorted(set(range(20)) - set(training(20))) == HELD_BACK
    assert len(training(1001)) == 801


def test_a_cell_longer_than_readers_of_tables_take(tmp_path: Path) -> None:
    """The limit of Python's module csv is 128 kB."""
    text = f"{random.Random(4).getrandbits(2_000_000):x}"
    (tmp_path / "data.csv").write_text(f"1,{text}\n2,short\n", encoding="ascii")
    whose = prints_of(tmp_path)
    assert whose.facts["unreadable"] == 0 and whose.facts["rows"] == 2
    assert rows_found(whose, text[-len(text) * 6 // 10 :].encode())
