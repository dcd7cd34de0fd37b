# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FedProx's term (Li et al. 2020): a node minimises its loss plus (mu / 2) * |w - w_global|², w over all arrays.

Three ways to have it, for three kinds of training:

    penalty    a term of the loss, for frameworks that differentiate it themselves (PyTorch, TensorFlow)
    gradient   its gradient, where an app computes gradients by hand
    pull       a step of its own after each step of an optimiser that lets nobody near its loss (scikit-learn)

Flower's documentation sums norms that are not squared; that is another function, and none that the paper proves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from flower_ops.training.flower import Arrays


def penalty(
    weights: Iterable[Any], anchors: Iterable[Any], mu: float, total: Callable[[Any], Any] = lambda values: values.sum()
) -> Any:
    """(mu / 2) * |weights - anchors|², a scalar of the framework that the weights belong to.

    anchors: copies of the global model, made before training. total: the framework's sum of all elements of a tensor;
    for TensorFlow `tf.reduce_sum`.
    """
    return mu / 2 * sum(total((weight - anchor) ** 2) for weight, anchor in zip(weights, anchors, strict=True))


def gradient(weights: Arrays, anchors: Arrays, mu: float) -> Arrays:
    """mu * (weights - anchors), one array for each."""
    return [mu * (weight - anchor) for weight, anchor in zip(weights, anchors, strict=True)]


def pull(weights: Arrays, anchors: Arrays, mu: float, learning_rate: float) -> None:
    """Move weights in place to where the term, over one step of `learning_rate`, is balanced: its proximal operator.

    (w + r mu g) / (1 + r mu) minimises |v - w|² / 2r + (mu / 2) |v - g|² over v. Unlike a gradient step it cannot shoot
    past the anchor, however great mu is.
    """
    share = learning_rate * mu / (1 + learning_rate * mu)
    for weight, anchor in zip(weights, anchors, strict=True):
        weight += share * (anchor - weight)
