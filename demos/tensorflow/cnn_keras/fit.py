# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training on one node, with TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from flower_ops.training.client.proximal import penalty

from cnn_keras.model import Array, scaled


def network() -> Any:
    """Two convolutions, two dense layers: 2 156 490 parameters."""
    layers = tf.keras.layers
    return tf.keras.Sequential(
        [
            tf.keras.Input((32, 32, 3)),
            layers.Conv2D(32, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Conv2D(64, 5, padding="same", activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(512, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def fit(
    received: list[Array],
    images: Array,
    labels: Array,
    *,
    epochs: int,
    batch: int,
    learning_rate: float,
    momentum: float,
    proximal_mu: float = 0.0,
    seed: int = 0,
) -> tuple[list[Array], float]:
    """(arrays, mean loss of the last pass) after passes over bytes (n, 32, 32, 3), whose order the seed gives."""
    net = network()
    net.set_weights(received)
    anchors = [tf.constant(one) for one in received]
    optimiser = tf.keras.optimizers.SGD(learning_rate, momentum)
    optimiser.build(net.trainable_variables)
    wrongness = tf.keras.losses.SparseCategoricalCrossentropy()

    def step(inputs: Any, targets: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = wrongness(targets, net(inputs, training=True))
            whole = loss
            if proximal_mu:
                whole += penalty(net.trainable_variables, anchors, proximal_mu, tf.reduce_sum)
        slopes = tape.gradient(whole, net.trainable_variables)
        optimiser.apply_gradients(zip(slopes, net.trainable_variables, strict=True))
        return loss

    # One trace for whole batches and one for the last, smaller one.
    compiled = tf.function(step, reduce_retracing=True)
    inputs, targets = scaled(images), np.asarray(labels, np.int64)
    rng = np.random.default_rng(seed)
    loss = 0.0
    for _turn in range(epochs):
        order, loss = rng.permutation(len(labels)), 0.0
        for first in range(0, len(order), batch):
            mine = order[first : first + batch]
            loss += float(compiled(tf.constant(inputs[mine]), tf.constant(targets[mine]))) * len(mine) / len(labels)
    return [np.asarray(one) for one in net.get_weights()], loss
