# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Helpers of ClientApps: FedProx's term is the paper's, tasks and answers keep everything."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from digits import apps
from flower_ops.training.client.describe import description
from flower_ops.training.client.messages import Task, evaluated, task_of, trained
from flower_ops.training.client.proximal import gradient, penalty, pull
from flower_ops.training.flower import record_of
from flwr.app import ConfigRecord, Context, Message, RecordDict
from hypothesis import HealthCheck, given
from hypothesis import settings as bounds
from hypothesis import strategies as st

RNG = np.random.default_rng(3)
WEIGHTS = [RNG.normal(size=(3, 4)), RNG.normal(size=5)]
ANCHORS = [RNG.normal(size=(3, 4)), RNG.normal(size=5)]


def copies() -> list[np.ndarray[Any, Any]]:
    return [one.copy() for one in WEIGHTS]


def test_the_penalty_is_half_mu_times_the_squared_distance_over_all_arrays() -> None:
    flat = np.concatenate([one.ravel() for one in WEIGHTS]) - np.concatenate([one.ravel() for one in ANCHORS])
    assert penalty(WEIGHTS, ANCHORS, 0.7) == pytest.approx(0.35 * flat @ flat)
    assert penalty(WEIGHTS, ANCHORS, 0.7, total=np.sum) == pytest.approx(0.35 * flat @ flat)
    assert penalty(WEIGHTS, ANCHORS, 0.0) == 0.0 and penalty(WEIGHTS, WEIGHTS, 5.0) == 0.0


def test_the_gradient_is_that_of_the_penalty() -> None:
    slope = gradient(WEIGHTS, ANCHORS, 0.7)
    for layer, place in ((0, (1, 2)), (1, (4,))):
        higher, lower = copies(), copies()
        higher[layer][place] += 1e-6
        lower[layer][place] -= 1e-6
        rise = (penalty(higher, ANCHORS, 0.7) - penalty(lower, ANCHORS, 0.7)) / 2e-6
        assert slope[layer][place] == pytest.approx(rise, rel=1e-5)


@bounds(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.floats(0, 100), st.floats(1e-4, 10))
def test_a_pull_balances_staying_and_the_penalty(mu: float, rate: float) -> None:
    moved = copies()
    pull(moved, ANCHORS, mu, rate)
    back = [(new - old) / rate for new, old in zip(moved, WEIGHTS, strict=True)]
    for left, right in zip(back, gradient(moved, ANCHORS, mu), strict=True):
        np.testing.assert_allclose(left, -right, rtol=1e-6, atol=1e-9 / rate)
    # However great the step, it ends between where it began and the anchor.
    for new, old, anchor in zip(moved, WEIGHTS, ANCHORS, strict=True):
        assert (np.abs(new - anchor) <= np.abs(old - anchor) + 1e-12).all()


def test_different_numbers_of_arrays_are_an_error() -> None:
    with pytest.raises(ValueError, match="zip"):
        penalty(WEIGHTS, ANCHORS[:1], 1.0)


def message(**config: Any) -> Message:
    keys = {name.replace("_", "-"): value for name, value in config.items()}
    return Message(RecordDict({"arrays": record_of(WEIGHTS), "config": ConfigRecord(keys)}), 5, "train")


def test_a_task_and_what_is_missing_in_it() -> None:
    task = task_of(message(server_round=3, num_server_rounds=9, proximal_mu=0.5, client_lr=0.01))
    assert (task.round, task.rounds, task.proximal_mu, task.client_lr) == (3, 9, 0.5, 0.01)
    np.testing.assert_array_equal(task.arrays[1], WEIGHTS[1])
    bare = task_of(Message(RecordDict({"model": record_of(WEIGHTS)}), 5, "train"))
    assert bare == Task(bare.arrays, 0, 0, 0.0, None)
    with pytest.raises(ValueError, match="holds no arrays"):
        task_of(Message(RecordDict(), 5, "train"))


def test_answers_hold_model_figures_and_weight() -> None:
    asked = message()
    answer = trained(asked, WEIGHTS, 12, {"loss": np.float32(0.5)})
    assert dict(answer.content["metrics"]) == {"loss": 0.5, "num-examples": 12}
    assert answer.metadata.src_node_id == 5
    assert "arrays" not in evaluated(asked, 3, {"accuracy": 1.0}).content
    with pytest.raises(ValueError, match="0 examples"):
        trained(asked, WEIGHTS, 0)


def test_more_than_ten_arrays_keep_their_order() -> None:
    many = [np.full(2, number) for number in range(25)]
    answer = trained(message(), many, 1)
    (record,) = answer.content.array_records.values()
    assert [int(array[0]) for array in record.to_numpy_ndarrays()] == list(range(25))


def test_a_node_describes_itself() -> None:
    def told(**node_config: Any) -> dict[str, str]:
        return description(Context(1, 1, node_config, RecordDict(), {}))

    assert told(framework="pytorch")["frameworks"] == "pytorch"
    assert "sklearn" in told()["frameworks"].split(",")
    assert told()["flower-version"].count(".") >= 2
    answer = apps(1)[1](Message(RecordDict(), 1, "query.describe"), Context(1, 1, {}, RecordDict(), {}))
    assert dict(answer.content["description"]) == told()
