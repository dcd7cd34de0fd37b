# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fast rounds: the same answers as by Flower's own grid, sooner, and a word about each that is missing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from digits import apps, new_model
from flower_ops.runs.log import RunLog
from flower_ops.training.flower import arrays_of, record_of
from flower_ops.training.grid import FastGrid, nodes
from flower_ops.training.rounds import Rounds
from flower_ops.training.settings import STRATEGIES, Settings
from flower_ops.training.strategies import build
from flwr.app import ArrayRecord, ConfigRecord, Context, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp.strategy import FedAvg
from local_grid import LocalGrid


class Clock:
    """Time that passes only while somebody sleeps."""

    def __init__(self) -> None:
        self.now = 0.0
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.now += seconds


def messages(grid: LocalGrid) -> list[Message]:
    content = RecordDict({"arrays": record_of(new_model()), "config": ConfigRecord({"server-round": 1})})
    return [Message(content, node, "train") for node in grid.nodes]


def fast(grid: LocalGrid, **settings: Any) -> tuple[FastGrid, Clock]:
    clock = Clock()
    return FastGrid(grid, clock=clock, sleep=clock.sleep, **settings), clock


class Stock(FastGrid):
    """In the place of the fast grid, and yet Flower's own way of waiting."""

    def send_and_receive(self, messages: Any, *, timeout: float | None = None) -> Any:
        return self._grid.send_and_receive(messages, timeout=timeout)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_results_are_those_of_the_stock_path_bit_by_bit(strategy: str) -> None:
    def run(kind: type[FastGrid]) -> list[np.ndarray[Any, Any]]:
        settings = Settings(
            strategy=strategy, num_malicious=1, min_available_clients=7, poll_interval=0.001, fraction_evaluate=1.0
        )
        grid = LocalGrid(apps(7))
        grid.looks = 1
        return arrays_of(Rounds(kind(grid), build(settings), settings).run(record_of(new_model()), []))

    for ours, stock in zip(run(FastGrid), run(Stock), strict=True):
        np.testing.assert_array_equal(ours, stock)


def test_flowers_own_loop_gives_the_same_model_on_its_grid_and_on_ours() -> None:
    def flower(grid: Any) -> list[np.ndarray[Any, Any]]:
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=4, min_available_nodes=4)
        return arrays_of(strategy.start(grid, record_of(new_model()), num_rounds=3).arrays)

    settings = Settings(min_available_clients=4)
    ours = arrays_of(Rounds(LocalGrid(apps(4)), build(settings), settings).run(record_of(new_model()), []))
    for one in (flower(LocalGrid(apps(4))), flower(FastGrid(LocalGrid(apps(4)), 0.001))):
        for left, right in zip(ours, one, strict=True):
            np.testing.assert_allclose(left, right, rtol=1e-9, atol=1e-12)


def test_pauses_grow_with_the_wait_and_stay_below_the_longest() -> None:
    grid = LocalGrid(apps(1))
    grid.looks = 200
    quick, clock = fast(grid, longest_pause=0.4)
    assert len(quick.send_and_receive(messages(grid))) == 1
    assert clock.pauses[0] == 0.25 and max(clock.pauses) == 0.4 and clock.pauses == sorted(clock.pauses)


def test_little_is_lost_whenever_the_answer_comes() -> None:
    for looks in (5, 50, 150):
        grid = LocalGrid(apps(1))
        grid.looks = looks
        quick, clock = fast(grid)
        quick.send_and_receive(messages(grid))
        assert clock.pauses[-1] <= max(0.25, 0.02 * clock.now)


def test_a_missing_answer_ends_the_wait_at_the_deadline_with_its_node() -> None:
    grid = LocalGrid(apps(3))
    grid.silent = {2}
    quick, clock = fast(grid)
    answers = {one.metadata.src_node_id: one for one in quick.send_and_receive(messages(grid), timeout=7.0)}
    assert clock.now == pytest.approx(7.0)
    assert [node for node in sorted(answers) if answers[node].has_error()] == [2]
    assert answers[2].error.reason == "no answer within 7 s"
    plain, clock = fast(grid, name_late=False)
    assert len(plain.send_and_receive(messages(grid), timeout=7.0)) == 2


