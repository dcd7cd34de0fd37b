# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on one node, by scikit-learn's MLPClassifier (Adam)."""

from __future__ import annotations

import numpy as np
from flower_ops.training.client.proximal import pull
from sklearn.neural_network import MLPClassifier

from digits_app.model import CLASSES, Array, Model


def fit(
    model: Model,
    received: list[Array],
    images: Array,
    labels: Array,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    proximal_mu: float = 0.0,
    seed: int = 0,
) -> list[Array]:
    """The received parameters after some passes over the images. `proximal_mu`: weight of FedProx's term."""
    network = MLPClassifier(
        hidden_layer_sizes=(model.hidden,),
        batch_size=1,
        learning_rate_init=learning_rate,
        random_state=seed,
    )
    # scikit-learn allocates its parameters on the first fit: one throw-away step, then the received ones go in.
    network.partial_fit(images[:1], labels[:1], classes=np.arange(CLASSES))
    network.coefs_, network.intercepts_ = [one.copy() for one in received[:2]], [one.copy() for one in received[2:]]
    network.set_params(batch_size=min(batch, len(labels)))
    rng = np.random.default_rng(seed)
    for _turn in range(epochs):
        if not proximal_mu:
            network.partial_fit(images, labels)
            continue
        # The optimiser lets nobody near its loss, so the term has a step of its own after each of its steps.
        order = rng.permutation(len(labels))
        for first in range(0, len(order), batch):
            mine = order[first : first + batch]
            network.set_params(batch_size=len(mine)).partial_fit(images[mine], labels[mine])
            pull([*network.coefs_, *network.intercepts_], received, proximal_mu, learning_rate)
    return [*network.coefs_, *network.intercepts_]
