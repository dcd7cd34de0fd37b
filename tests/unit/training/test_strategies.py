# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every strategy against the same rule computed centrally, on the answers that the nodes really gave."""

from __future__ import annotations

from typing import Any

import central
import numpy as np
import pytest
from digits import accuracy, all_digits, apps, new_model
from flower_ops.training.flower import record_of
from flower_ops.training.result import Result
from flower_ops.training.settings import STRATEGIES, Settings
from flower_ops.training.strategies import build
from flower_ops.training.train import train
from flwr.app import Context, Message, MetricRecord, RecordDict
from flwr.serverapp import strategy as flower
from local_grid import LocalGrid

NODES = 7
ROUNDS = 3
LIMITS = {"float64": 1e-6, "float32": 1e-5}
RULES = {
    "FedAvg": lambda: central.mean,
    "FedProx": lambda: central.mean,
    "FedAdam": lambda: central.Adam(0.1),
    "Krum": lambda: central.krum(1, lambda answers: 1),
    "MultiKrum": lambda: central.krum(1, lambda answers: answers - 1),
    "Bulyan": lambda: central.bulyan(1),
    "FedTrimmedAvg": lambda: central.trimmed(0.2),
    "FedMedian": lambda: central.median,
    "FaultTolerantFedAvg": lambda: central.mean,
}


def context(**config: Any) -> Context:
    keys = {name.replace("_", "-"): value for name, value in config.items()}
    return Context(run_id=1, node_id=1, node_config={}, state=RecordDict(), run_config=keys)


def run(strategy: str, grid: LocalGrid, kind: str = "float64", rounds: int = ROUNDS, **config: Any) -> Result:
    asked = context(
        strategy=strategy,
        num_server_rounds=rounds,
        min_available_clients=len(grid.nodes),
        num_malicious=1,
        checkpoint_enabled=False,
        **config,
    )
    return train(grid, asked, new_model(kind))


def flat(message: Message) -> central.Vector:
    (record,) = message.content.array_records.values()
    return np.concatenate([array.ravel() for array in record.to_numpy_ndarrays()]).astype(np.float64)


def examples(message: Message) -> float:
    (record,) = message.content.metric_records.values()
    return float(record["num-examples"])  # type: ignore[arg-type]


def apart(left: central.Vector, right: central.Vector) -> float:
    """Relative distance."""
    return float(np.linalg.norm(left - right) / np.linalg.norm(right))


def vector(result: Result) -> central.Vector:
    return np.concatenate([array.ravel() for array in result.arrays]).astype(np.float64)


def test_there_is_a_rule_for_every_strategy() -> None:
    assert set(RULES) == set(STRATEGIES)


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("strategy", RULES)
def test_every_round_is_what_the_rule_makes_of_the_answers(strategy: str, kind: str) -> None:
    grid = LocalGrid(apps(NODES, by_label=True))
    result = run(strategy, grid, kind)
    rule = RULES[strategy]()
    # What the nodes were sent in each round is the outcome of the round before.
    globals_ = [flat(grid.sent[number * NODES]) for number in range(ROUNDS)] + [vector(result)]
    for number in range(1, ROUNDS + 1):
        answers = grid.answered[(number - 1) * NODES : number * NODES]
        models = np.stack([flat(answer) for answer in answers])
        weights = np.array([examples(answer) for answer in answers])
        assert apart(globals_[number], rule(models, weights, globals_[number - 1], number)) < LIMITS[kind]
        assert apart(globals_[number], globals_[number - 1]) > 1e-3
    assert all(array.dtype == kind for array in result.arrays)
    assert [one["results"] for one in result.rounds] == [NODES] * ROUNDS and result.degraded is None


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


@pytest.mark.parametrize("strategy", ["Krum", "MultiKrum", "Bulyan", "FedTrimmedAvg", "FedMedian"])
@pytest.mark.parametrize("kind", LIMITS)
def test_robust_strategies_bear_a_poisoned_node(strategy: str, kind: str) -> None:
    honest = run(strategy, LocalGrid(apps(NODES)), kind)
    poisoned = run(strategy, LocalGrid(apps(NODES, poisoned=3)), kind)
    assert accuracy(honest.arrays, all_digits()) > 0.7
    assert accuracy(poisoned.arrays, all_digits()) > accuracy(honest.arrays, all_digits()) - 0.05
    assert accuracy(run("FedAvg", LocalGrid(apps(NODES, poisoned=3)), kind).arrays, all_digits()) < 0.3