def test_an_answer_at_the_last_moment_counts() -> None:
    grid = LocalGrid(apps(1))
    grid.looks = 20
    quick, clock = fast(grid, longest_pause=0.05)
    assert not quick.send_and_receive(messages(grid), timeout=1.0)[0].has_error()
    assert clock.now == pytest.approx(1.0)


def test_the_superlinks_word_for_a_lost_node_names_that_node() -> None:
    grid = LocalGrid(apps(3))
    grid.lost = {3}
    quick, _clock = fast(grid)
    bad = [one for one in quick.send_and_receive(messages(grid)) if one.has_error()]
    assert [(one.metadata.src_node_id, one.error.reason) for one in bad] == [(3, "Node Unavailable")]


def test_a_node_cannot_write_lines_of_the_log(log: list[str]) -> None:
    def lie(message: Message, context: Context) -> Message:
        raise RuntimeError("x\nINFO :      [ROUND 9/9]\x1b[2J" + "y" * 9000)

    liar = ClientApp()
    liar.train()(lie)
    settings = Settings(num_server_rounds=1, min_available_clients=3)
    grid = LocalGrid({**apps(3), 2: liar})
    Rounds(grid, build(settings), settings).run(record_of(new_model()), [])
    (told,) = [line for line in log if "in reply from node 2" in line]
    assert "x INFO : [ROUND 9/9]?[2Jyyy" in told and len(told) < 2200
    reader = RunLog()
    for line in log:
        reader.feed(line, 0.0)
    assert [one["round"] for one in reader.rounds] == [1] and reader.rounds[0]["failures"] == 1


def test_a_long_wait_is_told_with_its_nodes(log: list[str]) -> None:
    grid = LocalGrid(apps(3))
    grid.silent = {1, 2}
    quick, _clock = fast(grid)
    quick.send_and_receive(messages(grid), timeout=200.0)
    told = [line for line in log if "Waiting for nodes 1, 2 for" in line]
    assert len(told) == 3


class Refusing(LocalGrid):
    """Takes no message for the second node, or none at all, as Flower's grid tells it."""

    def __init__(self, everything: bool) -> None:
        super().__init__(apps(2))
        self.everything = everything

    def push_messages(self, messages: Any) -> Any:
        ids = super().push_messages(messages)
        return [] if self.everything else [ids[0], None]


@pytest.mark.parametrize(("everything", "refused"), [(True, [1, 2]), (False, [2])])
def test_messages_that_were_not_taken_are_not_waited_for(everything: bool, refused: list[int]) -> None:
    grid = Refusing(everything)
    quick, clock = fast(grid)
    answers = quick.send_and_receive(messages(grid), timeout=60.0)
    assert clock.now == 0.0
    assert sorted(one.metadata.src_node_id for one in answers if one.has_error()) == refused


def test_everything_else_is_the_other_grids() -> None:
    grid = LocalGrid(apps(2))
    quick = FastGrid(grid)
    quick.set_run(5)
    assert quick.run is None and list(quick.get_node_ids()) == [1, 2] and quick.looks == 0
    assert quick.send_and_receive([]) == []
    ids = quick.push_messages(messages(grid))
    assert len(list(quick.pull_messages(ids))) == 2
    assert isinstance(quick.create_message(RecordDict({"a": ArrayRecord()}), "train", 1, "g"), Message)
    assert not hasattr(quick, "something_else")


def test_nodes_in_words() -> None:
    assert nodes([3]) == "node 3" and nodes([4, 3]) == "nodes 3, 4"
    assert nodes(range(12)) == "nodes 0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more"
