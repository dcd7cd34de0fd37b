# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text is found as an app handles it: strings of JSON in prompts, parts of long lines, elements of arrays."""

from __future__ import annotations

import json
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from audit_support import prints_of, rows_found
from flower_ops.audit import canary, documents
from flower_ops.audit.common import set_apart
from flower_ops.audit.prints import Prints

WORDS = "straße naïve data federation model round node weight secret patient letter number".split()
Row = dict[str, Any]


def told(chance: random.Random, words: int) -> str:
    """Text with what JSON escapes."""
    return "".join(f'{chance.choice(WORDS)} "{chance.randrange(10**6)}"\n' for _turn in range(words))


def instructions(count: int = 30, words: int = 20) -> list[Row]:
    chance = random.Random(5)
    return [{"instruction": told(chance, 6), "input": "", "output": told(chance, words)} for _row in range(count)]


def prompt(row: Row) -> str:
    return f"### Instruction:\n{row['instruction']}\n\n### Response:\n{row['output']}"


def of_file(folder: Path, name: str, content: str) -> Prints:
    (folder / name).write_text(content, encoding="utf-8")
    return prints_of(folder)


def lines(rows: list[Row], escaped: bool) -> str:
    return "".join(json.dumps(row, ensure_ascii=escaped) + "\n" for row in rows)


FILES = {
    "lines": ("x.jsonl", lambda rows: lines(rows, True)),
    "lines in UTF-8": ("x.jsonl", lambda rows: lines(rows, False)),
    "lines called json": ("x.json", lambda rows: lines(rows, True)),
    "an array on one line": ("x.json", json.dumps),
    "an array on many lines": ("x.json", lambda rows: json.dumps(rows, indent=2)),
    "an array in an object": ("x.json", lambda rows: json.dumps({"version": "1", "data": rows, "count": len(rows)})),
}


@pytest.mark.parametrize("form", FILES)
def test_strings_of_json_are_found_as_an_app_reads_them(form: str, tmp_path: Path) -> None:
    rows = instructions()
    name, write = FILES[form]
    whose = of_file(tmp_path, name, write(rows))
    beside = int(form == "an array in an object")
    assert (whose.facts["rows"], whose.facts["taken"], whose.facts["blank"]) == (30 + beside, 30, beside)
    for number, row in enumerate(rows):
        for leaked in (row["instruction"], row["output"], prompt(row), json.dumps(row["output"])):
            assert number in rows_found(whose, b"?" + leaked.encode() + bytes(40)), (form, leaked)
        # Cut at either end.
        text = row["output"].encode()
        for part in (text[: len(text) * 6 // 10], text[-len(text) * 6 // 10 :]):
            assert rows_found(whose, part + bytes(40)) == {number}


def test_every_value_of_the_canary_is_found_by_itself(tmp_path: Path) -> None:
    canary.plant(tmp_path / "data", "instructions", tmp_path / "manifest")
    content = (tmp_path / "data/instructions.jsonl").read_text(encoding="ascii")
    rows, whose = [json.loads(line) for line in content.splitlines()], prints_of(tmp_path / "data")
    assert whose.facts["taken"] == whose.facts["rows"] == len(rows) == 120
    for number, row in enumerate(rows):
        for leaked in (row["instruction"], row["output"], prompt(row)):
            assert rows_found(whose, b"a" + leaked.encode() + b" and so on") == {number}


@pytest.mark.parametrize("name", ["x.json", "x.txt", "x.md"])
def test_a_file_on_one_line_is_found_by_any_part_of_it(name: str, tmp_path: Path) -> None:
    chance = random.Random(7)
    texts = [f"{chance.getrandbits(700):x}" for _row in range(500)]
    content = json.dumps(texts) if name == "x.json" else " ".join(texts)
    whose = of_file(tmp_path, name, content)
    rows = 500 if name == "x.json" else 1
    assert (whose.facts["rows"], whose.facts["taken"], whose.facts["blank"]) == (rows, rows, 0)
    for part in (content[-len(content) * 6 // 10 :], content[30000:31000], content[:400]):
        assert rows_found(whose, part.encode())


def test_one_long_string_is_found_by_any_part_of_it(tmp_path: Path) -> None:
    text = f"{random.Random(8).getrandbits(200_000):x}"
    whose = of_file(tmp_path, "x.jsonl", json.dumps({"text": text}))
    assert all(rows_found(whose, text[at : at + 300].encode()) == {0} for at in range(0, len(text) - 300, 997))


def test_rows_whose_strings_are_too_short_are_told(tmp_path: Path) -> None:
    """Never silently clean: as they are stored they are found, but an app would send something else."""
    chance = random.Random(9)
    rows = [{"text": f"no {chance.getrandbits(60):x}", "label": number} for number in range(40)]
    whose = of_file(tmp_path, "x.jsonl", lines(rows, True))
    assert (whose.facts["rows"], whose.facts["taken"], whose.facts["blank"]) == (40, 0, 40)
    assert rows_found(whose, lines(rows, True).encode())


def test_rows_that_only_say_what_others_say_are_told(tmp_path: Path) -> None:
    """Each has a fingerprint to begin with, and none of its own."""
    chance = random.Random(9)
    same, other = told(chance, 10), told(chance, 10)
    rows = [{"system": same, "text": str(number)} for number in range(20)] + [{"system": other, "text": ""}]
    whose = of_file(tmp_path, "x.jsonl", lines(rows, True))
    assert whose.facts["rows"] == 21 and whose.facts["blank"] == whose.facts["rows"] - whose.facts["taken"] >= 10
    assert rows_found(whose, other.encode()) == {20} and not rows_found(whose, same.encode())


def test_rows_of_json_that_are_numbers_are_found_as_numbers(tmp_path: Path) -> None:
    chance = random.Random(10)
    rows = [[chance.random() for _column in range(60)] for _row in range(12)]
    whose = of_file(tmp_path, "x.json", json.dumps([{"x": row, "kind": "a"} for row in rows]))
    assert (whose.facts["rows"], whose.facts["taken"], whose.facts["blank"]) == (12, 12, 0)
    assert 7 in rows_found(whose, struct.pack("<60d", *rows[7]))


def test_a_row_is_the_same_however_json_writes_it(tmp_path: Path) -> None:
    """And what only its instruction has in common with another row tells neither."""
    rows = instructions(4)
    alike = {**rows[3], "output": told(random.Random(1), 20)}
    nodes = []
    for name, content in (("a", lines(rows, True)), ("b", lines([rows[0], alike], False))):
        (tmp_path / name).mkdir()
        nodes.append(of_file(tmp_path / name, "x.jsonl", content))
        nodes[-1].node = name
    assert set_apart(nodes)
    assert rows_found(nodes[0], rows[0]["output"].encode()) == {0}
    assert rows_found(nodes[0], rows[3]["output"].encode()) == {3}
    assert not rows_found(nodes[0], rows[3]["instruction"].encode())


@pytest.mark.parametrize(
    "text", ["", "[", "[1", "[1 2]", '{"a"', '{"a" 1}', '{"a": [{}', "[1] 2", "nan or so", "{1: 2}"]
)
def test_what_is_no_json_is_read_as_lines(text: str, tmp_path: Path) -> None:
    for padded in (text, text + " " * documents.ONE):
        with pytest.raises(ValueError, match="."):
            list(documents.rows(padded))
    deep = "[" * 200_000
    assert of_file(tmp_path, "x.json", text + deep).facts["unreadable"] == 0
    assert of_file(tmp_path, "y.jsonl", text + deep).facts["unreadable"] == 0
