# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What comes out of an aggregation has the types and shapes that went in, and Flower's own values."""

from __future__ import annotations

import numpy as np
import pytest
from flower_ops.training.client.messages import task_of, trained
from flower_ops.training.flower import record_of
from flower_ops.training.settings import STRATEGIES, Settings
from flower_ops.training.strategies import build
from flower_ops.training.train import train
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import strategy as flower
from local_grid import LocalGrid
from run_support import context


def answer_of(node: int, value: float) -> Message:
    content = RecordDict(
        {"arrays": record_of([np.full((2, 3), value)]), "metrics": MetricRecord({"num-examples": node})}
    )
    return Message(content, reply_to=Message(RecordDict(), node, "train"))


def test_the_mean_that_shows_finite_answers_is_that_of_these_answers_only() -> None:
    strategy = build(Settings())
    answers = [answer_of(node, 10.0 * node) for node in (1, 2, 3)]
    assert not strategy.all_finite([*answers, answer_of(4, np.nan)])
    assert strategy.all_finite(answers)
    for chosen, expected in ((answers[:2], 50 / 3), (answers, 70 / 3), (answers[1:], 26.0)):
        arrays, _metrics = strategy.aggregate_train(1, chosen)
        assert arrays is not None
        np.testing.assert_allclose(arrays.to_numpy_ndarrays()[0], np.full((2, 3), expected), rtol=1e-12)
        assert strategy.all_finite(answers)


@pytest.mark.parametrize("kind", ["float16", "float32", "float64", "int32"])
def test_the_mean_is_flowers_to_the_last_bit(kind: str) -> None:
    rng = np.random.default_rng(4)

    def answers() -> list[Message]:
        made = []
        for node in (1, 2, 3):
            arrays = record_of(
                [(100 * np.random.default_rng(node).normal(size=shape)).astype(kind) for shape in shapes]
            )
            asked = Message(RecordDict(), node, "train")
            content = RecordDict({"arrays": arrays, "metrics": MetricRecord({"num-examples": 7 * node, "loss": 0.1})})
            made.append(Message(content, reply_to=asked))
        return made

    shapes = [(4, 5), (3,), tuple(rng.integers(1, 4, 3))]
    theirs, metrics = flower.FedAvg().aggregate_train(1, answers())
    ours, own_metrics = build(Settings()).aggregate_train(1, answers())
    assert theirs is not None and ours is not None and own_metrics == metrics
    for left, right in zip(ours.to_numpy_ndarrays(), theirs.to_numpy_ndarrays(), strict=True):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_arrays_without_dimensions_stay_so(strategy: str) -> None:
    """PyTorch's batch normalisation has one: the number of batches it has seen."""

    def scaling(node: int) -> ClientApp:
        client = ClientApp()

        @client.train()
        def fit(message: Message, context: Context) -> Message:
            weights, scale = task_of(message).arrays
            return trained(message, [weights + node / 10, scale + np.float32(node)], node)

        return client

    grid = LocalGrid({node: scaling(node) for node in range(1, 8)})
    asked = context(strategy=strategy, min_available_clients=7, num_malicious=1, checkpoint_enabled=False)
    weights, scale = train(grid, asked, [np.zeros(3, np.float32), np.array(1, np.float32)]).arrays
    assert scale.shape == () and scale.dtype == weights.dtype == np.float32 and scale > 1


def test_counters_stay_whole_numbers() -> None:
    def counting(node: int) -> ClientApp:
        client = ClientApp()

        @client.train()
        def fit(message: Message, context: Context) -> Message:
            weights, seen = task_of(message).arrays
            return trained(message, [weights + node, seen + 10 * node], node)

        return client

    grid = LocalGrid({node: counting(node) for node in (1, 2)})
    asked = context(num_server_rounds=1, checkpoint_enabled=False)
    start = [np.zeros(3, np.float32), np.array([5], np.int64)]
    weights, seen = train(grid, asked, start).arrays
    assert weights.dtype == np.float32 and seen.dtype == np.int64
    # (1 * 15 + 2 * 25) / 3 = 21.67
    assert seen.tolist() == [22]
