# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network that nodes train and the SuperLink evaluates: 64 pixels, one hidden layer, 10 digits.

Its parameters travel as four arrays in this order: hidden weights (64, h), output weights (h, 10), hidden biases (h,),
output biases (10,), all float64. Only NumPy is needed here, so that the ServerApp starts quickly.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

PIXELS = 64
DIGITS = 10
DARKEST = 16.0

Array = NDArray[np.float64]


def new_parameters(hidden_units: int, seed: int = 0) -> list[Array]:
    """Random start values, as Glorot and Bengio propose: uniform within sqrt(6 / (inputs + outputs))."""
    rng = np.random.default_rng(seed)

    def layer(inputs: int, outputs: int) -> Array:
        bound = float(np.sqrt(6.0 / (inputs + outputs)))
        return rng.uniform(-bound, bound, (inputs, outputs))

    return [layer(PIXELS, hidden_units), layer(hidden_units, DIGITS), np.zeros(hidden_units), np.zeros(DIGITS)]


def probabilities(parameters: list[Array], images: Array) -> Array:
    """What the network thinks of images (n, 64): an (n, 10) array whose rows sum to one."""
    hidden_weights, output_weights, hidden_biases, output_biases = parameters
    hidden = np.maximum(images @ hidden_weights + hidden_biases, 0.0)
    scores = hidden @ output_weights + output_biases
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def evaluate(parameters: list[Array], images: Array, labels: NDArray[Any]) -> tuple[float, float]:
    """Mean cross-entropy and share of right answers."""
    predicted = probabilities(parameters, images)
    of_truth = predicted[np.arange(len(labels)), labels]
    loss = float(-np.log(np.maximum(of_truth, 1e-12)).mean())
    return loss, float((predicted.argmax(axis=1) == labels).mean())


def load_images(path: str) -> tuple[Array, NDArray[np.int64]]:
    """Images scaled to 0..1, shape (n, 64), and their labels (n,), from a file that make_shards.py wrote."""
    if not Path(path).is_file():
        raise FileNotFoundError(f"no digits at {path}: make them with make_shards.py and put the file there")
    with np.load(path, allow_pickle=False) as content:
        return content["images"].astype(np.float64) / DARKEST, content["labels"].astype(np.int64)
