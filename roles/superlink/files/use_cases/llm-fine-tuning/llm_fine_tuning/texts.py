# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a row of instructions to tokens and labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol

#: What a label is where the model is not asked to say anything.
SILENT = -100


class Tokenizer(Protocol):
    """As much of a tokenizer as is used. `end`: the token at the end of an answer."""

    end: int

    def encode(self, text: str, first: bool) -> list[int]:
        """Tokens; `first`: with what the model wants at the beginning of a text."""


class Bytes:
    """A token for each byte of UTF-8, after three of its own; needs no vocabulary, which could be had from nowhere."""

    pad, start, end = 0, 1, 2
    size = 3 + 256

    def encode(self, text: str, first: bool) -> list[int]:
        """Tokens."""
        return [self.start] * first + [3 + byte for byte in text.encode()]


def parts(row: Mapping[str, str]) -> tuple[str, str]:
    """Question and answer of a row, in the form of the Alpaca data."""
    given = f"\n\n### Input:\n{row['input']}" if row["input"] else ""
    return f"### Instruction:\n{row['instruction']}{given}\n\n### Response:\n", row["output"]


def encoded(row: Mapping[str, str], tokenizer: Tokenizer, longest: int) -> tuple[list[int], list[int]] | None:
    """Tokens and labels of the same length; the answer alone is learned. None when it is cut off whole."""
    question, answer = parts(row)
    asked = tokenizer.encode(question, True)
    said = [*tokenizer.encode(answer, False), tokenizer.end]
    tokens = [*asked, *said][:longest]
    if len(tokens) <= len(asked):
        return None
    return tokens, [SILENT] * len(asked) + tokens[len(asked) :]
