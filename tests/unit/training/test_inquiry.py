# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question to all nodes: silent ones are waited for while they are needed, and shortly when they are not."""

from __future__ import annotations

from typing import Any

import pytest
from digits import apps
from flower_ops.training.grid import FastGrid
from flower_ops.training.inquiry import GRACE, Inquiry
from flower_ops.training.roster import ANSWER_WITHIN, QUERY, Roster
from flower_ops.training.settings import Settings
from flwr.app import Message
from local_grid import LocalGrid
from passing_time import Time

LIMIT = 600.0


class Late(LocalGrid):
    """Nodes whose answers are on their way for a while: `free` lets those of a node through."""

    def __init__(self, count: int) -> None:
        super().__init__(apps(count))
        self.held: set[int] = set()

    def pull_messages(self, message_ids: Any) -> list[Message]:
        return [one for one in super().pull_messages(message_ids) if one.metadata.src_node_id not in self.held]


def asked(grid: LocalGrid) -> list[int]:
    return [message.metadata.dst_node_id for message in grid.sent]


def inquiry(grid: LocalGrid, time: Time) -> Inquiry[str]:
    return Inquiry(grid, QUERY, "names", lambda answer: "fine", LIMIT, clock=time, sleep=time.sleep)


def test_a_silent_node_that_is_not_needed_has_a_short_grace_once() -> None:
    grid, time = Late(3), Time()
    grid.held = {2}
    found = inquiry(grid, time)
    found.ask(lambda: len(found.answers) >= 2)
    assert time.now == pytest.approx(GRACE) and sorted(found.answers) == [1, 3]
    assert found.silent() == {2: "no answer yet"} and found.pending()
    found.ask(lambda: len(found.answers) >= 2)
    assert time.now == pytest.approx(GRACE)
    # And when it answers, the next look finds that, without another question.
    grid.held = set()
    found.ask(lambda: len(found.answers) >= 2)
    assert found.answers[2] == "fine" and not found.silent() and asked(grid) == [1, 2, 3]


def test_the_grace_begins_when_enough_have_answered() -> None:
    """Nodes that all load the same data for minutes are ready one after the other."""
    grid, time = Late(3), Time()
    grid.held = {1, 2, 3}
    time.at = {200.0: lambda: grid.held.difference_update({1, 2}), 206.0: grid.held.clear}
    found = inquiry(grid, time)
    found.ask(lambda: len(found.answers) >= 2)
    assert sorted(found.answers) == [1, 2, 3] and 206 <= time.now < 208


def test_a_silent_node_that_is_needed_is_waited_for_until_the_limit(log: list[str]) -> None:
    grid, time = Late(2), Time()
    grid.held = {2}
    found = inquiry(grid, time)
    found.ask(lambda: len(found.answers) >= 2)
    assert time.now == pytest.approx(LIMIT) and found.silent() == {2: "no answer within 600 s"} and not found.pending()
    waits = [line.partition("Waiting")[2] for line in log if "Waiting" in line]
    assert len(waits) == 5 and waits[0] == " for node 2 for 30 s."


def test_a_node_that_comes_while_another_is_waited_for_is_asked_at_once() -> None:
    grid, time = Late(3), Time()
    grid.held, grid.away = {2}, {3}
    time.at = {50.0: grid.away.clear}
    found = inquiry(grid, time)
    found.ask(lambda: len(found.answers) >= 2)
    assert sorted(found.answers) == [1, 3] and 50 + GRACE <= time.now < 51.5 + GRACE


def test_a_node_that_went_is_forgotten_and_asked_anew() -> None:
    grid, time = Late(2), Time()
    grid.held = {2}
    found = inquiry(grid, time)
    time.at = {5.0: lambda: grid.away.add(2)}
    found.ask(lambda: len(found.answers) >= 1)
    assert time.now < 7 and not found.silent()
    grid.away, grid.held = set(), set()
    found.ask(lambda: len(found.answers) >= 1)
    assert sorted(found.answers) == [1, 2] and asked(grid) == [1, 2, 2]


def test_conditions_hold_up_no_round_for_a_silent_node(log: list[str]) -> None:
    grid, time = Late(3), Time()
    grid.node_config = lambda node: {"framework": "pytorch"}
    grid.held = {2}
    settings = Settings(require_framework="pytorch")
    roster = Roster(FastGrid(grid), settings, clock=time, sleep=time.sleep)
    assert list(roster.gather(1, 2).get_node_ids()) == [1, 3] and time.now == pytest.approx(GRACE)
    assert GRACE < ANSWER_WITHIN and any(
        "Node 2 takes no part: it did not say what it is: no answer yet" in x for x in log
    )
    grid.held = set()
    assert list(roster.gather(2, 2).get_node_ids()) == [1, 2, 3] and time.now == pytest.approx(GRACE)
