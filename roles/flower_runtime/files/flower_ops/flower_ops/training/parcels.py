# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The ServerApp's end of packing.py: which nodes take parcels."""

from __future__ import annotations

from collections.abc import Iterable

from flower_ops.training.packing import changed, is_packed, packed, unpacked
from flwr.app import Message, MessageType


class Parcels:
    """Packs for the nodes that packed what they trained last, and unpacks answers."""

    def __init__(self) -> None:
        self._nodes: set[int] = set()
        # Whose evaluation failed: a node's app may have the mod around its training only.
        self._plainly: set[int] = set()

    def wrap(self, messages: Iterable[Message]) -> None:
        """Pack what goes to such nodes; messages that share their content share it packed as well."""
        given = [message for message in messages if self._takes(message)]
        contents = {id(message.content): message.content for message in given}
        made = {key: changed(content, packed) for key, content in contents.items()}
        for message in given:
            message.content = made[id(message.content)]

    def _takes(self, message: Message) -> bool:
        node = message.metadata.dst_node_id
        return node in self._nodes and (_trains(message) or node not in self._plainly)

    def unwrap(self, answers: Iterable[Message]) -> None:
        """Unpack answers; one that cannot be read stays as it is, for it has not the form of the model."""
        for answer in answers:
            node, failed = answer.metadata.src_node_id, answer.has_error()
            if _trains(answer):
                # It may have come back with an app that knows nothing of this.
                self._nodes.discard(node)
            elif failed:
                self._plainly.add(node)
            if failed or not any(map(is_packed, answer.content.array_records.values())):
                continue
            try:
                answer.content = changed(answer.content, unpacked)
            except ValueError:
                continue
            self._nodes.add(node)


def _trains(message: Message) -> bool:
    """Whether this is a task of training, or its answer."""
    return str(message.metadata.message_type).partition(".")[0] == MessageType.TRAIN
