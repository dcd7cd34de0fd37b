# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A grid in one process: messages go to the real functions of real ClientApps, answers come from them."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Iterable
from typing import Any

from flwr.app import Context, Error, Message, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid

# How the SuperLink signs what it says for a node that is gone.
SUPERLINK = 1


class LocalGrid(Grid):
    """Nodes are apps by node id. `sent` and `answered` keep what went over the wire, copies of it.

    away: nodes that are not connected. silent: nodes that take a message and never answer. lost: nodes for which the
    SuperLink answers with an error. looks: how many times answers must be asked for before they are there.
    """

    def __init__(
        self,
        nodes: dict[int, ClientApp],
        node_config: Callable[[int], dict[str, Any]] = lambda node: {},
        pause: float = 0.0,
    ) -> None:
        self.nodes = nodes
        self.node_config = node_config
        self.pause = pause
        self.away: set[int] = set()
        self.silent: set[int] = set()
        self.lost: set[int] = set()
        self.looks = 0
        self.sent: list[Message] = []
        self.answered: list[Message] = []
        self._ids = itertools.count(1)
        self._open: dict[str, tuple[int, Message | None]] = {}
        self.before_round: Callable[[int], None] = lambda number: None

    def set_run(self, *args: Any, **kwargs: Any) -> None:
        """A single run."""

    @property
    def run(self) -> Any:
        return None

    def create_message(
        self, content: RecordDict, message_type: str, dst_node_id: int, group_id: str, ttl: float | None = None
    ) -> Message:
        return Message(content, dst_node_id, message_type, group_id=group_id, ttl=ttl)

    def get_node_ids(self) -> Iterable[int]:
        return [node for node in self.nodes if node not in self.away]

    def push_messages(self, messages: Iterable[Message]) -> list[str]:
        ids = []
        batch = list(messages)
        if batch:
            config = next(iter(batch[0].content.config_records.values()), {})
            self.before_round(int(config.get("server-round", 0)))
        for message in batch:
            # Flower's own grids set the id in the same way.
            message.metadata.__dict__["_message_id"] = str(next(self._ids))
            message.metadata.__dict__["_src_node_id"] = SUPERLINK
            self.sent.append(copy.deepcopy(message))
            answer = self._answer(copy.deepcopy(message))
            if answer is not None:
                self.answered.append(copy.deepcopy(answer))
            ids.append(message.metadata.message_id)
            self._open[message.metadata.message_id] = (self.looks, answer)
        return ids

    def _answer(self, message: Message) -> Message | None:
        node = message.metadata.dst_node_id
        if node in self.silent:
            return None
        if node in self.lost or node in self.away:
            error = Message(Error(3, "Node Unavailable"), reply_to=message)
            error.metadata.__dict__["_src_node_id"] = SUPERLINK
            return error
        context = Context(run_id=1, node_id=node, node_config=self.node_config(node), state=RecordDict(), run_config={})
        try:
            return self.nodes[node](message, context)
        except Exception as error:
            return Message(Error(2, f"{type(error)}:<'{error}'>"), reply_to=message)

    def pull_messages(self, message_ids: Iterable[str]) -> list[Message]:
        found = []
        for message_id in list(message_ids):
            looks, answer = self._open[message_id]
            self._open[message_id] = (looks - 1, answer)
            if looks <= 0 and answer is not None:
                found.append(answer)
        return found

    def send_and_receive(self, messages: Iterable[Message], *, timeout: float | None = None) -> list[Message]:
        """As Flower's grids do it, but for their pause of 3 s."""
        waiting = set(self.push_messages(messages))
        end = time.monotonic() + (timeout or 0.0)
        answers: list[Message] = []
        while waiting and (timeout is None or time.monotonic() < end):
            new = self.pull_messages(waiting)
            answers += new
            waiting -= {message.metadata.reply_to_message_id for message in new}
            time.sleep(self.pause)
        return answers
