# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An answer that does not come whole, cannot be read, or lies about its sender costs no other node its round."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from digits import apps, new_model
from flower_ops.training import inquiry
from flower_ops.training.flower import record_of
from flower_ops.training.grid import FastGrid
from flower_ops.training.pulls import LEAST, Pulls
from flower_ops.training.roster import QUERY
from flower_ops.training.rounds import Rounds
from flower_ops.training.settings import Settings
from flower_ops.training.strategies import build
from flwr.app import ConfigRecord, Error, Message, RecordDict
from google.protobuf.message import DecodeError
from local_grid import SUPERLINK, LocalGrid


class Handing(LocalGrid):
    """As the SuperLink does, an answer is handed out once, and asked for again it is an error."""

    def __init__(self, count: int) -> None:
        super().__init__(apps(count))
        self.taken: set[str] = set()
        self.asked: list[list[str]] = []

    def pull_messages(self, message_ids: Any) -> list[Message]:
        wanted = list(message_ids)
        self.asked.append(wanted)
        gone = [one for one in wanted if one in self.taken]
        found = super().pull_messages([one for one in wanted if one not in self.taken])
        self.taken |= {one.metadata.reply_to_message_id for one in found}
        return [*self.whole(found), *map(self._gone, gone)]

    def _gone(self, message_id: str) -> Message:
        (sent,) = (one for one in self.sent if one.metadata.message_id == message_id)
        error = Message(Error(3, "Message Unavailable"), reply_to=sent)
        error.metadata.__dict__["_src_node_id"] = SUPERLINK
        return error

    def whole(self, found: list[Message]) -> list[Message]:
        """The answers once all of them have arrived with their arrays."""
        return found


class Stuck(Handing):
    """The answer of node 2 is announced, and its arrays come when `sent_whole` is set.

    later: by node, after how many looks more than others it answers.
    """

    def __init__(self, count: int) -> None:
        super().__init__(count)
        self.sent_whole = threading.Event()
        self.later: dict[int, int] = {}

    def push_messages(self, messages: Any) -> list[str]:
        """And those that answer later are noted."""
        batch = list(messages)
        ids = super().push_messages(batch)
        for message, message_id in zip(batch, ids, strict=True):
            looks, answer = self._open[message_id]
            self._open[message_id] = (looks + self.later.get(message.metadata.dst_node_id, 0), answer)
        return ids

    def whole(self, found: list[Message]) -> list[Message]:
        if any(one.metadata.src_node_id == 2 for one in found):
            assert self.sent_whole.wait(60)
        return found


class Unreadable(Handing):
    """The answer of node 2 is no message at all, and Flower raises."""

    error: Exception = IndexError("list index out of range")

    def whole(self, found: list[Message]) -> list[Message]:
        if any(one.metadata.src_node_id == 2 for one in found):
            raise self.error
        return found


class Forged(LocalGrid):
    """Node 2 writes the name of `other` into its answer, and its arrays are wrong."""

    other = 1

    def pull_messages(self, message_ids: Any) -> list[Message]:
        found = super().pull_messages(message_ids)
        for one in found:
            if one.metadata.src_node_id == 2:
                one.metadata.__dict__["_src_node_id"] = self.other
                one.content["arrays"] = record_of(new_model()[:1])
        return found


