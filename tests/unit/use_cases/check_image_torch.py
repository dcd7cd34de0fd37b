# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image classification with PyTorch: the arrays of the ServerApp are those of the network, and it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from federation import Case, plan_in
from flower_ops.training.data import images
from image_classification import cnn, with_torch
from image_classification.arrays import new
from image_classification.work import Work
from PIL import Image

CASE = "image-classification"


def work(**more: Any) -> Work:
    return Work(**{"seed": 1, "rate": 0.01, "momentum": 0.9, "batch": 32, "epochs": 1, "mu": 0.0, **more})


def test_names_and_shapes_are_those_of_the_network() -> None:
    state = with_torch.Network(10).state_dict()
    assert [(piece.name, piece.shape) for piece in cnn.pieces(10)] == [(k, tuple(v.shape)) for k, v in state.items()]
    assert sum(value.numel() for value in state.values()) == 545_098


def test_start_values_are_drawn_as_pytorch_draws_them() -> None:
    torch.manual_seed(0)
    for ours, theirs in zip(new(cnn.pieces(10)), with_torch.Network(10).state_dict().values(), strict=True):
        assert float(np.abs(ours).max()) == pytest.approx(float(theirs.abs().max()), rel=0.4)
        if ours.size > 1000:
            assert ours.std() == pytest.approx(float(theirs.std()), rel=0.05)


def test_a_fit_depends_on_the_seed_alone() -> None:
    data = images(source="bundled")
    some = data.samples[:96], data.labels[:96]
    arrays = new(cnn.pieces(10))
    one, loss = with_torch.fit(arrays, *some, work())
    two, _loss = with_torch.fit(arrays, *some, work())
    other, _loss = with_torch.fit(arrays, *some, work(seed=2))
    for left, right in zip(one, two, strict=True):
        np.testing.assert_array_equal(left, right)
    assert any((left != right).any() for left, right in zip(one, other, strict=True))
    assert 2.0 < loss < 2.6 and [array.dtype for array in one] == [np.dtype("float32")] * 8


def test_the_proximal_term_holds_the_model_back() -> None:
    data = images(source="bundled")
    arrays = new(cnn.pieces(10))

    def apart(mu: float) -> float:
        trained, _loss = with_torch.fit(arrays, data.samples[:320], data.labels[:320], work(mu=mu))
        return float(np.sqrt(sum(((left - right) ** 2).sum() for left, right in zip(trained, arrays, strict=True))))

    free, held, tight = apart(0.0), apart(1.0), apart(20.0)
    assert tight < held < free


def test_the_digits_are_learned_with_one_message_a_round(tmp_path: Path) -> None:
    result, grid = Case(CASE).run(num_server_rounds=3, output_dir=str(tmp_path))
    assert grid.kinds() == ["query.survey"] * 2 + ["train"] * 6 + ["evaluate"] * 2
    assert result.degraded is None and result.rounds[1]["train"]["start-accuracy"] < 0.3
    assert result.metrics[3]["accuracy"] > 0.6, result.metrics
    plan = plan_in(tmp_path)
    assert (plan["framework"], plan["source"], len(plan["classes"])) == ("pytorch", "bundled", 10)
    with np.load(tmp_path / "model.npz") as model:
        assert sum(model[name].size for name in model) == 545_098


def test_own_images_of_three_classes_some_of_them_on_one_node_only(tmp_path: Path) -> None:
    dice = np.random.RandomState(0)
    configs = {}
    for node, names in {1: ("blue", "red"), 2: ("green", "red")}.items():
        for name in names:
            place = tmp_path / f"{node}/{name}"
            place.mkdir(parents=True)
            for number in range(40):
                image = dice.randint(0, 60, (32, 32, 3)).astype(np.uint8)
                image[..., ("red", "green", "blue").index(name)] += 180
                Image.fromarray(image).save(place / f"{number}.png")
        configs[node] = {"data": str(tmp_path / str(node))}
    result, _grid = Case(CASE, configs=configs).run(num_server_rounds=4, output_dir=str(tmp_path / "out"))
    assert plan_in(tmp_path / "out")["classes"] == ["blue", "green", "red"]
    assert result.arrays[-1].shape == (3,) and result.metrics[4]["bundled-data"] == 0.0
    assert result.metrics[4]["accuracy"] > 0.9, result.metrics


def test_a_resumed_training_equals_an_uninterrupted_one(tmp_path: Path) -> None:
    def run(place: str, rounds: int, run_id: int = 77) -> Any:
        kept = {"training": "t", "checkpoint_enabled": True, "checkpoint_path": str(tmp_path / place)}
        # Two of ten parts: what is to be seen does not need all of the data.
        some = {node: {"partition-id": node, "num-partitions": 10} for node in (1, 2)}
        return Case(CASE, configs=some).run(num_server_rounds=rounds, run_id=run_id, strategy="FedProx", **kept)[0]

    whole = run("whole", 3)
    run("parts", 1)
    rest = run("parts", 3, 78)
    assert rest.resumed_from == 1
    for one, other in zip(whole.arrays, rest.arrays, strict=True):
        np.testing.assert_array_equal(one, other)
    assert whole.metrics[3] == rest.metrics[3]
