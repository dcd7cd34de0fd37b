# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts as numbers: the prompt around an instruction, and a tokenizer that needs no file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

# Told to PyTorch's loss: nothing is learnt from this place.
IGNORED = -100
BYTES = 256

Encode = Callable[[str], list[int]]


@dataclass(frozen=True)
class ByteTokenizer:
    """One token for each byte of UTF-8, and two more: for the end of a text, and for the rest of a row."""

    end: int = BYTES
    padding: int = BYTES + 1
    size: int = BYTES + 2

    def encode(self, text: str) -> list[int]:
        """The bytes."""
        return list(text.encode())


def prompt_of(row: Mapping[str, str]) -> str:
    """What the model is asked."""
    given = f"\n\n### Input:\n{row['input']}" if row.get("input") else ""
    return f"### Instruction:\n{row['instruction']}{given}\n\n### Response:\n"


def example(row: Mapping[str, str], encode: Encode, end: int, longest: int) -> tuple[list[int], list[int]]:
    """(tokens, targets) of one text, cut at `longest`; learnt is the answer with its end, not the question."""
    # Of a long question the end is kept, for without any answer there is nothing to learn.
    asked = encode(prompt_of(row))[-(longest // 2) :]
    answered = [*encode(row["output"]), end]
    tokens = (asked + answered)[:longest]
    return tokens, ([IGNORED] * len(asked) + answered)[:longest]


def batch(
    rows: list[dict[str, str]], encode: Encode, end: int, padding: int, longest: int
) -> tuple[list[list[int]], list[list[int]], list[list[int]]]:
    """(tokens, targets, 1 where a token is and 0 where filling is) of several texts, all of the same length."""
    found = [example(row, encode, end, longest) for row in rows]
    width = max(len(tokens) for tokens, _targets in found)
    tokens = [one + [padding] * (width - len(one)) for one, _targets in found]
    targets = [one + [IGNORED] * (width - len(one)) for _tokens, one in found]
    return tokens, targets, [[1] * len(one) + [0] * (width - len(one)) for one, _targets in found]
