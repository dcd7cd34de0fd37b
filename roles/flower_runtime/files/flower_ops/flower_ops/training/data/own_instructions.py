# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's own instructions for a language model: a JSON object per line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flower_ops.training.data.errors import DataError, several
from flower_ops.training.data.lying import files_ending
from flower_ops.training.data.samples import Found, Row

FIELDS = ("instruction", "input", "output")


def row_of(value: Any) -> Row:
    """The three fields, the two last empty where they are missing. Raises ValueError with what is wrong."""
    if not isinstance(value, dict):
        raise ValueError("is no JSON object")
    row = {name: "" if value.get(name) is None else value[name] for name in FIELDS}
    wrong = [name for name, text in row.items() if not isinstance(text, str)]
    if wrong:
        raise ValueError(f"has an {wrong[0]} that is no text")
    if not row["instruction"].strip():
        raise ValueError("has no instruction")
    return row


def find_instructions(folder: Path) -> Found[list[Row]] | None:
    """instructions.jsonl, or all .jsonl files where there are several; None when there is none.

    Raises DataError for lines without `instruction`.
    """
    files = files_ending(folder, ".jsonl")
    if not files:
        return None
    rows: list[Row] = []
    origins: list[str] = []
    faults = []
    for file in files:
        try:
            # Not splitlines(): JSON may hold line separators of Unicode.
            lines = file.read_text(encoding="utf-8-sig").split("\n")
        except UnicodeDecodeError as error:
            faults.append(f"{file.name} is no text in UTF-8 ({error})")
            continue
        for number, line in enumerate(lines, 1):
            if line.strip():
                try:
                    rows.append(row_of(json.loads(line)))
                    origins.append(file.name)
                except json.JSONDecodeError as error:
                    faults.append(f"line {number} of {file.name} is no JSON ({error})")
                except ValueError as error:
                    faults.append(f"line {number} of {file.name} {error}")
    if not rows and not faults:
        faults.append(f"{files[0].name} has no lines")
    if faults:
        raise DataError(f"The instructions in {folder} cannot be used: {several(faults)}; correct them.")
    origin = f"own instructions {files[0] if len(files) == 1 else f'of {len(files)} files in {folder}'}"
    return Found(origin, len(rows), lambda indices: [rows[at] for at in indices], files=tuple(origins))
