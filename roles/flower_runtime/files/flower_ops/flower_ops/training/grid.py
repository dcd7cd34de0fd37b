# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Grids around Flower's own: one that fetches answers quickly and knows who is late, and what they have in common.

    strategy.start(grid=FastGrid(grid), ...)      all that an app of one's own needs

Flower's grid looks for answers every 3 s, which rounds a short round up to the next multiple of that. Everything but
the waiting is left to it, so the results are the same.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from itertools import zip_longest
from typing import Any

from flower_ops.training.flower import LOG, failure
from flower_ops.training.pulls import Pulls
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

# A node that has answered sleeps 3 s before it asks for more, so that a look sooner than this hastens the end of a run
# alone; and looks cost: on two cores with two nodes, one every 0.05 s made a round of 5 s longer by 2 to 5 %.
SHORTEST_PAUSE = 0.25
# Later a pause is this share of the time already waited: on average 1 % of a round is lost, and few requests are made.
SHARE = 0.02
# At the deadline, what is being fetched has this share of the deadline more.
FETCHING = 0.1
# After so many seconds a round that waits is told, and again each time the wait has doubled.
TELL_AFTER = 30.0


class Delegate(Grid):
    """Does everything by another grid."""

    def __init__(self, grid: Grid) -> None:
        self._grid = grid

    def set_run(self, *args: Any, **kwargs: Any) -> None:
        """Its argument differs between versions of Flower."""
        self._grid.set_run(*args, **kwargs)

    @property
    def run(self) -> Any:
        """Flower's description of the run."""
        return self._grid.run

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        """A message, as old apps make it."""
        return self._grid.create_message(content, message_type, dst_node_id, group_id, ttl)

    def get_node_ids(self) -> Iterable[int]:
        """Nodes that are connected."""
        return self._grid.get_node_ids()

    def push_messages(self, messages: Iterable[Message]) -> Iterable[str]:
        """Hand messages to the SuperLink; their ids, in order."""
        return self._grid.push_messages(messages)

    def pull_messages(self, message_ids: Iterable[str]) -> Iterable[Message]:
        """Answers that have arrived."""
        return self._grid.pull_messages(message_ids)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> Iterable[Message]:
        """Send, and wait for the answers for at most `timeout` seconds."""
        return self._grid.send_and_receive(messages, timeout=timeout)

    def __getattr__(self, name: str) -> Any:
        """What only this or that grid has."""
        return getattr(self._grid, name)


class FastGrid(Delegate):
    """Looks for answers often while a round is young, and reports the nodes that did not answer.

    longest_pause: seconds between two looks at most.
    name_late: put an error reply in the place of every answer that is missing at the deadline, so that it is counted as
        a failure and told with its node. Flower leaves such answers out without a word. False: as Flower does.
    """

    def __init__(
        self,
        grid: Grid,
        longest_pause: float = 1.0,
        name_late: bool = True,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        super().__init__(grid)
        self.longest_pause = longest_pause
        self.name_late = name_late
        self._clock = clock
        self._sleep = sleep
        self._pulls = Pulls(grid)

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """One answer for each message: the node's own, or an error that says why there is none."""
        sent = list(messages)
        if not sent:
            return []
        begun = self._clock()
        waiting: dict[str, Message] = {}
        answers: list[Message] = []
        # Flower has no id for what it could not hand over, or no ids at all when all of it was too large.
        for message, message_id in zip_longest(sent, self._grid.push_messages(sent)):
            if message_id:
                waiting[message_id] = message
            elif self.name_late:
                answers.append(failure("the SuperLink did not take the message for this node", message))
        tell_at = TELL_AFTER
        while waiting:
            left = None if timeout is None else timeout - (self._clock() - begun)
            for message_id, answer in self._pulls.look(waiting, left):
                del waiting[message_id]
                answers.append(answer)
            passed = self._clock() - begun
            if not waiting or (timeout is not None and passed >= timeout):
                break
            if passed >= tell_at:
                LOG.info(
                    "Waiting for %s for %.0f s.",
                    nodes(message.metadata.dst_node_id for message in waiting.values()),
                    passed,
                )
                tell_at = 2 * passed
            shortest = SHORTEST_PAUSE * self._pulls.requests(len(waiting))
            pause = min(self.longest_pause, max(shortest, SHARE * passed))
            self._sleep(pause if timeout is None else min(pause, timeout - passed))
        if waiting:
            # Announced in time, and whole soon: a large model is not thrown away while it is being fetched.
            for message_id, answer in self._pulls.last(waiting, FETCHING * (timeout or 0.0)):
                del waiting[message_id]
                answers.append(answer)
        if self.name_late:
            passed = self._clock() - begun
            answers += [failure(f"no answer within {passed:.0f} s", message) for message in waiting.values()]
        return answers


def nodes(ids: Iterable[int]) -> str:
    """Nodes as a person reads them: `node 3`, `nodes 3, 4`, at most ten of them by id."""
    known = sorted(ids)
    more = f" and {len(known) - 10} more" if len(known) > 10 else ""
    return ("node " if len(known) == 1 else "nodes ") + ", ".join(map(str, known[:10])) + more
