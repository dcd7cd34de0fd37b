# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The survey before training: nodes that come, go, lie or say nothing, and how a plan reaches them."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flower_ops.training import inquiry
from flower_ops.training.client.messages import evaluated, task_of, trained
from flower_ops.training.errors import NodesMissing
from flower_ops.training.result import Result
from flower_ops.training.settings import Settings
from flower_ops.training.survey import node, source
from flower_ops.training.survey.plan import Undecided, Values, answer_of, read, values_of
from flower_ops.training.survey.server import Surveyed, agree, last_look
from flower_ops.training.train import train
from flwr.app import ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from local_grid import LocalGrid

FAST = {"checkpoint_enabled": False, "node_wait_timeout": 0.3, "round_timeout": 0.3}


def app(number: int, kind: str = "a", says: str | None = None) -> ClientApp:
    """A node that has something of a kind, and adds what the plan tells it."""
    client = ClientApp()

    @client.query("survey")
    def survey(message: Message, context: Context) -> Message:
        if says is not None:
            return Message(RecordDict({"answer": ConfigRecord({"answer": says})}), reply_to=message)
        return node.answer(message, context, lambda: {"kind": kind})

    @client.train()
    def improve(message: Message, context: Context) -> Message:
        task = task_of(message)
        return trained(message, [one + read(task.told)["step"] for one in task.arrays], number)

    @client.evaluate()
    def test(message: Message, context: Context) -> Message:
        if kind == "mute":
            raise RuntimeError("no figures today")
        return evaluated(message, number, {"value": float(task_of(message).arrays[0][0]) + number})

    return client


def decide(answers: Any, needed: int) -> Values:
    if all(one["kind"] == "b" for one in answers.values()):
        raise Undecided("there are only nodes of kind b; send some of kind a")
    return {"source": "bundled", "origin": "nothing", "step": 2.0, "kind": "a"}


def fits(answer: Values, plan: Values) -> str:
    return "" if answer["kind"] in ("mute", plan["kind"]) else f"is of kind {answer['kind']}"


def run(grid: LocalGrid, **more: Any) -> tuple[Result, Surveyed]:
    settings = Settings(**{**FAST, **more})
    keys = {name.replace("_", "-"): value for name, value in {**FAST, **more}.items()}
    context = Context(1, 1, {}, RecordDict(), keys)
    surveyed = agree(grid, settings, decide, fits)
    look = last_look(surveyed, settings)
    return train(surveyed, context, [np.zeros(2)], look, tell=surveyed.tell), surveyed


def trainers(grid: LocalGrid) -> list[int]:
    return [one.metadata.dst_node_id for one in grid.sent if one.metadata.message_type == "train"]


def test_nodes_that_fit_are_told_the_plan_and_the_last_model_is_tried() -> None:
    grid = LocalGrid({1: app(1), 2: app(3)})
    result, _surveyed = run(grid, num_server_rounds=3)
    np.testing.assert_array_equal(result.arrays[0], [6.0, 6.0])
    assert [one["central"] for one in result.rounds[1:]] == [None, None, {"value": 6 + (1 * 1 + 3 * 3) / 4}]
    assert [one.metadata.message_type for one in grid.sent].count("evaluate") == 2


def test_with_evaluation_in_every_round_there_is_no_last_look() -> None:
    grid = LocalGrid({1: app(1), 2: app(3)})
    result, _surveyed = run(grid, num_server_rounds=2, fraction_evaluate=1.0)
    assert [one.metadata.message_type for one in grid.sent].count("evaluate") == 4
    assert [one["central"] for one in result.rounds[1:]] == [None, None]


def test_a_node_that_fails_at_the_last_look_is_told(log: list[str]) -> None:
    result, _surveyed = run(LocalGrid({1: app(1), 2: app(2, "mute")}), num_server_rounds=1)
    assert result.rounds[1]["central"] == {"value": 3.0}
    assert any(line.startswith("Node 2 did not try the final model: ") and "no figures" in line for line in log)


def test_a_node_that_does_not_fit_is_left_out_and_said_once(log: list[str]) -> None:
    grid = LocalGrid({1: app(1), 2: app(2, "b"), 3: app(3)})
    run(grid, num_server_rounds=2)
    assert sorted(trainers(grid)) == [1, 1, 3, 3]
    assert [line for line in log if "takes no part" in line] == ["Node 2 takes no part: it is of kind b."]


