# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The report: well-formed, self-contained, escaped, honest."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.flower.chart import round_ticks, value_ticks
from ansible_collections.opennebula.flower.plugins.module_utils.flower.report import render
from flower_ops.runs.log import RunLog
from flower_ops.runs.record import new_record
from flower_ops.runs.verdict import add_answer, add_log
from hypothesis import given
from hypothesis import strategies as st

LOGS = Path(__file__).parents[2] / "flower_ops/runs/logs"


def run_of(name: str, status: str = "finished:completed") -> dict[str, Any]:
    """What flower_run returns for the run of a recorded log."""
    log = RunLog()
    for number, line in enumerate((LOGS / f"{name}.log").read_text(encoding="utf-8").splitlines()):
        log.feed(line, number / 2)
    record = new_record("14678539780739616445", {"name": "digits", "version": "1.0.0"}, Path("/out"))
    add_log(record, log, {})
    traffic = {"inbound-bytes": 193794, "outbound-bytes": 197868}
    add_answer(record, {"status": status, "elapsed": 23.1, "network-traffic": traffic}, log.error)
    return record


def parse(page: str) -> ElementTree.Element:
    assert page.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(page.split("\n", 1)[1])


def text_of(page: str) -> str:
    return " ".join("".join(parse(page).itertext()).split())


def test_good_run() -> None:
    page = render(run_of("completed"), "Digits")
    text = text_of(page)
    for part in ("Completed", "95.5 %", "0.175", "3 of 3", "23 s", "392 kB", "131 kB a round on average", "0.9554"):
        assert part in text
    assert len(parse(page).findall(".//figure")) == 2


def test_lines_and_marks_lie_where_the_numbers_are() -> None:
    page = parse(render(run_of("completed"), "Digits"))
    accuracy = page.findall(".//figure")[0].findall("svg")[0]
    (line,) = [one for one in accuracy.iter("polyline") if one.get("class") == "line s0"]
    heights = [float(point.split(",")[1]) for point in str(line.get("points")).split()]
    ticks = [float(one.get("y1", "nan")) for one in accuracy.iter("line")]
    bottom, top = max(ticks), min(ticks)
    read = [(bottom - height) / (bottom - top) for height in heights]
    assert read == pytest.approx([0.0696, 0.8914, 0.9471, 0.9554], abs=0.001)


def test_degraded_run_is_called_degraded() -> None:
    text = text_of(render(run_of("one_node_failing"), "x"))
    assert "Completed with missing results" in text and "1 of 2" in text and "FileNotFoundError" in text


def test_failed_run_shows_reason_and_log_and_no_curve() -> None:
    page = render(run_of("serverapp_failed", "finished:failed"), "x")
    assert (
        "Failed" in text_of(page) and "FileNotFoundError" in text_of(page) and "No round was started" in text_of(page)
    )
    assert parse(page).find(".//details").get("open") == "open"  # type: ignore[union-attr]
    assert not parse(page).findall(".//figure")


def test_figures_of_nodes_are_not_called_held_back() -> None:
    text = text_of(render(run_of("evaluate_fedadam"), "x"))
    assert "Nodes' evaluation data" in text and "Held-back" not in text and "per-class [0.5, 0.25]" in text


def test_a_training_says_which_runs_it_took() -> None:
    ended = {"run_id": "11", "ended": "broken", "reason": "the run ended without a word", "from_round": 0}
    last = {"run_id": "12", "ended": "done", "reason": "", "from_round": 2}
    third = {"run_id": "13", "ended": "broken", "reason": "", "from_round": 1}
    text = text_of(render({**run_of("completed"), "training": "night-1a", "runs": [ended, third, last]}, "x"))
    assert "Training night-1a" in text.replace("Trainingnight", "Training night")
    assert "11: the run ended without a word; 13 from round 1: broken" in text
    assert "of its runs together" in text and "in all its runs" in text
    alone = text_of(render({**run_of("completed"), "training": "", "runs": [last]}, "x"))
    assert "Earlier runs" not in alone and "start to end of the run" in alone and "in the whole run" in alone


def test_nothing_from_outside_and_no_script() -> None:
    page = render(run_of("completed"), "x")
    assert not re.search(r"<script|<link|<img|<iframe|@import|url\(|https?://|\son\w+=", page)


NASTY = "<script>alert('x')</script>&\"\x00\x1b]"


def test_everything_is_escaped() -> None:
    run = run_of("one_node_failing")
    run.update(run_id=NASTY, reason=NASTY, app={"name": NASTY, "version": NASTY}, versions={"flwr": NASTY})
    run.update(training=NASTY, runs=[{"run_id": NASTY, "reason": NASTY, "from_round": NASTY}] * 2)
    run["log_tail"], run["files"] = [NASTY], [{"name": NASTY, "size": 1}]
    run["rounds"][0].update(errors=[NASTY], train={NASTY: 1.5, "loss": 0.5})
    page = render(run, NASTY)
    assert "<script" not in page
    parse(page)


VALUES = st.none() | st.floats(allow_nan=False, allow_infinity=False) | st.integers(-(10**12), 10**12)
ROUND = st.fixed_dictionaries(
    {
        "round": st.integers(1, 5000),
        "central": st.none() | st.dictionaries(st.sampled_from(["loss", "accuracy", "x"]), VALUES),
        "train": st.none() | st.dictionaries(st.text(), VALUES | st.lists(st.floats())),
        "errors": st.lists(st.text(), max_size=2),
    }
)


@given(st.lists(ROUND, max_size=5, unique_by=lambda one: one["round"]), st.text(), st.text())
def test_any_run_gives_a_page(rounds: list[dict[str, Any]], title: str, reason: str) -> None:
    parse(
        render(
            {"run_id": "1", "status": "x", "rounds": sorted(rounds, key=lambda r: r["round"]), "reason": reason}, title
        )
    )


@given(st.floats(-1e9, 1e9), st.floats(-1e9, 1e9))
def test_value_ticks_hold_the_data(low: float, high: float) -> None:
    low, high = sorted((low, high))
    ticks = value_ticks(low, high)
    slack = 1e-6 * max(abs(low), abs(high), 1e-9)
    assert (
        ticks[0] <= low + slack and ticks[-1] >= high - slack and ticks == sorted(set(ticks)) and 2 <= len(ticks) <= 8
    )


@given(st.integers(0, 5), st.integers(0, 3000))
def test_round_ticks_are_few_and_end_with_the_last(first: int, more: int) -> None:
    ticks = round_ticks(first, first + more)
    assert ticks[-1] == first + more and len(ticks) <= 14 and ticks == sorted(set(ticks))
