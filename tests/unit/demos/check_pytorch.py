# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demo with real PyTorch: the network is the one that the SuperLink believes it is, and it learns."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from cnn_torch import client_app, model, server_app
from cnn_torch.fit import fit, load, network
from flower_ops.training.data import images
from simulated import Nodes, config_of, context

# Threads that wait for each other cost more than they bring where other tests run.
torch.set_num_threads(1)
SIZES = {"epochs": 1, "batch": 32, "learning_rate": 0.01, "momentum": 0.9}


def test_parameters_have_the_names_shapes_and_order_of_the_serverapp() -> None:
    net = network()
    assert {name: tuple(one.shape) for name, one in net.named_parameters()} == model.SHAPES
    assert [name for name, _one in net.named_parameters()] == list(model.SHAPES)
    assert sum(one.numel() for one in net.parameters()) == model.PARAMETERS == 1_238_986


def test_start_values_are_drawn_as_pytorch_draws_them() -> None:
    for ours, theirs in zip(model.start(), network().parameters(), strict=True):
        bound = float(theirs.detach().abs().max())
        assert float(np.abs(ours).max()) == pytest.approx(bound, rel=0.35)


def test_numpy_and_pytorch_think_the_same_of_images() -> None:
    arrays, pixels = model.start(5), model.scaled(images(split="test", source="bundled").samples[:40])
    net = network()
    load(net, arrays)
    with torch.no_grad():
        theirs = net(torch.from_numpy(pixels)).numpy()
    np.testing.assert_allclose(model.scores(arrays, pixels), theirs, rtol=1e-4, atol=1e-5)


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
    asked = config_of(
        "pytorch",
        strategy=strategy,
        num_server_rounds=rounds,
        data_source="bundled",
        proximal_mu=0.1,
        output_dir=str(tmp_path),
    )
    grid = Nodes(client_app.app, 2, asked)
    server_app.main(grid, context(asked))
    told = json.loads((tmp_path / "metrics.json").read_text())
    accuracies, losses = ([one["central"][key] for one in told["rounds"]] for key in ("accuracy", "loss"))
    assert told["parameters"] == 1_238_986 and told["degraded"] is None and len(grid.sent) == 2 * rounds
    assert losses[-1] < losses[0], losses
    assert accuracies[0] < 0.25 and (rounds == 1 or accuracies[-1] > 0.5), accuracies
