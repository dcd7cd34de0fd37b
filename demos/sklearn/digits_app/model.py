# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that nodes train and the SuperLink evaluates: pixels, one hidden layer, 10 classes.

Their parameters travel as four arrays in this order: hidden weights (pixels, h), output weights (h, 10), hidden biases
(h,), output biases (10,). Only NumPy is needed here, so that the ServerApp starts quickly.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

CLASSES = 10
NAMES = ("hidden_weights", "output_weights", "hidden_biases", "output_biases")

Array = NDArray[Any]


@dataclass(frozen=True)
class Model:
    """Size and number format of a network, and what a node's training is where the run says nothing else."""

    pixels: int
    hidden: int
    kind: str
    epochs: int
    batch: int
    learning_rate: float

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return (self.pixels + 1) * self.hidden + (self.hidden + 1) * CLASSES

    def start(self, seed: int = 0) -> list[Array]:
        """Random start values, as Glorot and Bengio propose: uniform within sqrt(6 / (inputs + outputs))."""
        rng = np.random.default_rng(seed)

        def layer(inputs: int, outputs: int) -> Array:
            bound = float(np.sqrt(6.0 / (inputs + outputs)))
            return rng.uniform(-bound, bound, (inputs, outputs))

        weights = [layer(self.pixels, self.hidden), layer(self.hidden, CLASSES)]
        biases = [np.zeros(self.hidden), np.zeros(CLASSES)]
        return [array.astype(self.kind) for array in (*weights, *biases)]


#: The small one is for the bundled digits; the large one for colour images of 32 x 32 pixels, in half the bytes each.
MODELS = {"digits": Model(64, 48, "float64", 3, 16, 0.003), "cifar10": Model(3072, 512, "float32", 1, 32, 0.001)}


def chosen(config: Mapping[str, Any]) -> Model:
    """The model of a run configuration with what that says of its training; ValueError for one that is none."""
    name, hidden = str(config["model"]), int(config["hidden-units"])
    if name not in MODELS:
        raise ValueError(f"model = {name!r}: expected one of {', '.join(MODELS)}")
    if hidden < 0:
        raise ValueError(f"hidden-units = {hidden}: expected a whole number from 1, or 0 for the model's own")
    usual = MODELS[name]
    return replace(
        usual,
        hidden=hidden or usual.hidden,
        epochs=int(config["local-epochs"]) or usual.epochs,
        batch=int(config["batch-size"]) or usual.batch,
        learning_rate=float(config["learning-rate"]) or usual.learning_rate,
    )


def probabilities(parameters: list[Array], images: Array) -> Array:
    """What the network thinks of images (n, pixels): an (n, 10) array whose rows sum to one."""
    hidden_weights, output_weights, hidden_biases, output_biases = parameters
    hidden = np.maximum(images @ hidden_weights + hidden_biases, 0.0)
    scores = hidden @ output_weights + output_biases
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def evaluate(parameters: list[Array], images: Array, labels: Array) -> tuple[float, float]:
    """Mean cross-entropy and share of right answers."""
    predicted = probabilities(parameters, images)
    of_truth = predicted[np.arange(len(labels)), labels]
    loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    return loss, float((predicted.argmax(axis=1) == labels).mean())
