# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The log parser on logs of real runs."""

from __future__ import annotations

import json

import pytest
from conftest_runs import recorded
from flower_ops.machine import foreign
from flower_ops.runs.log import RunLog, metrics
from hypothesis import given
from hypothesis import strategies as st


def parse(name: str, seconds_a_line: float = 0.0) -> RunLog:
    log = RunLog()
    for number, line in enumerate(recorded(name).splitlines()):
        log.feed(line, number * seconds_a_line)
    return log


def test_good_run() -> None:
    log = parse("completed")
    assert log.planned == 3 and [one["round"] for one in log.rounds] == [1, 2, 3]
    assert log.initial == {"loss": 2.445381398053332, "accuracy": 0.06963788300835655}
    last = log.rounds[-1]
    assert last["central"] == {"loss": 0.17490463400013284, "accuracy": 0.9554317548746518}
    assert last["train"] == {"train-loss": 0.20160210602836562, "train-accuracy": 0.9593326381647551}
    assert last["evaluate"] is None
    assert (last["nodes"], last["connected"], last["results"], last["failures"]) == (2, 2, 2, 0)
    assert all(one["done"] for one in log.rounds) and log.strategy_seconds == 27.39 and log.error is None


def test_the_summary_at_the_end_changes_nothing() -> None:
    log = RunLog()
    lines = recorded("completed").splitlines()
    end = next(number for number, line in enumerate(lines) if "Strategy execution finished" in line)
    for line in lines[: end + 1]:
        log.feed(line, 0)
    before = [dict(one) for one in log.rounds]
    for line in lines[end + 1 :]:
        assert not log.feed(line, 1000)
    assert log.rounds == before


def test_seconds_of_a_round_end_where_the_next_begins() -> None:
    log = parse("completed", seconds_a_line=1.0)
    lines = recorded("completed").splitlines()
    starts = [number for number, line in enumerate(lines) if "[ROUND " in line]
    end = next(number for number, line in enumerate(lines) if "Strategy execution finished" in line)
    assert [one["seconds"] for one in log.rounds] == [b - a for a, b in zip(starts, [*starts[1:], end], strict=True)]


def test_evaluation_on_nodes_and_lists_of_numbers() -> None:
    log = parse("evaluate_fedadam")
    assert [round(one["evaluate"]["eval-accuracy"], 3) for one in log.rounds] == [0.18, 0.415, 0.634]
    assert log.rounds[0]["evaluate"]["per-class"] == [0.5, 0.25]
    assert log.rounds[0]["train"]["train-accuracy"] == pytest.approx(0.884, abs=0.001)
    assert log.rounds[0]["evaluate_results"] == 2 and log.initial is None


def test_text_printed_by_the_app_is_no_round() -> None:
    assert "[ROUND 9/9]" in recorded("evaluate_fedadam")
    assert [one["round"] for one in parse("evaluate_fedadam").rounds] == [1, 2, 3]


def test_errors_of_nodes_are_kept_and_readable() -> None:
    log = parse("one_node_failing")
    assert all((one["results"], one["failures"]) == (1, 1) for one in log.rounds)
    assert log.rounds[0]["errors"] == [
        "node 1522078714093350033: FileNotFoundError: no digits at /opt/flower/data/shard-1.npz: "
        "make them with make_shards.py and put the file there"
    ]
    assert log.error is None


def test_of_many_errors_the_first_are_kept_and_the_others_counted() -> None:
    log, nodes = RunLog(), 1000
    failed = "INFO :      \t> Received error in reply from node"
    for number in range(1, 1001):
        log.feed(f"INFO :      [ROUND {number}/1000]", 0.0)
        for node in range(nodes if number <= 60 else 1):
            log.feed(f"{failed} {node}: {'é' * 2000}", 0.0)
    first, second = log.rounds[0]["errors"], log.rounds[49]["errors"]
    assert len(first) == len(second) == 21 and first[0].startswith("node 0: é") and len(first[0]) == 500
    assert first[-1] == second[-1] == "980 more, which the log of the run tells"
    # A run has a limit too; every round goes on telling how many there were.
    assert log.rounds[50]["errors"] == ["1000 more, which the log of the run tells"]
    assert log.rounds[999]["errors"] == ["1 more, which the log of the run tells"]
    assert len(json.dumps(log.rounds, indent=1)) < foreign.MOST / 2