@pytest.mark.parametrize("strategy", ["Krum", "MultiKrum"])
def test_the_poisoned_node_is_not_among_the_selected(strategy: str) -> None:
    grid = LocalGrid(apps(NODES, poisoned=3))
    result = run(strategy, grid, rounds=1)
    models = {answer.metadata.src_node_id: flat(answer) for answer in grid.answered}
    poisoned = models.pop(3)
    # Every honest mixture lies within what honest nodes sent, coordinate by coordinate.
    honest = np.stack(list(models.values()))
    assert (vector(result) >= honest.min(axis=0) - 1e-12).all()
    assert (vector(result) <= honest.max(axis=0) + 1e-12).all()
    assert apart(vector(result), poisoned) > 0.9


def test_krum_in_float32_tells_models_apart_that_are_close_together() -> None:
    """Late in training answers differ by far less than a model is long; Flower's formula sees only rounding then."""
    from flower_ops.training.strategies.robust import distances, nearest
    from flwr.app import ArrayRecord, MetricRecord

    rng = np.random.default_rng(0)
    model = rng.normal(0, 10, 20000).astype(np.float32)
    steps = [rng.normal(0, 1e-3 * (3 if node == 4 else 1), model.size).astype(np.float32) for node in range(5)]
    contents = [
        RecordDict({"arrays": ArrayRecord([model + step]), "metrics": MetricRecord({"num-examples": 1})})
        for step in steps
    ]
    exact = np.stack([(model + step).astype(np.float64) for step in steps])
    wanted = ((exact[:, None, :] - exact[None, :, :]) ** 2).sum(axis=2)
    records = [next(iter(content.array_records.values())) for content in contents]
    np.testing.assert_allclose(distances(records), wanted, rtol=1e-9)
    chosen = {place for place, one in enumerate(contents) for content in nearest(contents, 1, 4) if one is content}
    assert chosen == {0, 1, 2, 3}


def test_fedprox_stays_nearer_to_the_global_model_than_fedavg() -> None:
    def drift(strategy: str, **config: Any) -> central.Vector:
        grid = LocalGrid(apps(5, by_label=True))
        run(strategy, grid, rounds=1, **config)
        start = flat(grid.sent[0])
        by_node = sorted(grid.answered, key=lambda answer: answer.metadata.src_node_id)
        return np.array([np.linalg.norm(flat(answer) - start) for answer in by_node])

    free, held, tight = drift("FedAvg"), drift("FedProx", proximal_mu=0.3), drift("FedProx", proximal_mu=1.0)
    assert (held < 0.95 * free).all() and (tight < 0.95 * held).all()
    np.testing.assert_array_equal(drift("FedProx", proximal_mu=0.0), free)


def test_fedadam_tells_the_nodes_their_learning_rate() -> None:
    grid = LocalGrid(apps(3))
    run("FedAdam", grid, rounds=1, client_lr=0.02)
    assert {float(message.content["config"]["client-lr"]) for message in grid.sent} == {0.02}  # type: ignore


@pytest.mark.parametrize("strategy", ["Krum", "MultiKrum", "Bulyan"])
def test_too_few_answers_for_the_malicious_ones_change_nothing(strategy: str, log: list[str]) -> None:
    grid = LocalGrid(apps(NODES))

    def fewer(number: int) -> None:
        grid.lost = {1, 2, 3} if number == 2 else set()

    grid.before_round = fewer
    result = run(strategy, grid)
    sent = [flat(grid.sent[number * NODES]) for number in range(ROUNDS)]
    np.testing.assert_array_equal(sent[1], sent[2])
    assert [one["aggregated"] for one in result.rounds] == [True, False, True]
    said = [line for line in log if line.startswith("WARNING") and strategy in line]
    assert len(said) == 1 and ("got 4" in said[0] or "received 4" in said[0])


def test_the_fault_tolerant_variant_needs_a_share_of_the_answers(log: list[str]) -> None:
    grid = LocalGrid(apps(4))

    def fewer(number: int) -> None:
        grid.lost = {1: {1}, 2: {1, 2, 3}, 3: set()}[number]

    grid.before_round = fewer
    result = run("FaultTolerantFedAvg", grid, min_completion_rate=0.5)
    assert [one["aggregated"] for one in result.rounds] == [True, False, True]
    assert result.degraded is not None and "round 1: 3 of 4 results" in result.degraded
    assert any("Only 1 of 4 nodes answered" in line for line in log)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_arrays_without_dimensions_stay_so(strategy: str) -> None:
    """PyTorch's batch normalisation has one: the number of batches it has seen."""
    from flower_ops.training.client.messages import task_of, trained
    from flwr.clientapp import ClientApp

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
    from flower_ops.training.client.messages import task_of, trained
    from flwr.clientapp import ClientApp

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
