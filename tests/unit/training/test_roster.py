# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who takes part, and a wait for nodes that always ends."""

from __future__ import annotations

from typing import Any

import pytest
from digits import app, apps
from flower_ops.runs.log import RunLog
from flower_ops.training.errors import NodesMissing
from flower_ops.training.grid import FastGrid
from flower_ops.training.roster import Roster, mismatch
from flower_ops.training.settings import Settings
from flwr.app import ConfigRecord
from flwr.clientapp import ClientApp
from local_grid import LocalGrid
from passing_time import Time


def roster(grid: LocalGrid, time: Time | None = None, **settings: Any) -> Roster:
    time = time or Time(100.0)
    return Roster(FastGrid(grid), Settings(**settings), clock=time, sleep=time.sleep)


def test_a_round_begins_as_soon_as_enough_nodes_are_there() -> None:
    grid, time = LocalGrid(apps(3)), Time(100.0)
    grid.away = {2, 3}
    time.at = {105.0: lambda: grid.away.discard(3)}
    found = roster(grid, time).gather(1, 2)
    assert list(found.get_node_ids()) == [1, 3] and time.now == 105.0
    # What is chosen stays so for the round, whoever leaves: Flower would wait for it without limit.
    grid.away = {1, 2, 3}
    assert list(found.get_node_ids()) == [1, 3]


def test_the_wait_is_told_with_those_who_were_here_before(log: list[str]) -> None:
    grid, time = LocalGrid(apps(3)), Time(100.0)
    nodes = roster(grid, time, node_wait_timeout=60.0)
    nodes.gather(1, 3)
    time.now += 10
    grid.away = {2}
    with pytest.raises(NodesMissing) as caught:
        nodes.gather(2, 3)
    assert str(caught.value) == (
        "Round 2 did not begin: 2 of 3 nodes were there for 60 s (here: nodes 1, 3; node 2 has been away for 70 s). "
        "Start the missing SuperNodes, or lower min-available-clients."
    )
    assert time.now == pytest.approx(170.0)
    told = [line for line in log if "Round 2 cannot begin" in line]
    assert len(told) == 4
    assert told[1].endswith(
        "Round 2 cannot begin (here: nodes 1, 3; node 2 has been away for 25 s); the run ends in 45 s."
    )
    reader = RunLog()
    for line in log:
        reader.feed(line, 0.0)
    assert reader.waiting == "waiting for nodes: 2 connected, 3 needed"


def test_a_wait_ends_with_the_node_that_comes_at_the_last_moment() -> None:
    grid, time = LocalGrid(apps(2)), Time(100.0)
    grid.away = {2}
    time.at = {130.0: grid.away.clear}
    assert list(roster(grid, time, node_wait_timeout=30.0).gather(1, 2).get_node_ids()) == [1, 2]


def test_without_conditions_nobody_is_asked() -> None:
    grid = LocalGrid(apps(2))
    assert roster(grid).fit() == [1, 2] and grid.sent == []


def test_only_nodes_that_meet_the_conditions_are_chosen(log: list[str]) -> None:
    frameworks = {1: "pytorch", 2: "sklearn", 3: "pytorch"}
    grid = LocalGrid(apps(3), node_config=lambda node: {"framework": frameworks[node]})
    nodes = roster(grid, require_framework="pytorch")
    assert list(nodes.gather(1, 2).get_node_ids()) == [1, 3]
    assert any("Node 2 takes no part: it has sklearn, not pytorch." in line for line in log)
    nodes.gather(2, 2)
    assert [message.metadata.message_type for message in grid.sent] == ["query.describe"] * 3


def test_a_node_that_comes_later_is_asked_when_it_comes() -> None:
    grid = LocalGrid(apps(3), node_config=lambda node: {"framework": "pytorch"})
    grid.away = {3}
    nodes = roster(grid, require_framework="pytorch")
    assert nodes.fit() == [1, 2]
    grid.away = set()
    assert nodes.fit() == [1, 2, 3]
    assert [message.metadata.dst_node_id for message in grid.sent] == [1, 2, 3]


def test_a_node_that_comes_back_is_asked_anew() -> None:
    grid = LocalGrid(apps(2), node_config=lambda node: {"framework": "pytorch"})
    grid.lost = {2}
    nodes = roster(grid, require_framework="pytorch")
    assert nodes.fit() == [1] and nodes.fit() == [1]
    grid.away, grid.lost = {2}, set()
    assert nodes.fit() == [1]
    grid.away = set()
    assert nodes.fit() == [1, 2]
    assert [message.metadata.dst_node_id for message in grid.sent] == [1, 2, 2]


def test_nodes_that_cannot_say_what_they_are_take_no_part(log: list[str]) -> None:
    plain = {1: app(1, 3), 2: ClientApp(), 3: app(3, 3)}
    grid = LocalGrid(plain, node_config=lambda node: {"framework": "pytorch"})
    grid.lost = {3}
    time = Time(100.0)
    with pytest.raises(NodesMissing, match="1 of 2 nodes.*node 2 did not say what it is: .*describe"):
        roster(grid, time, require_framework="pytorch", node_wait_timeout=5.0).gather(1, 2)


def test_what_a_description_must_say() -> None:
    def why(framework: str = "", version: str = "", **told: str) -> str:
        record = ConfigRecord({name.replace("_", "-"): value for name, value in told.items()})
        return mismatch(record, Settings(require_framework=framework, require_flower_version=version))

    assert why("pytorch", "1.34", frameworks="sklearn,pytorch", flower_version="1.34.0") == ""
    assert why("torch", frameworks="pytorch") == "has pytorch, not torch"
    assert why("pytorch", frameworks="") == "has no known framework, not pytorch"
    assert why(version="1.34", flower_version="1.3.4") == "has Flower 1.3.4, not 1.34"
    assert why(version="1.3", flower_version="1.34.0") == "has Flower 1.34.0, not 1.3"
    assert why(version="1") == "has Flower unknown, not 1"
    assert mismatch(None, Settings()) == "did not say what it is"
