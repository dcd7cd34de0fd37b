# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The weighted mean of answers, bit for bit Flower's own, at the price of a plain mean in NumPy.

Flower copies every array out of its message and again for every product, and so takes twice as long as the mean itself.
Whether what nodes sent is finite is told by the mean too, so that their arrays are read from memory once, not twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from operator import is_
from typing import Any

import numpy as np
from flower_ops.training.flower import array, look
from flower_ops.training.strategies.base import Strategy, ordered
from flwr.app import ArrayRecord, Message, MetricRecord, RecordDict


def weighted_mean(
    contents: Sequence[RecordDict], weight: str, kinds: Mapping[str, np.dtype[Any]] | None = None
) -> ArrayRecord:
    """The mean of the contents' arrays, each by its share of the metric `weight`.

    In their own type where all have one; else in a type that holds them all and the model's, `kinds` by name.
    """
    examples = [float(next(iter(one.metric_records.values()))[weight]) for one in contents]  # type: ignore[arg-type]
    shares = [one / sum(examples) for one in examples]
    records = [next(iter(one.array_records.values())) for one in contents]
    result = ArrayRecord()
    for name in records[0]:
        layers = [look(record[name]) for record in records]
        own = {layer.dtype for layer in layers} | ({kinds[name]} if kinds and name in kinds else set())
        if len(own) > 1:
            # The first node's type may be too narrow for the others' values.
            layers = [layer.astype(np.result_type(*own)) for layer in layers]
        total = np.asarray(layers[0] * shares[0])
        part = np.empty_like(total)
        for layer, share in zip(layers[1:], shares[1:], strict=True):
            np.multiply(layer, share, out=part)
            total += part
        result[name] = array(total)
    return result


def _kinds(content: RecordDict) -> list[np.dtype[Any]]:
    """True types of an answer's arrays."""
    return [look(one).dtype for one in next(iter(content.array_records.values())).values()]


class Averaging(Strategy):
    """FedAvg and what differs from it in the choice of answers only."""

    #: Answers whose mean is known already, and the mean.
    _known: tuple[list[RecordDict], ArrayRecord] | None = None

    def all_finite(self, answers: list[Message]) -> bool:
        """Seen by their mean, which is kept for the aggregation: one value that is not finite makes it not finite.

        Where an answer has other types than the model, whose range may be smaller, nothing is said.
        """
        contents = [answer.content for answer in ordered(answers)]
        if not contents:
            return True
        kinds = [kind for kind, _shape in getattr(self, "_sent", {}).values()]
        if kinds and any(_kinds(one) != kinds for one in contents):
            return False
        with np.errstate(all="ignore"):
            mean = weighted_mean(contents, self.weighted_by_key)
        if not all(np.isfinite(look(one)).all() for one in mean.values()):
            return False
        self._known = contents, mean
        return True

    def aggregate_train(
        self, server_round: int, replies: Iterable[Message]
    ) -> tuple[ArrayRecord | None, MetricRecord | None]:
        """The mean of the selected answers; (None, None) when there are none."""
        known, self._known = self._known, None
        good, _bad = self._check_and_log_replies(replies, is_train=True)
        if not good:
            return None, None
        contents = [reply.content for reply in good]
        if known and len(known[0]) == len(contents) and all(map(is_, known[0], contents)):
            arrays = self.like_sent(known[1])
        else:
            kinds = {name: kind for name, (kind, _shape) in getattr(self, "_sent", {}).items()}
            with np.errstate(all="ignore"):
                arrays = self.like_sent(weighted_mean(contents, self.weighted_by_key, kinds))
            if not self.sound(server_round, arrays):
                return None, None
        return arrays, self.train_metrics_aggr_fn(contents, self.weighted_by_key)
