# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every strategy against the same rule computed centrally, on the answers that the nodes really gave."""

from __future__ import annotations

from typing import Any

import central
import numpy as np
import pytest
from digits import apps
from flower_ops.training.settings import STRATEGIES
from local_grid import LocalGrid
from run_support import NODES, ROUNDS, Vector, apart, examples, flat, read, train_by, vector

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


def test_there_is_a_rule_for_every_strategy() -> None:
    assert set(RULES) == set(STRATEGIES)


@pytest.mark.parametrize("kind", LIMITS)
@pytest.mark.parametrize("strategy", RULES)
def test_every_round_is_what_the_rule_makes_of_the_answers(strategy: str, kind: str) -> None:
    grid = LocalGrid(apps(NODES, by_label=True))
    result = train_by(strategy, grid, kind)
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


def test_fedprox_stays_nearer_to_the_global_model_than_fedavg() -> None:
    def drift(strategy: str, **config: Any) -> Vector:
        grid = LocalGrid(apps(5, by_label=True))
        train_by(strategy, grid, rounds=1, **config)
        start = flat(grid.sent[0])
        by_node = sorted(grid.answered, key=lambda answer: answer.metadata.src_node_id)
        return np.array([np.linalg.norm(flat(answer) - start) for answer in by_node])

    free, held, tight = drift("FedAvg"), drift("FedProx", proximal_mu=0.3), drift("FedProx", proximal_mu=1.0)
    assert (held < 0.95 * free).all() and (tight < 0.95 * held).all()
    np.testing.assert_array_equal(drift("FedProx", proximal_mu=0.0), free)


def test_fedadam_tells_the_nodes_their_learning_rate() -> None:
    grid = LocalGrid(apps(3))
    train_by("FedAdam", grid, rounds=1, client_lr=0.02)
    assert {float(message.content["config"]["client-lr"]) for message in grid.sent} == {0.02}  # type: ignore


def test_the_fault_tolerant_variant_needs_a_share_of_the_answers(log: list[str]) -> None:
    grid = LocalGrid(apps(4))

    def fewer(number: int) -> None:
        grid.lost = {1: {1}, 2: {1, 2, 3}, 3: set()}[number]

    grid.before_round = fewer
    result = train_by("FaultTolerantFedAvg", grid, min_completion_rate=0.5)
    assert [one["aggregated"] for one in result.rounds] == [True, False, True]
    assert result.degraded is not None and "round 1: 3 of 4 results" in result.degraded
    assert any("Only 1 of 4 nodes answered" in line for line in log)
    why = read(log)[1]
    assert why is not None and why.startswith(
        "round 1: 3 of 4 results; round 2: 1 of 4 results, none of its results was"
    )
    assert "(Only 1 of 4 nodes answered, less than min-completion-rate 0.5 allows" in why
