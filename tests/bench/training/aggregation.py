# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by the Python of a Flower environment: seconds for the mean of 20 MB models of ten nodes, ours and plain NumPy.

Prints JSON: [[ours, plain], …].
"""

from __future__ import annotations

import json
import logging
import sys
import time

import numpy as np
from flower_ops.training.flower import record_of
from flower_ops.training.replies import screened
from flower_ops.training.settings import Settings
from flower_ops.training.strategies import build
from flwr.app import ConfigRecord, Message, MetricRecord, RecordDict

NODES, PIECES, NUMBERS = 10, 10, 500_000


class Connected:
    """All of a grid that choosing nodes needs."""

    def get_node_ids(self) -> range:
        """Of nodes that are there."""
        return range(1, NODES + 1)


def main(times: int) -> list[list[float]]:
    """What comes in is looked at before it is averaged; that counts as ours too."""
    generator = np.random.default_rng(0)
    base = [generator.normal(size=NUMBERS).astype(np.float32) for _piece in range(PIECES)]
    models = [[piece + np.float32(node) for piece in base] for node in range(NODES)]
    weights = np.arange(1, NODES + 1, dtype=np.float64)
    found = []
    for _time in range(times):
        strategy = build(Settings(min_available_clients=NODES))
        record = record_of(base)
        sent = list(strategy.configure_train(1, record, ConfigRecord(), Connected()))
        answers = [
            Message(
                RecordDict({"arrays": record_of(model), "metrics": MetricRecord({"num-examples": int(weight)})}),
                reply_to=message,
            )
            for message, model, weight in zip(sent, models, weights, strict=True)
        ]
        began = time.perf_counter()
        strategy.aggregate_train(1, screened(answers, sent, record, strategy.weighted_by_key))
        ours = time.perf_counter() - began
        began = time.perf_counter()
        shares = weights / weights.sum()
        mean = [
            sum(share * model[place] for share, model in zip(shares, models, strict=True)) for place in range(PIECES)
        ]
        plain = time.perf_counter() - began
        assert len(mean) == PIECES
        found.append([ours, plain])
    return found


if __name__ == "__main__":
    logging.getLogger("flwr").setLevel(logging.ERROR)
    print(json.dumps(main(int(sys.argv[1]))))
