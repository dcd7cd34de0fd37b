# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and testing by TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np
import tensorflow as tf
from flower_ops.training.client import proximal

from image_classification.work import Array, Arrays, Work, scaled

#: Keras has 0.999: after the few steps of a round the statistics that tests use would still be those of the start.
STATISTICS_MOMENTUM = 0.9
TEST_BATCH = 256


def model_of(arrays: Arrays) -> Any:
    """MobileNetV2 with these arrays, its answers as probabilities."""
    model = tf.keras.applications.MobileNetV2(input_shape=(32, 32, 3), weights=None, classes=len(arrays[-1]))
    for layer in model.layers:
        if isinstance(layer, tf.keras.layers.BatchNormalization):
            layer.momentum = STATISTICS_MOMENTUM
    # What a server makes of variances by more than a mean can be below 0, of which there is no root.
    variances = [weight.path.endswith("moving_variance") for weight in model.weights]
    model.set_weights([np.maximum(one, 0) if is_one else one for one, is_one in zip(arrays, variances, strict=True)])
    return model


def fit(arrays: Arrays, images: Array, labels: Array, work: Work) -> tuple[Arrays, float]:
    """The model after some epochs, and its mean loss on the way, without FedProx's term."""
    tf.keras.utils.set_random_seed(work.seed)
    model = model_of(arrays)
    weights = model.trainable_variables
    anchors = [tf.constant(weight.numpy()) for weight in weights]
    optimiser = tf.keras.optimizers.SGD(learning_rate=work.rate, momentum=work.momentum)
    optimiser.build(weights)
    loss_of = tf.keras.losses.SparseCategoricalCrossentropy()

    @tf.function(reduce_retracing=True)
    def step(inputs: Any, wanted: Any) -> Any:
        with tf.GradientTape() as tape:
            loss = loss_of(wanted, model(inputs, training=True))
            aim = loss
            if work.mu:
                aim += proximal.penalty([weight.value for weight in weights], anchors, work.mu, tf.reduce_sum)
        optimiser.apply(tape.gradient(aim, weights), weights)
        return loss

    inputs = scaled(images)
    total, seen = 0.0, 0
    for batch in work.batches(len(labels)):
        loss = step(tf.constant(inputs[batch]), tf.constant(labels[batch]))
        total, seen = total + float(loss) * len(batch), seen + len(batch)
    return [np.asarray(value) for value in model.get_weights()], total / seen


def test(arrays: Arrays, images: Array, labels: Array) -> tuple[float, float]:
    """Mean loss and share of right answers."""
    model, inputs = model_of(arrays), scaled(images)
    found = [
        model(tf.constant(inputs[start : start + TEST_BATCH]), training=False).numpy()
        for start in range(0, len(labels), TEST_BATCH)
    ]
    chances = np.concatenate(found)
    of_truth = chances[np.arange(len(labels)), labels]
    return float(-np.log(np.maximum(of_truth, 1e-12)).mean()), float((chances.argmax(axis=1) == labels).mean())
