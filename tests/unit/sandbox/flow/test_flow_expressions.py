# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticity expressions and cron lines, without a cloud."""

from __future__ import annotations

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from one_sandbox.flow.cron import Cron, CronError
from one_sandbox.flow.expression import ExpressionError, parse

KNOWN = {"CPU": 90.0, "MEM": 10.0, "IDLE": 0.0}


@pytest.mark.parametrize(
    ("text", "truth", "shown"),
    [
        ("CPU > 80", True, "CPU[90.0] > 80"),
        ("cpu>80", True, "CPU[90.0] > 80"),
        (" CPU >= 90 && MEM<5 ", False, "CPU[90.0] >= 90 && MEM[10.0] < 5"),
        ("CPU<1|MEM=10", True, "CPU[90.0] < 1 | MEM[10.0] = 10"),
        ("!(CPU > 80)", False, "!(CPU[90.0] > 80)"),
        ("!CPU > 80", False, "!CPU[90.0] > 80"),
        ("(CPU > 80 & MEM <> 10) || IDLE == 0", True, "(CPU[90.0] > 80 & MEM[10.0] <> 10) || IDLE[0.0] == 0"),
        ("NOPE < 5", False, "NOPE[--] < 5"),
        ("-1.5 < IDLE", True, "-1.5 < IDLE[0.0]"),
    ],
)
def test_values(text: str, truth: bool, shown: str) -> None:
    assert parse(text)(KNOWN.get) == (truth, shown)


@pytest.mark.parametrize("text", ["CPU", "CPU > ", "> 1", "(CPU > 1", "CPU > 1 &", "CPU + 1 > 2", "CPU > 1 MEM < 2"])
def test_not_expressions(text: str) -> None:
    with pytest.raises(ExpressionError, match="^Expected "):
        parse(text)


@given(left=st.integers(-1000, 1000), right=st.integers(-1000, 1000))
def test_comparisons_are_those_of_numbers(left: int, right: int) -> None:
    for operator, expected in ((">", left > right), ("<=", left <= right), ("!=", left != right), ("=", left == right)):
        assert parse(f"{left} {operator} {right}")(KNOWN.get)[0] == expected


@pytest.mark.parametrize(
    ("line", "after", "expected"),
    [
        ("0 9 * * mon-fri", datetime(2026, 11, 21, 12, 0), datetime(2026, 11, 23, 9, 0)),
        ("*/15 * * * *", datetime(2026, 1, 1, 0, 0, 30), datetime(2026, 1, 1, 0, 15)),
        ("*/15 * * * *", datetime(2026, 1, 1, 0, 15), datetime(2026, 1, 1, 0, 30)),
        ("30 1,13 1 jan *", datetime(2026, 1, 1, 1, 30), datetime(2026, 1, 1, 13, 30)),
        ("0 0 13 * fri", datetime(2026, 11, 7, 0, 0), datetime(2026, 11, 13, 0, 0)),
        ("0 0 1 * sun", datetime(2026, 11, 2, 0, 0), datetime(2026, 11, 8, 0, 0)),
        ("@daily", datetime(2026, 2, 28, 5, 0), datetime(2026, 3, 1, 0, 0)),
    ],
)
def test_cron(line: str, after: datetime, expected: datetime) -> None:
    assert Cron(line).next_after(after.timestamp()) == int(expected.timestamp())


@pytest.mark.parametrize("line", ["", "* * * *", "60 * * * *", "a * * * *", "*/0 * * * *", "5-1 0 * * *"])
def test_not_cron(line: str) -> None:
    with pytest.raises(CronError):
        Cron(line)


def test_never() -> None:
    with pytest.raises(CronError):
        Cron("0 0 31 2 *").next_after(0)
