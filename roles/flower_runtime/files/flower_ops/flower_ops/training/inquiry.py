# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A question to every node when it comes, and no node whose silence holds up the others for long.

Each message costs a node the start of a process, so nobody is asked twice while it stays connected. An answer may take
as long as a data set needs to arrive; but once enough nodes have answered, the others have a short grace, and then work
goes on without them until they answer.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from itertools import zip_longest
from typing import Generic, NamedTuple, TypeVar

from flower_ops.training.flower import LOG, failure
from flower_ops.training.grid import SHARE, SHORTEST_PAUSE, TELL_AFTER, nodes
from flower_ops.training.pulls import Pulls
from flwr.app import Message, RecordDict
from flwr.serverapp import Grid

V = TypeVar("V")

#: Seconds that a node has when enough others have answered: several times what the start of a process takes.
GRACE = 15.0
#: Seconds after which an answer that came together with one that does not come whole is given up.
HELD = 30.0


class Question(NamedTuple):
    """One that has no answer yet; `asked` by the clock of its inquiry."""

    message_id: str
    message: Message
    asked: float


class Inquiry(Generic[V]):
    """What connected nodes answered to `query`, as `read` makes of it; also of answers that are errors.

    topic: what is asked for, in words. limit: seconds that are waited for an answer while too few nodes have given one.
    longest_pause: seconds between two looks at most.
    """

    def __init__(
        self,
        grid: Grid,
        query: str,
        topic: str,
        read: Callable[[Message], V],
        limit: float,
        longest_pause: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.answers: dict[int, V] = {}
        self._open: dict[int, Question] = {}
        self._enough_since: float | None = None
        self._grid = grid
        self._query, self._topic, self._read = query, topic, read
        self._limit, self._longest_pause = limit, longest_pause
        self._clock, self._sleep = clock, sleep
        self._pulls = Pulls(grid)

    def ask(self, enough: Callable[[], bool]) -> None:
        """Ask nodes that have come, and wait until all have answered, or `enough` holds and the grace is over.

        `enough` looks at `answers`. Nodes that have not answered in time are waited for no more, but when they answer
        later, the next call finds that.
        """
        begun, tell_at = self._clock(), TELL_AFTER
        while True:
            self._look()
            now = self._clock()
            if not enough():
                self._enough_since = None
            elif self._enough_since is None:
                self._enough_since = now
            ends = {node: self._end(one) for node, one in self._open.items()}
            waited_for = {node: end for node, end in ends.items() if end > now}
            if not waited_for:
                return
            passed = now - begun
            if passed >= tell_at:
                LOG.info("Waiting for %s for %.0f s.", nodes(waited_for), passed)
                tell_at = 2 * passed
            pause = min(self._longest_pause, max(SHORTEST_PAUSE, SHARE * passed))
            self._sleep(min(pause, min(waited_for.values()) - now))

    def silent(self) -> dict[int, str]:
        """Connected nodes without an answer, each with a part of a sentence."""
        now = self._clock()
        return {
            node: f"no answer within {self._limit:.0f} s" if now >= one.asked + self._limit else "no answer yet"
            for node, one in self._open.items()
        }

    def pending(self) -> bool:
        """Whether a node may still answer within the limit."""
        now = self._clock()
        return any(now < one.asked + self._limit for one in self._open.values())

    def _end(self, one: Question) -> float:
        """Until when this answer is waited for."""
        last = one.asked + self._limit
        if self._enough_since is None:
            return last
        return min(last, max(one.asked, self._enough_since) + GRACE)

    def _look(self) -> None:
        """Ask who has come, forget who has gone, and fetch what has arrived."""
        connected = sorted(self._grid.get_node_ids())
        # A node that comes back may have been repaired meanwhile: it is asked anew.
        self.answers = {node: one for node, one in self.answers.items() if node in connected}
        # One whose answer is lost with another one's is asked anew, too.
        lost = self._pulls.held_up(HELD)
        self._open = {node: one for node, one in self._open.items() if node in connected and one.message_id not in lost}
        new = [node for node in connected if node not in self.answers and node not in self._open]
        if new:
            LOG.info("Asking %s for %s.", nodes(new), self._topic)
            messages = [Message(RecordDict(), node, self._query) for node in new]
            for node, message, message_id in zip_longest(new, messages, self._grid.push_messages(messages)):
                if message_id:
                    self._open[node] = Question(message_id, message, self._clock())
                else:
                    self.answers[node] = self._read(failure("the SuperLink did not take the question", message))
        asked = {one.message_id: node for node, one in self._open.items()}
        sent = {one.message_id: one.message for one in self._open.values()}
        for message_id, answer in self._pulls.look(sent) if sent else ():
            del self._open[asked[message_id]]
            self.answers[asked[message_id]] = self._read(answer)
