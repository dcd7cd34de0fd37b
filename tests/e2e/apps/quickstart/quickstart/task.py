# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Model and data: y = 3 x + 1 with some noise, other points on every node."""

from __future__ import annotations

import numpy as np


def points(partition: int) -> tuple[np.ndarray, np.ndarray]:
    """x and y of a node, 64 each."""
    random = np.random.default_rng(partition)
    x = random.uniform(-1.0, 1.0, 64)
    return x, 3.0 * x + 1.0 + random.normal(0.0, 0.05, 64)


def error(weights: np.ndarray, x: np.ndarray, y: np.ndarray) -> float:
    """Mean squared error of the line weights[0] x + weights[1]."""
    return float(np.mean((weights[0] * x + weights[1] - y) ** 2))


def fit(weights: np.ndarray, x: np.ndarray, y: np.ndarray, rate: float, steps: int = 50) -> np.ndarray:
    """The line after so many steps of gradient descent."""
    for _step in range(steps):
        off = weights[0] * x + weights[1] - y
        weights = weights - rate * 2.0 * np.array([np.mean(off * x), np.mean(off)])
    return weights
