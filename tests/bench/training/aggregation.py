# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Run by the Python of a Flower environment: seconds for the mean of 20 MB models of ten nodes, ours and plain NumPy.

Ours begins with the nodes' messages, as they come from the network, and ends with the arrays of the next message: they
are read, screened, averaged and written. Plain NumPy begins and ends with arrays in memory and screens nothing; it has
nothing to read and nothing to write, so the figure is no better than what is true.
Prints JSON: [[ours, plain], …].
"""

from __future__ import annotations

import json
import logging
import sys
import time

import numpy as np
from flower_ops.training.flower import Arrays, arrays_of, record_of
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


def by_us(models: list[Arrays], weights: list[float], base: Arrays) -> tuple[float, Arrays]:
    """Seconds from answers to the next model, and that model."""
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
    usable = screened(answers, sent, record, strategy.weighted_by_key, strategy.all_finite)
    found, _metrics = strategy.aggregate_train(1, usable)
    return time.perf_counter() - began, arrays_of(found)


def by_numpy(models: list[Arrays], weights: list[float]) -> tuple[float, Arrays]:
    """Seconds from arrays to their mean, and the mean."""
    began = time.perf_counter()
    # Numbers of Python, not of NumPy: by those NumPy 2 would make float64 of all arrays, and take thrice as long.
    shares = [weight / sum(weights) for weight in weights]
    mean = [
        sum(share * piece for share, piece in zip(shares, pieces, strict=True)) for pieces in zip(*models, strict=True)
    ]
    return time.perf_counter() - began, mean


def main(times: int) -> list[list[float]]:
    """One turn that does not count, then `times`, the order reversed every second time."""
    generator = np.random.default_rng(0)
    base = [generator.normal(size=NUMBERS).astype(np.float32) for _piece in range(PIECES)]
    models = [[piece + np.float32(node) for piece in base] for node in range(NODES)]
    weights = [float(node) for node in range(1, NODES + 1)]
    found = []
    for turn in range(times + 1):
        ways = {"ours": lambda: by_us(models, weights, base), "plain": lambda: by_numpy(models, weights)}
        done = {way: ways[way]() for way in list(ways)[:: -1 if turn % 2 else 1]}
        for ours, plain in zip(done["ours"][1], done["plain"][1], strict=True):
            assert ours.dtype == plain.dtype == np.float32
            assert np.allclose(ours, plain, rtol=1e-5, atol=1e-5)
        found.append([done["ours"][0], done["plain"][0]])
    return found[1:]


if __name__ == "__main__":
    logging.getLogger("flwr").setLevel(logging.ERROR)
    print(json.dumps(main(int(sys.argv[1]))))
