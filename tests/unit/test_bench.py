# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the bench computes and reads; what it measures is no matter of a test."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.figures import Figure, number, table
from bench.play import BenchError, parse_recap, play

RECAP = """\
PLAY RECAP *********************************************************************
localhost                  : ok=24   changed=0    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0
bench-superlink-0          : ok=12   changed=3    unreachable=0    failed=0    skipped=1    rescued=0    ignored=0

""".splitlines()


def test_median_spread_and_goal() -> None:
    figure = Figure("a", "s", (30.0, 10.0, 50.0), goal=30)
    assert (figure.median, figure.met) == (30.0, True)
    assert figure.row() == ("a", "30 s", "10–50 (3x)", "≤ 30 s", "met")
    assert Figure("a", "s", (30.1,), goal=30).met is False
    assert Figure("a", "s", (30.1,)).met is None
    assert figure.as_dict()["max"] == 50.0


@pytest.mark.parametrize(("value", "text"), [(3.0, "3"), (1.0456, "1.05"), (12.34, "12.3"), (480.4, "480")])
def test_numbers_are_short(value: float, text: str) -> None:
    assert number(value) == text


def test_table_lines_up_and_ends_with_notes() -> None:
    lines = table([Figure("first", "s", (1.5,), 2, "cached"), Figure("the second", "", (7,))]).splitlines()
    assert lines[0].split() == ["figure", "median", "spread", "goal"]
    assert len({line.index(word) for line, word in ((lines[2], "1.50 s"), (lines[3], "7"))}) == 1
    assert lines[-1] == "first: cached"


def test_recap_is_read_from_its_last_occurrence() -> None:
    lines = ["PLAY RECAP ***", "old : ok=1 changed=1", "TASK [x]", *RECAP, "not : a recap"]
    assert parse_recap(lines) == {
        "localhost": {"ok": 24, "changed": 0, "unreachable": 0, "failed": 0, "skipped": 1, "rescued": 0, "ignored": 0},
        "bench-superlink-0": {
            "ok": 12, "changed": 3, "unreachable": 0, "failed": 0, "skipped": 1, "rescued": 0, "ignored": 0,
        },
    }  # fmt: skip
    assert parse_recap(["nothing"]) == {}


def test_a_command_is_timed_logged_and_judged(tmp_path: Path) -> None:
    log = tmp_path / "log"
    played = play(["sh", "-c", "echo one; sleep 0.3; echo two"], tmp_path, log)
    assert log.read_text() == "one\ntwo\n"
    assert played.at("two") - played.at("one") > 0.2
    assert played.at("three") == played.seconds
    with pytest.raises(BenchError, match=str(log)):
        play(["sh", "-c", "exit 3"], tmp_path, log)