def test_a_node_that_comes_later_is_asked_and_trains() -> None:
    grid = LocalGrid({1: app(1), 2: app(1), 3: app(1)})
    grid.away = {3}
    grid.before_round = lambda number: grid.away.clear() if number == 1 else None
    run(grid, num_server_rounds=2)
    assert sorted(trainers(grid)) == [1, 1, 2, 2, 3]


def test_training_begins_when_the_node_that_was_missing_has_come() -> None:
    grid = LocalGrid({1: app(1, "b"), 2: app(2, "b"), 3: app(1), 4: app(1)})
    grid.away = {3, 4}
    looks = iter(range(1000))
    inner = grid.get_node_ids

    def ids() -> Any:
        if next(looks) == 3:
            grid.away.clear()
        return inner()

    grid.get_node_ids = ids  # type: ignore[method-assign]
    _result, surveyed = run(grid, num_server_rounds=1, node_wait_timeout=20.0)
    assert surveyed.get_node_ids() == [3, 4] == sorted(trainers(grid))


def test_the_end_of_waiting_says_all_that_is_wrong() -> None:
    with pytest.raises(
        NodesMissing, match="The training did not begin: there are only nodes of kind b; send some of k"
    ):
        run(LocalGrid({1: app(1, "b"), 2: app(2, "b")}))
    with pytest.raises(NodesMissing, match="1 of 2 nodes can take part: node 2 is of kind b"):
        run(LocalGrid({1: app(1), 2: app(2, "b")}))
    with pytest.raises(NodesMissing, match="node 2 did not say what it has: .*query"):
        run(LocalGrid({1: app(1), 2: ClientApp()}))
    grid = LocalGrid({1: app(1), 2: app(2)})
    grid.silent = {2}
    with pytest.raises(NodesMissing, match="node 2 did not say what it has: no answer within"):
        run(grid)
    with pytest.raises(NodesMissing, match="node 1 has sklearn, not pytorch; node 2 has sklearn, not pytorch"):
        run(LocalGrid({1: app(1), 2: app(2)}), require_framework="pytorch")


def test_nodes_with_the_same_part_of_the_data_are_told_once(log: list[str]) -> None:
    parts = {1: "0", 2: "1", 3: "0"}
    grid = LocalGrid(dict.fromkeys(parts, app(1)), node_config=lambda number: {"partition-id": parts[number]})
    run(grid, num_server_rounds=2)
    (told,) = [line for line in log if "same data" in line]
    assert told.startswith("The same data counts more than once, because nodes 1, 3 have the same partition-id, 0")


def test_nodes_that_cut_the_data_into_other_numbers_of_parts_are_told_once(log: list[str]) -> None:
    cuts = {1: (0, 2), 2: (1, 3), 3: (2, 3)}
    grid = LocalGrid(
        dict.fromkeys(cuts, app(1)),
        node_config=lambda number: dict(zip(("partition-id", "num-partitions"), cuts[number], strict=True)),
    )
    run(grid, num_server_rounds=2)
    (told,) = [line for line in log if "more than once" in line]
    assert "cut it into different numbers of parts (2 on node 1; 3 on nodes 2, 3); give all the same num-part" in told


