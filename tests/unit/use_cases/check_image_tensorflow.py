# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Image classification with TensorFlow: the arrays of the ServerApp are those of MobileNetV2, and it learns."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf
from federation import Case, plan_in
from flower_ops.training.data import images
from image_classification import mobilenet, with_tensorflow
from image_classification.arrays import new
from image_classification.work import Work

CASE = "image-classification"


def work(**more: Any) -> Work:
    return Work(**{"seed": 1, "rate": 0.01, "momentum": 0.9, "batch": 32, "epochs": 1, "mu": 0.0, **more})


@pytest.fixture(scope="module")
def bare() -> Any:
    tf.keras.utils.set_random_seed(0)
    return tf.keras.applications.MobileNetV2(input_shape=(32, 32, 3), weights=None, classes=10)


def test_names_and_shapes_are_those_of_keras(bare: Any) -> None:
    pieces = mobilenet.pieces(10)
    assert [piece.shape for piece in pieces] == [array.shape for array in bare.get_weights()]
    assert [piece.name.partition("/")[0] for piece in pieces] == [weight.path.split("/")[-2] for weight in bare.weights]
    assert sum(array.size for array in new(pieces)) == bare.count_params() == 2_270_794


def test_start_values_are_drawn_as_keras_draws_them(bare: Any) -> None:
    for ours, theirs in zip(new(mobilenet.pieces(10)), bare.get_weights(), strict=True):
        if ours.size > 5000:
            assert ours.std() == pytest.approx(theirs.std(), rel=0.05)
            assert np.abs(ours).max() == pytest.approx(np.abs(theirs).max(), rel=0.01)
        elif ours.ndim == 1:
            np.testing.assert_array_equal(ours, theirs)


def test_variances_below_zero_do_no_harm() -> None:
    """A server that adapts its steps, as FedAdam does, can make such ones."""
    arrays = [-array if piece.name.endswith("variance") else array
              for piece, array in zip(mobilenet.pieces(10), new(mobilenet.pieces(10)), strict=True)]  # fmt: skip
    data = images(source="bundled")
    loss, _accuracy = with_tensorflow.test(arrays, data.samples[:8], data.labels[:8])
    assert np.isfinite(loss)


def test_the_proximal_term_holds_the_model_back() -> None:
    data = images(source="bundled")
    arrays = new(mobilenet.pieces(10))
    learned = [not piece.name.split("/")[-1].startswith("moving") for piece in mobilenet.pieces(10)]

    def apart(mu: float) -> float:
        trained, _loss = with_tensorflow.fit(arrays, data.samples[:96], data.labels[:96], work(mu=mu))
        pairs = [pair for pair, one in zip(zip(trained, arrays, strict=True), learned, strict=True) if one]
        return float(np.sqrt(sum(((left - right) ** 2).sum() for left, right in pairs)))

    assert apart(20.0) < apart(0.0)


def test_the_digits_are_learned_with_one_message_a_round(tmp_path: Path) -> None:
    result, grid = Case(CASE).run(num_server_rounds=3, output_dir=str(tmp_path))
    assert grid.kinds() == ["query.survey"] * 2 + ["train"] * 6 + ["evaluate"] * 2
    assert result.degraded is None and plan_in(tmp_path)["framework"] == "tensorflow"
    assert result.metrics[3]["accuracy"] > 0.3, result.metrics
