# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategies that bear nodes which lie: Krum and Multi-Krum (Blanchard et al. 2017), Bulyan (El Mhamdi et al. 2018).

Answers are compared by distances that are computed here, in float64 from differences. Flower's formula,
|x|² + |y|² - 2xy in the model's own type, loses in float32 all digits of a distance once the answers are much nearer
to each other than to zero, which is what training comes to, and then chooses by chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from flower_ops.robustness import least_nodes
from flower_ops.training.flower import LOG, look
from flower_ops.training.strategies.base import Strategy
from flower_ops.training.strategies.mean import Averaging
from flwr.app import ArrayRecord, Message, RecordDict
from flwr.serverapp import strategy as flower
from numpy.typing import NDArray


def distances(records: list[ArrayRecord]) -> NDArray[np.float64]:
    """Squared Euclidean distances between models: shape (n, n) for n of them, zero on the diagonal."""
    size = len(records)
    found = np.zeros((size, size))
    for name in records[0]:
        # One layer of all models at a time, so that they never lie in memory twice.
        layer = [look(record[name]) for record in records]
        for row in range(size):
            for column in range(row):
                difference = np.subtract(layer[row], layer[column], dtype=np.float64).ravel()
                found[row, column] += difference @ difference
    both: NDArray[np.float64] = found + found.T
    return both


def nearest(contents: list[RecordDict], malicious: int, count: int) -> list[RecordDict]:
    """The `count` contents with the smallest sums of distances to their n - f - 2 nearest others, best first."""
    table = distances([next(iter(content.array_records.values())) for content in contents])
    others = max(1, len(contents) - malicious - 2)
    # The own distance, zero, is the first of each sorted row.
    scores = np.sort(table, axis=1)[:, 1 : others + 1].sum(axis=1)
    return [contents[place] for place in np.argsort(scores, kind="stable")[:count]]


class MultiKrum(Averaging, flower.MultiKrum):
    """Weighted mean of the answers that lie nearest to their neighbours: all but the number of malicious nodes."""

    def count(self, replies: int) -> int:
        """How many of the answers are averaged."""
        return max(1, replies - self.num_malicious_nodes)

    def select(self, replies: list[Message], is_train: bool) -> list[Message]:
        """The nearest answers; none when so few came that the malicious ones could win."""
        if not is_train:
            return replies
        needed = least_nodes("Krum", self.num_malicious_nodes)[0]
        if len(replies) < needed:
            LOG.warning(
                "%s needs %d answers to bear %d malicious nodes and got %d: this round's answers are dropped.",
                type(self).__name__,
                needed,
                self.num_malicious_nodes,
                len(replies),
            )
            return []
        chosen = nearest([reply.content for reply in replies], self.num_malicious_nodes, self.count(len(replies)))
        return [reply for reply in replies if any(reply.content is one for one in chosen)]


class Krum(MultiKrum, flower.Krum):
    """The one answer that lies nearest to its neighbours."""

    def count(self, replies: int) -> int:
        """Always one."""
        return 1


class Bulyan(Strategy, flower.Bulyan):
    """Of the n - 2f nearest answers, for each coordinate the mean of the n - 4f values nearest to their median.

    Flower's class leaves the model as it is when fewer than 4f + 3 answers came, and says so.
    """

    def __init__(self, **settings: Any) -> None:
        super().__init__(selection_rule=nearest, **settings)
