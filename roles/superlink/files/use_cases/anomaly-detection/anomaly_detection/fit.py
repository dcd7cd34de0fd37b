# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node's training: LogisticRegression of scikit-learn, which goes on from the model that came."""

from __future__ import annotations

import warnings

import numpy as np
from flower_ops.training.client import proximal
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

from anomaly_detection.model import Array

#: FedProx's term acts after the iterations, as if they were one step of this length, which is what L-BFGS tries first.
STEP = 1.0


class Scale:
    """To features of mean 0 and deviation 1 on this node, and back.

    One step of L-BFGS gets far there, however the columns are measured. The model that travels is one for features as
    they are, so that nodes need not tell what theirs are like.
    """

    def __init__(self, samples: Array) -> None:
        deviation = samples.std(axis=0)
        self._mean = samples.mean(axis=0)
        # A column that is always the same stays as it is.
        self._deviation = np.where(deviation > 0, deviation, 1.0)

    def samples(self, samples: Array) -> Array:
        """Features here."""
        return np.asarray((samples - self._mean) / self._deviation)

    def inwards(self, arrays: list[Array]) -> list[Array]:
        """A model that says of features here what `arrays` say of them as they are."""
        return [arrays[0] * self._deviation, arrays[1] + arrays[0] @ self._mean]

    def outwards(self, arrays: list[Array]) -> list[Array]:
        """The other way round."""
        weights = arrays[0] / self._deviation
        return [weights, arrays[1] - weights @ self._mean]


def fit(arrays: list[Array], samples: Array, labels: Array, classes: int, iterations: int, mu: float) -> list[Array]:
    """The model after some iterations of L-BFGS on samples (n, features) with labels below `classes`."""
    scale = Scale(samples)
    # scikit-learn takes the labels that it sees for all there are: one sample of no weight stands for each missing one.
    missing = np.setdiff1d(np.arange(classes), labels)
    weights = np.concatenate([np.ones(len(labels)), np.zeros(len(missing))])
    samples = np.concatenate([scale.samples(samples), np.zeros((len(missing), samples.shape[1]))])
    labels = np.concatenate([labels, missing])
    model = LogisticRegression(solver="lbfgs", max_iter=iterations, warm_start=True)
    model.coef_, model.intercept_ = scale.inwards(arrays)
    model.classes_ = np.arange(classes)
    with warnings.catch_warnings():
        # It is meant to stop early.
        warnings.simplefilter("ignore", ConvergenceWarning)
        model.fit(samples, labels, sample_weight=weights)
    trained = scale.outwards(
        [np.asarray(model.coef_, np.float64), np.asarray(model.intercept_, np.float64).reshape(-1)]
    )
    if mu:
        proximal.pull(trained, arrays, mu, STEP)
    return trained
