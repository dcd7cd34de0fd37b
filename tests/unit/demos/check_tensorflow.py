# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo with real TensorFlow: the network is the one that the SuperLink believes it is, and it learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from cnn_keras import client_app, model, server_app
from cnn_keras.fit import fit, network
from flower_ops.training.data import images
from simulated import Nodes, config_of, context

SIZES = {"epochs": 1, "batch": 32, "learning_rate": 0.05, "momentum": 0.0}


def test_weights_have_the_shapes_and_order_of_the_serverapp() -> None:
    net = network()
    assert [one.shape for one in net.get_weights()] == list(model.SHAPES.values())
    assert [tuple(one.shape) for one in net.trainable_variables] == list(model.SHAPES.values())
    assert [one.name for one in net.weights] == [name.split(".")[1] for name in model.SHAPES]
    assert net.count_params() == model.PARAMETERS == 2_156_490


def test_start_values_are_drawn_as_keras_draws_them() -> None:
    for ours, theirs in zip(model.start(), network().get_weights(), strict=True):
        assert float(np.abs(ours).max()) == pytest.approx(float(np.abs(theirs).max()), rel=0.05)


def test_numpy_and_keras_think_the_same_of_images() -> None:
    arrays, pixels = model.start(5), model.scaled(images(split="test", source="bundled").samples[:40])
    net = network()
    net.set_weights(arrays)
    theirs = net(tf.constant(pixels)).numpy()
    powers = np.exp(model.scores(arrays, pixels))
    np.testing.assert_allclose(powers / powers.sum(axis=1, keepdims=True), theirs, rtol=1e-4, atol=1e-5)


def test_training_repeats_itself_and_the_proximal_term_keeps_it_near() -> None:
    found = images(source="bundled")
    start, pixels, labels = model.start(), found.samples[:160], found.labels[:160]

    def distance(mu: float) -> float:
        trained, _loss = fit(start, pixels, labels, **SIZES, proximal_mu=mu)
        return float(sum(((one - other) ** 2).sum() for one, other in zip(trained, start, strict=True)))

    assert distance(10.0) < distance(1.0) < distance(0.0)
    first, second = (fit(start, pixels, labels, **SIZES, seed=4)[0] for _time in range(2))
    assert all(np.array_equal(one, other) for one, other in zip(first, second, strict=True))


@pytest.mark.parametrize(("strategy", "rounds"), [("FedAvg", 3), ("FedProx", 1), ("FedAdam", 1)])
def test_rounds_learn(strategy: str, rounds: int, tmp_path: Path) -> None:
    """Without momentum three passes are not enough for much; a higher rate makes up for it."""
    asked = config_of(
        "tensorflow",
        strategy=strategy,
        num_server_rounds=rounds,
        data_source="bundled",
        proximal_mu=0.1,
        learning_rate=0.05,
        client_lr=0.05,
        output_dir=str(tmp_path),
    )
    grid = Nodes(client_app.app, 2, asked)
    server_app.main(grid, context(asked))
    told = json.loads((tmp_path / "metrics.json").read_text())
    accuracies, losses = ([one["central"][key] for one in told["rounds"]] for key in ("accuracy", "loss"))
    assert told["parameters"] == 2_156_490 and told["degraded"] is None and len(grid.sent) == 2 * rounds
    assert losses[-1] < losses[0], losses
    assert accuracies[0] < 0.25 and (rounds == 1 or accuracies[-1] > 0.5), accuracies
