# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looking for answers so that one that does not come whole, or cannot be read, holds up and spoils no later one.

Flower hands out an answer as soon as it is announced, and then waits for its arrays within the look, for minutes where
a node died while it sent them, for hours where it sends slowly. One that cannot be parsed makes the whole look raise.
What a look was handed out nobody else gets. So there is one look for all while all goes well, which costs the SuperLink
least, and from the first trouble on each answer is looked for by itself. Only what came together with the first such
answer shares its fate.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Iterable, Iterator, Sequence

from flower_ops.training.flower import LOG, failure
from flwr.app import Message
from flwr.serverapp import Grid

#: Seconds after which a look for all is in trouble.
PATIENCE = 5.0
#: Seconds that a look may take at a deadline, for what arrived just before it, and one for a single answer at any time.
LEAST = 1.0
#: Looks at the same time; more answers than this are looked for in groups.
MOST_LOOKS = 32
#: Flower's number of the error that it gives for an answer which it has handed out already.
HANDED_OUT = 3
#: What parsing raises. A broken connection is none of these, and ends the run.
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, EOFError, ArithmeticError, RecursionError)


def _unreadable(error: BaseException) -> bool:
    """Whether it is about the bytes of an answer. Protocol buffers have an exception of their own."""
    return isinstance(error, UNREADABLE) or type(error).__name__ == "DecodeError"


class _Look(threading.Thread):
    """One look at the SuperLink. A daemon, because a run that has ended must not wait for it."""

    def __init__(self, grid: Grid, asked: Collection[str], alone: bool) -> None:
        super().__init__(daemon=True)
        self.asked = frozenset(asked)
        #: Whether these are looked for apart from others.
        self.alone = alone
        self.begun = time.monotonic()
        self.found: list[Message] = []
        self.error: BaseException | None = None
        self._grid = grid

    def run(self) -> None:
        """Fetch what has arrived."""
        try:
            self.found = list(self._grid.pull_messages(sorted(self.asked)))
        except BaseException as error:
            self.error = error


class Pulls:
    """Looks at `grid` for answers to messages that were pushed to it."""

    def __init__(self, grid: Grid, patience: float = PATIENCE) -> None:
        self._grid = grid
        self._patience = patience
        self._apart = False
        self._late: list[_Look] = []
        #: Ids whose answers a look holds that has not ended.
        self._held: set[str] = set()
        #: Ids that were asked for together with an answer that cannot be read.
        self._spoilt: set[str] = set()

    def requests(self, count: int) -> int:
        """How many requests a look for so many answers costs the SuperLink."""
        return min(count, MOST_LOOKS) if self._apart else 1

    def look(self, sent: dict[str, Message], longest: float | None = None) -> list[tuple[str, Message]]:
        """Answers that have arrived, each with the id of the message that it answers, which is one of `sent`.

        Each is of the node that was asked, or is an error in its name. Takes no longer than `longest` seconds (a second
        at least), nor than the patience; what has not come whole by then is found by a later look.
        """
        new = [_Look(self._grid, group, self._apart) for group in self._groups(sent)]
        for one in new:
            one.start()
        usual = LEAST if self._apart else self._patience
        _wait(new, usual if longest is None else min(usual, max(LEAST, longest)))
        if not self._apart and any(one.is_alive() for one in new):
            self._separate("is announced and does not come")
        return self._take([*self._late, *new], sent)

    def last(self, sent: dict[str, Message], seconds: float) -> list[tuple[str, Message]]:
        """Answers that are being fetched, waited for at most so many seconds."""
        _wait([one for one in self._late if not one.asked.isdisjoint(sent)], seconds)
        return self._take(self._late, sent)

    def held_up(self, seconds: float) -> set[str]:
        """Ids whose answers are held by a look that was begun so many seconds ago and has not ended."""
        begun = time.monotonic() - seconds
        return {one for look in self._late if look.begun < begun for one in look.asked & self._held}

    def _groups(self, sent: dict[str, Message]) -> Sequence[Sequence[str]]:
        if not self._apart:
            return [list(sent)]
        busy = {one for look in self._late if look.alone for one in look.asked}
        free = [one for one in sent if one not in busy]
        return [group for place in range(MOST_LOOKS) if (group := free[place::MOST_LOOKS])]

    def _separate(self, why: str) -> None:
        if not self._apart:
            LOG.warning(
                "An answer %s; from now on each is looked for by itself. What came with it may be lost in this round.",
                why,
            )
        self._apart = True

    def _take(self, looks: Iterable[_Look], sent: dict[str, Message]) -> list[tuple[str, Message]]:
        # Asked once: between two questions a look may end.
        alive = [(look, look.is_alive()) for look in looks]
        self._late = [look for look, lives in alive if lives]
        ended = [look for look, lives in alive if not lives]
        found: dict[str, Message] = {}
        gone: dict[str, Message] = {}
        for look in ended:
            if look.asked.isdisjoint(sent):
                # Of a round that is over.
                continue
            if look.error:
                found.update(self._failed(look, look.error, sent))
            for asked, answer in _answers_to(look.found, sent):
                if answer.has_error() and answer.error.code == HANDED_OUT:
                    gone[asked] = answer
                else:
                    found[asked] = signed(answer, sent[asked])
        holding = {one for look in self._late for one in look.asked}
        self._held = (self._held | gone.keys()) & holding
        for asked in gone.keys() - holding - found.keys():
            spoilt = failure("its answer, or one that came with it, cannot be read", sent[asked])
            found[asked] = spoilt if asked in self._spoilt else signed(gone[asked], sent[asked])
        return list(found.items())

    def _failed(self, look: _Look, error: BaseException, sent: dict[str, Message]) -> dict[str, Message]:
        """What a look that raised says of the answers it was for; the error where it is about none."""
        if not _unreadable(error):
            raise error
        self._separate("cannot be read")
        if len(look.asked) > 1:
            self._spoilt |= look.asked
            return {}
        (only,) = look.asked
        return {only: failure(f"its answer cannot be read: {type(error).__name__}", sent[only])}


def _wait(looks: Iterable[_Look], seconds: float) -> None:
    """Until all have ended, at most so long."""
    end = time.monotonic() + seconds
    for look in looks:
        look.join(max(0.0, end - time.monotonic()))


def _answers_to(answers: Iterable[Message], sent: dict[str, Message]) -> Iterator[tuple[str, Message]]:
    """Those to messages that were sent, with their ids."""
    for answer in answers:
        if (asked := answer.metadata.reply_to_message_id) in sent:
            yield asked, answer


def signed(answer: Message, sent: Message) -> Message:
    """The answer; an error comes from its node, also when the SuperLink made it, and its reason is one line."""
    if answer.has_error():
        return failure(str(answer.error.reason or f"error {answer.error.code}"), sent)
    if answer.metadata.src_node_id != sent.metadata.dst_node_id:
        # The node itself wrote that: it would speak for another one.
        return failure("its answer bears the name of another node", sent)
    return answer
