# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every strategy here has beyond Flower's class: state for a checkpoint, a fixed order of answers, kept types.

A mixin, put before Flower's class. It relies on one method of Flower's FedAvg that is not public,
`_check_and_log_replies`, because between the log line that counts the answers and the aggregation there is no other
place; the method is the same in 1.25.0, 1.32.1, 1.34.0 and 1.41.0, and the tests run on all of them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from flower_ops.training.flower import LOG, array, look
from flwr.app import ArrayRecord, ConfigRecord, Message, MetricRecord
from flwr.serverapp import Grid
from flwr.serverapp.strategy import FedAvg as FlowerFedAvg

State = dict[str, Any]
#: For a round whose answers are too large to compute with; filled with what overflowed and the round's number.
OVERFLOW = "The values of nodes are so large that %s would not be finite: the answers of round %d are dropped."


def ordered(replies: Iterable[Message]) -> list[Message]:
    """Answers by node: floating point sums depend on their order, and so a run can be repeated exactly."""
    return sorted(replies, key=lambda message: message.metadata.src_node_id)


class Strategy(FlowerFedAvg):
    """Base of all strategies. `state()` holds all that a later round needs beside the global arrays."""

    chosen: int = 0

    def state(self) -> State:
        """What a checkpoint must hold: arrays, lists of arrays, numbers or texts by name."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Go on from a state that `state()` of the same strategy gave."""
        if state:
            raise ValueError(f"{type(self).__name__} keeps no state, but the checkpoint has {', '.join(state)}")

    def all_finite(self, answers: list[Message]) -> bool:
        """Whether all values of answers are finite, where that is known for less than a look at each; else False."""
        return False

    def select(self, replies: list[Message], is_train: bool) -> list[Message]:
        """Which of the good answers are aggregated; none: the global model stays as it is."""
        return replies

    def configure_train(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Flower's messages; what was sent, and to how many, is remembered for the aggregation."""
        messages = list(super().configure_train(server_round, arrays, config, grid))
        self.chosen = len(messages)
        self._sent = {name: (np.dtype(one.dtype), tuple(one.shape)) for name, one in arrays.items()}
        return messages

    def configure_evaluate(
        self, server_round: int, arrays: ArrayRecord, config: ConfigRecord, grid: Grid
    ) -> Iterable[Message]:
        """Flower's messages, counted."""
        messages = list(super().configure_evaluate(server_round, arrays, config, grid))
        self.chosen = len(messages)
        return messages

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """Flower's aggregation, in types and shapes that nodes were sent.

        Flower's arithmetic makes float64 of some float32 models, which doubles every later message, and floats of
        integers, such as the counters of batch normalisation.
        """
        # An overflow is told in one line, by `sound`.
        with np.errstate(all="ignore"):
            arrays, metrics = super().aggregate_train(server_round, replies)
            arrays = None if arrays is None else self.like_sent(arrays)
        if arrays is not None and not self.sound(server_round, arrays):
            return None, None
        return arrays, metrics

    def sound(self, server_round: int, arrays: ArrayRecord) -> bool:
        """Whether a new model has only finite values; told when it has not, and then it must not be used.

        Answers were in range each by itself, and yet sums or squares of them may not be.
        """
        if all(np.isfinite(look(one)).all() for one in arrays.values()):
            return True
        LOG.warning(OVERFLOW, "the new model", server_round)
        return False

    def like_sent(self, arrays: ArrayRecord) -> ArrayRecord:
        """The arrays, those of another type or shape than was sent converted."""
        for name, one in arrays.items():
            kind, shape = getattr(self, "_sent", {}).get(name, (one.dtype, tuple(one.shape)))
            if one.dtype != kind or tuple(one.shape) != shape:
                values = one.numpy().reshape(shape)
                whole = np.issubdtype(kind, np.integer)
                arrays[name] = array((np.rint(values) if whole else values).astype(kind))
        return arrays

    def _check_and_log_replies(
        self, replies: Iterable[Message], is_train: bool, validate: bool = True
    ) -> tuple[list[Message], list[Message]]:
        good, bad = super()._check_and_log_replies(ordered(replies), is_train, validate)
        # Arithmetic on arrays without dimensions gives NumPy's scalars, of which Flower 1.25.0 makes no Array.
        for record in (record for reply in good for record in reply.content.array_records.values()):
            for name in [name for name, one in record.items() if not one.shape]:
                record[name] = array(record[name].numpy().reshape(1))
        return self.select(good, is_train) if good else good, bad
