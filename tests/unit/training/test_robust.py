# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Strategies that bear nodes which lie: a poisoned node is not followed, and too few answers change nothing."""

from __future__ import annotations

import numpy as np
import pytest
from digits import accuracy, all_digits, apps
from flower_ops.training.strategies.robust import distances, nearest
from flwr.app import ArrayRecord, MetricRecord, RecordDict
from local_grid import LocalGrid
from run_support import NODES, ROUNDS, apart, flat, read, train_by, vector


@pytest.mark.parametrize("strategy", ["Krum", "MultiKrum", "Bulyan", "FedTrimmedAvg", "FedMedian"])
@pytest.mark.parametrize("kind", ["float64", "float32"])
def test_robust_strategies_bear_a_poisoned_node(strategy: str, kind: str) -> None:
    honest = train_by(strategy, LocalGrid(apps(NODES)), kind)
    poisoned = train_by(strategy, LocalGrid(apps(NODES, poisoned=3)), kind)
    assert accuracy(honest.arrays, all_digits()) > 0.7
    assert accuracy(poisoned.arrays, all_digits()) > accuracy(honest.arrays, all_digits()) - 0.05
    assert accuracy(train_by("FedAvg", LocalGrid(apps(NODES, poisoned=3)), kind).arrays, all_digits()) < 0.3


@pytest.mark.parametrize("strategy", ["Krum", "MultiKrum"])
def test_the_poisoned_node_is_not_among_the_selected(strategy: str) -> None:
    grid = LocalGrid(apps(NODES, poisoned=3))
    result = train_by(strategy, grid, rounds=1)
    models = {answer.metadata.src_node_id: flat(answer) for answer in grid.answered}
    poisoned = models.pop(3)
    # Every honest mixture lies within what honest nodes sent, coordinate by coordinate.
    honest = np.stack(list(models.values()))
    assert (vector(result) >= honest.min(axis=0) - 1e-12).all()
    assert (vector(result) <= honest.max(axis=0) + 1e-12).all()
    assert apart(vector(result), poisoned) > 0.9


def test_krum_in_float32_tells_models_apart_that_are_close_together() -> None:
    """Late in training answers differ by far less than a model is long; Flower's formula sees only rounding then."""
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


@pytest.mark.parametrize("strategy", ["Krum", "MultiKrum", "Bulyan"])
def test_too_few_answers_for_the_malicious_ones_change_nothing(strategy: str, log: list[str]) -> None:
    grid = LocalGrid(apps(NODES))

    def fewer(number: int) -> None:
        grid.lost = {1, 2, 3} if number == 2 else set()

    grid.before_round = fewer
    result = train_by(strategy, grid)
    sent = [flat(grid.sent[number * NODES]) for number in range(ROUNDS)]
    np.testing.assert_array_equal(sent[1], sent[2])
    assert [one["aggregated"] for one in result.rounds] == [True, False, True]
    said = [line for line in log if line.startswith("WARNING") and strategy in line]
    assert len(said) == 1 and ("got 4" in said[0] or "received 4" in said[0])
    assert "round 2: 4 of 7 results, none of them used" in str(result.degraded)
    reader, degraded = read(log)
    assert [one["dropped"] for one in reader.rounds] == [None, said[0].partition(":      ")[2], None]
    assert degraded is not None
    assert degraded.startswith("round 2: 4 of 7 results, none of its results was used (")
    assert strategy in degraded and "first error: node 1: " in degraded