@pytest.fixture(autouse=True)
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of looks that wait for arrays."""
    usual = Pulls.__init__
    monkeypatch.setattr(Pulls, "__init__", lambda self, grid: usual(self, grid, 0.2))


def run(grid: LocalGrid, rounds: int = 1, timeout: float = 60.0) -> list[dict[str, Any]]:
    settings = Settings(num_server_rounds=rounds, round_timeout=timeout, poll_interval=0.05)
    told: list[dict[str, Any]] = []
    Rounds(grid, build(settings), settings).run(record_of(new_model()), told)
    return told


@pytest.fixture
def stuck() -> Iterator[Stuck]:
    grid = Stuck(3)
    yield grid
    grid.sent_whole.set()


def test_the_deadline_holds_for_an_answer_that_does_not_come_whole(
    stuck: Stuck, caplog: pytest.LogCaptureFixture
) -> None:
    """A node that answers while it is waited for has its place in the round, and from then on every other one."""
    stuck.later = {3: 4}
    begun = time.monotonic()
    first, second = run(stuck, rounds=2, timeout=3.0)
    assert time.monotonic() - begun < 2 * (3.0 + 0.3 + LEAST) + 2.0
    assert "3" not in first["failures"] and first["failures"]["2"].startswith("no answer within 3 s")
    # Node 1 came with it; Flower gives its answer to nobody else.
    assert "1" in first["failures"] and "What came with it may be lost in this round" in caplog.text
    assert (second["results"], list(second["failures"])) == (2, ["2"])


def test_an_answer_that_comes_whole_later_has_its_place_too(stuck: Stuck) -> None:
    threading.Timer(1.0, stuck.sent_whole.set).start()
    (only,) = run(stuck)
    assert (only["results"], only["failures"]) == (3, {})
    assert len(stuck.asked) > 2


def test_what_is_being_fetched_at_the_deadline_has_a_tenth_more(stuck: Stuck) -> None:
    threading.Timer(5.2, stuck.sent_whole.set).start()
    (only,) = run(stuck, timeout=5.0)
    assert (only["results"], only["failures"]) == (3, {})


@pytest.mark.parametrize("error", [IndexError("list index out of range"), DecodeError("parsing"), RecursionError()])
def test_an_answer_that_cannot_be_read_is_its_nodes_failure(error: Exception, caplog: pytest.LogCaptureFixture) -> None:
    """In the round in which that is found out, what came with it is lost; from then on nothing is."""
    grid = Unreadable(3)
    grid.error = error
    first, second = run(grid, rounds=2)
    assert set(first["failures"].values()) == {"its answer, or one that came with it, cannot be read"}
    assert "2" in first["failures"] and "cannot be read; from now on" in caplog.text
    assert (second["results"], second["failures"]) == (
        2,
        {"2": f"its answer cannot be read: {type(error).__name__}"},
    )


def test_the_word_that_an_answer_was_handed_out_is_none_where_it_is(stuck: Stuck) -> None:
    """Both looks end at once: the one that holds the answers, and one that was told that they are gone."""
    pulls = Pulls(stuck)
    messages = [Message(RecordDict({"config": ConfigRecord({"server-round": 1})}), node, QUERY) for node in (1, 2, 3)]
    sent = dict(zip(stuck.push_messages(messages), messages, strict=True))
    assert pulls.look(sent) == [] and pulls.look(sent) == []
    assert pulls.held_up(0.0) == set(sent) and pulls.held_up(60.0) == set()
    stuck.sent_whole.set()
    found = dict(pulls.last(sent, 5.0))
    assert found.keys() == sent.keys() and not any(answer.has_error() for answer in found.values())


@pytest.mark.parametrize("other", [1, 999])
def test_nobody_answers_in_the_name_of_another_node(other: int) -> None:
    grid = Forged(apps(3))
    grid.other = other
    (only,) = run(grid)
    assert (only["results"], only["failures"]) == (2, {"2": "its answer bears the name of another node"})


def test_a_broken_connection_ends_the_exchange() -> None:
    class Broken(LocalGrid):
        def pull_messages(self, message_ids: Any) -> list[Message]:
            raise ConnectionError("no SuperLink")

    messages = [Message(RecordDict({"config": ConfigRecord({"server-round": 1})}), 1, "train")]
    with pytest.raises(ConnectionError):
        FastGrid(Broken(apps(1))).send_and_receive(messages, timeout=5.0)


def test_who_answered_together_with_one_that_does_not_come_whole_is_asked_again(
    stuck: Stuck, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inquiry, "HELD", 1.0)
    found: inquiry.Inquiry[bool] = inquiry.Inquiry(stuck, QUERY, "names", lambda answer: not answer.has_error(), 6.0)
    begun = time.monotonic()
    found.ask(lambda: False)
    assert time.monotonic() - begun < 12.0
    assert found.answers == {1: True, 3: True} and list(found.silent()) == [2]
