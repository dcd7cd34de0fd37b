# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Texts of the language model's demo as numbers, and its learning rates."""

from __future__ import annotations

import pytest
from flower_ops.training.data import instructions
from llm_app.model import QWEN, SMALL, base_of, rate_of
from llm_app.text import IGNORED, ByteTokenizer, batch, example, prompt_of

TOKENS = ByteTokenizer()


def test_only_the_answer_and_its_end_are_learnt() -> None:
    row = {"instruction": "Add.", "input": "one and two", "output": "3 ü"}
    tokens, targets = example(row, TOKENS.encode, TOKENS.end, 512)
    asked = len(prompt_of(row).encode())
    assert bytes(tokens[:asked]).decode() == prompt_of(row) and "one and two" in prompt_of(row)
    assert targets[:asked] == [IGNORED] * asked
    assert bytes(targets[asked:-1]).decode() == "3 ü" and targets[-1] == TOKENS.end
    assert tokens[asked:] == targets[asked:]


def test_a_long_question_leaves_room_for_an_answer() -> None:
    row = {"instruction": "x" * 500, "output": "y" * 500}
    tokens, targets = example(row, TOKENS.encode, TOKENS.end, 64)
    assert len(tokens) == len(targets) == 64 and targets.count(IGNORED) == 32
    assert bytes(tokens[:32]).endswith(b"### Response:\n")


def test_texts_are_filled_up_to_the_longest() -> None:
    rows = instructions(source="bundled").samples[:5]
    tokens, targets, filled = batch(rows, TOKENS.encode, TOKENS.end, TOKENS.padding, 512)
    width = max(map(sum, filled))
    assert {len(one) for one in (*tokens, *targets, *filled)} == {width}
    for one, target, where in zip(tokens, targets, filled, strict=True):
        assert [token == TOKENS.padding for token in one] == [not there for there in where]
        assert all(there or aim == IGNORED for aim, there in zip(target, where, strict=True))
    assert max(map(max, tokens)) < TOKENS.size


def test_the_learning_rate_falls_along_a_cosine() -> None:
    rates = [rate_of(5e-5, number, 10) for number in range(1, 11)]
    assert rates[0] == pytest.approx(5e-5) and rates == sorted(rates, reverse=True) and rates[-1] > 1e-6
    assert rates[5] == pytest.approx((5e-5 + 1e-6) / 2)


def test_the_published_model_goes_with_the_published_texts() -> None:
    assert base_of("auto", "hub") == QWEN and base_of("auto", "bundled") == base_of("auto", "own") == SMALL
    assert base_of(QWEN, "bundled") == QWEN and base_of(SMALL, "hub") == SMALL