def test_a_silent_node_holds_up_neither_the_start_nor_a_round(log: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """The deadline of a round is 10 minutes here; node 3 answers the survey after the first round."""
    monkeypatch.setattr(inquiry, "GRACE", 0.2)
    grid = LocalGrid({1: app(1), 2: app(1), 3: app(1), 4: app(1)})
    grid.silent, begun = {3, 4}, time.monotonic()
    fetch = grid.pull_messages

    def pull(ids: Any) -> list[Message]:
        """Node 3 answers what it was asked, late."""
        waiting = {one.metadata.message_id: one for one in grid.sent if one.metadata.dst_node_id == 3}
        if trainers(grid) and (late := set(ids) & set(waiting)):
            return [*fetch(ids), grid.nodes[3](waiting[late.pop()], Context(1, 3, {}, RecordDict(), {}))]
        return fetch(ids)

    grid.pull_messages = pull  # type: ignore[method-assign]
    run(grid, num_server_rounds=2, round_timeout=600.0, node_wait_timeout=600.0)
    assert time.monotonic() - begun < 5
    assert sorted(trainers(grid)) == [1, 1, 2, 2, 3]
    said = [line for line in log if "part" in line]
    assert said == [
        "Node 3 takes no part: it did not say what it has: no answer yet.",
        "Node 4 takes no part: it did not say what it has: no answer yet.",
        "Node 3 takes part now.",
    ]


def test_a_plan_is_kept_for_a_training_that_goes_on(tmp_path: Path) -> None:
    kept = {"checkpoint_enabled": True, "checkpoint_path": str(tmp_path), "training": "t"}
    grid = LocalGrid({1: app(1), 2: app(1)})
    run(grid, num_server_rounds=1, **kept)
    # Only nodes of another kind are left, for which another plan had been made.
    with pytest.raises(NodesMissing, match="0 of 2 nodes can take part: node 1 is of kind b; node 2 is of kind b"):
        run(LocalGrid({1: app(1, "b"), 2: app(2, "b")}), num_server_rounds=2, **kept)
    result, _surveyed = run(grid, num_server_rounds=2, **kept)
    assert result.resumed_from == 1 and float(result.arrays[0][0]) == 4.0


DEEP = {"deep": "[" * 99_999, "deep, and whole": f'{{"a": {"[" * 5000 + "]" * 5000}}}'}


@pytest.mark.parametrize(
    "says", ["", "[]", "{", "null", '"x"', "3", "\x00", *(pytest.param(text, id=name) for name, text in DEEP.items())]
)
def test_an_answer_that_cannot_be_read_is_a_fault(says: str) -> None:
    with pytest.raises(NodesMissing, match="node 2 gave an answer that cannot be read"):
        run(LocalGrid({1: app(1), 2: app(2, says=says)}))


def test_an_answer_writes_no_lines_of_the_log() -> None:
    asked = Message(RecordDict(), 5, "query.survey")
    lies = {"fault": "x\nINFO :      [ROUND 3/3]\r\x1b[2J", "classes": ["a\nb", {"deep": 1}], "kind": {"a": 1}, "n": 3}
    values = values_of(answer_of(lies, asked))
    assert values == {"fault": "x INFO : [ROUND 3/3] ?[2J", "classes": ["a b", None], "kind": None, "n": 3}
    assert len(values_of(answer_of({"fault": "y" * 9999}, asked))["fault"]) == 2000


def test_seeds_differ_by_round_and_partition() -> None:
    def seed(number: int, partition: int) -> int:
        return node.seed(Context(1, 9, {"partition-id": partition}, RecordDict(), {}), number)

    found = {seed(number, partition) for number in range(1, 50) for partition in range(50)}
    assert len(found) == 49 * 50 and all(0 <= one < 1 << 32 for one in found)
    assert node.seed(Context(1, (1 << 64) - 1, {}, RecordDict(), {}), 3) < 1 << 32


def test_a_message_without_a_plan_is_an_error() -> None:
    with pytest.raises(ValueError, match="the message holds no plan"):
        read({})
    assert read({"plan": json.dumps({"a": [1]})}) == {"a": [1]}


def test_apps_that_were_packed_earlier_ask_for_the_source_in_one() -> None:
    assert source.common({1: {"source": "hub"}, 2: {"source": "hub"}}, 2) == "hub"
    assert source.common({1: {"source": "own"}, 2: {"source": "bundled"}}, 1) == "own"
    with pytest.raises(Undecided, match="1 of 2 nodes that the run needs have data of their own"):
        source.common({1: {"source": "own"}, 2: {"source": "bundled"}}, 2)


@pytest.mark.parametrize(
    ("has", "wanted", "unknown"),
    [
        ("0 1", "0.0 1.0", ""),
        ("0 1 2", "1.0 2.0", ""),
        ("0 1 2 3", "1.0 2.0", "3"),
        ("0 1 2", "0 1", "2"),
        ("a c", "a b", "c"),
        ("0.5 x", "0.50 x", ""),
    ],
)
def test_classes_of_a_plan_may_be_written_otherwise(has: str, wanted: str, unknown: str) -> None:
    plan = {"source": "own", "origin": "own table", "classes": wanted.split()}
    told = source.mismatch({"source": "own", "classes": has.split()}, plan)
    assert told == (f"has data of classes that the run does not know: {unknown}" if unknown else "")
