# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The rules of the strategies once more, from the papers and in plain NumPy, all in float64.

Each takes the nodes' models (flat vectors, one a row), their numbers of examples and the global model.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Rule = Callable[[Vector, Vector, Vector, int], Vector]


def mean(models: Vector, examples: Vector, current: Vector, number: int) -> Vector:
    return examples @ models / examples.sum()


def median(models: Vector, examples: Vector, current: Vector, number: int) -> Vector:
    ordered = np.sort(models, axis=0)
    half = len(models) // 2
    return ordered[half] if len(models) % 2 else (ordered[half - 1] + ordered[half]) / 2


def trimmed(beta: float) -> Rule:
    def rule(models: Vector, examples: Vector, current: Vector, number: int) -> Vector:
        cut = int(beta * len(models))
        return np.sort(models, axis=0)[cut : len(models) - cut].mean(axis=0)

    return rule


def krum_order(models: Vector, bad: int) -> list[int]:
    scores = []
    for place, model in enumerate(models):
        away = sorted(float(((model - other) ** 2).sum()) for row, other in enumerate(models) if row != place)
        scores.append(sum(away[: len(models) - bad - 2]))
    return sorted(range(len(models)), key=lambda place: scores[place])


def krum(bad: int, count: Callable[[int], int]) -> Rule:
    def rule(models: Vector, examples: Vector, current: Vector, number: int) -> Vector:
        best = krum_order(models, bad)[: count(len(models))]
        return examples[best] @ models[best] / examples[best].sum()

    return rule


def bulyan(bad: int) -> Rule:
    def rule(models: Vector, examples: Vector, current: Vector, number: int) -> Vector:
        selected = models[krum_order(models, bad)[: len(models) - 2 * bad]]
        kept = len(selected) - 2 * bad
        middle = median(selected, examples, current, number)
        near = np.argsort(np.abs(selected - middle), axis=0, kind="stable")[:kept]
        return np.take_along_axis(selected, near, axis=0).mean(axis=0)

    return rule


class Adam:
    """Keeps the moments from round to round."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self.first: Any = 0.0
        self.second: Any = 0.0

    def __call__(self, models: Vector, examples: Vector, current: Vector, number: int) -> Vector:
        change = mean(models, examples, current, number) - current
        self.first = 0.9 * self.first + 0.1 * change
        self.second = 0.99 * self.second + 0.01 * change**2
        rate = self.rate * np.sqrt(1 - 0.99 ** (number + 1)) / (1 - 0.9 ** (number + 1))
        return current + rate * self.first / (np.sqrt(self.second) + 1e-3)