def test_no_results_at_all() -> None:
    log = parse("completed_without_results")
    assert [(one["results"], one["failures"], one["train"]) for one in log.rounds] == [(0, 2, None)] * 3


def test_a_lost_node_is_a_failure_and_then_missing() -> None:
    log = parse("node_lost")
    assert [(one["nodes"], one["results"]) for one in log.rounds] == [(2, 2), (2, 1), (1, 1), (1, 1)]
    assert "Node Unavailable" in log.rounds[1]["errors"][0]


def test_reason_of_a_failed_server_app_is_its_exception() -> None:
    log = parse("serverapp_failed")
    assert log.error is not None
    assert log.error.startswith("FileNotFoundError: no digits at /opt/flower/data/test.npz")
    assert not log.rounds


def test_an_exception_that_an_app_only_printed_did_not_end_it() -> None:
    log = RunLog()
    printed = ["Traceback (most recent call last):", '  File "x.py", line 1', "ValueError: no picture today"]
    for line in ("INFO :      [ROUND 1/2]", *printed):
        log.feed(line, 0.0)
    assert log.exception == "ValueError: no picture today"
    log.feed("INFO :      aggregate_train: Received 2 results and 0 failures", 1.0)
    # Should the run fail without a word, this is still the best there is to say.
    assert log.exception is None and log.error == "ValueError: no picture today"


def test_a_round_that_flowers_own_bulyan_skips_is_dropped() -> None:
    log, said = RunLog(), "Insufficient replies, skipping Bulyan aggregation: Required at least 7, but received 4."
    for line in ("INFO :      [ROUND 1/2]", f"WARNING :   {said}", "INFO :      [ROUND 2/2]"):
        log.feed(line, 0.0)
    assert [one["dropped"] for one in log.rounds] == [said, None]


def test_waiting_for_nodes_is_told_once() -> None:
    log, news = RunLog(), 0
    for line in recorded("stopped_while_waiting").splitlines():
        if "Waiting for nodes" in line:
            news += log.feed(line, 0)
    assert news == 1 and log.waiting == "waiting for nodes: 2 connected, 3 needed"


def test_tail_has_no_colours_and_an_end() -> None:
    log = parse("completed")
    assert len(log.tail) == 40 and not any("\x1b" in line for line in log.tail)


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("{'loss': nan, 'accuracy': 0.5}", {"loss": None, "accuracy": 0.5}),
        ("{'loss': inf, 'a': -inf, 'nan': 1}", {"loss": None, "a": None, "nan": 1}),
        ("{'loss': 1e999}", {"loss": None}),
        ("{'-None': 0, 'nan inf': [nan, 1.0]}", {"-None": 0, "nan inf": [None, 1.0]}),
        ("{'a': [1, 1e999, b'x', [2]], 'b': b'x', 'c': 'text'}", {"a": [1, None, None, None]}),
        ("{}", {}),
        ("{'x': __import__('os')}", None),
        ("not a record", None),
        ("[1]", None),
    ],
)
def test_metrics(text: str, wanted: object) -> None:
    assert metrics(text) == wanted


@given(
    st.dictionaries(st.text(min_size=1, max_size=9), st.integers() | st.floats(allow_nan=False, allow_infinity=False))
)
def test_metrics_reads_what_python_prints(record: dict[str, float]) -> None:
    assert metrics(repr(record)) == record


@given(st.text())
def test_any_line_is_survived(line: str) -> None:
    log = RunLog()
    log.feed("INFO :      [ROUND 1/3]", 0)
    log.feed(line, 1)
    assert len(log.rounds) >= 1
