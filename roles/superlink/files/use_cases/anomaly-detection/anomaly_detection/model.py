# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Logistic regression as two arrays in scikit-learn's form: coef_ (rows, features) and intercept_ (rows,), float64.

Two classes have one row, more have one each. NumPy only: the SuperLink has no scikit-learn.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

NAMES = ["coef_", "intercept_"]
#: Chances below this count as this, so that one sure mistake does not make the loss infinite.
LEAST_CHANCE = 1e-12

Array = NDArray[Any]


def new(features: int, classes: int) -> list[Array]:
    """The start: no feature says anything."""
    rows = 1 if classes == 2 else classes
    return [np.zeros((rows, features)), np.zeros(rows)]


def chances(arrays: list[Array], samples: Array) -> Array:
    """Probabilities (n, classes) of samples (n, features)."""
    scores = samples @ arrays[0].T + arrays[1]
    if scores.shape[1] == 1:
        # The row is that of the second class, and the first has the score 0.
        scores = np.hstack([np.zeros_like(scores), scores])
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def test(arrays: list[Array], samples: Array, labels: Array) -> tuple[float, float]:
    """Mean cross-entropy and share of right answers."""
    found = chances(arrays, samples)
    of_truth = found[np.arange(len(labels)), labels]
    loss = float(-np.log(np.maximum(of_truth, LEAST_CHANCE)).mean())
    return loss, float((found.argmax(axis=1) == labels).mean())
