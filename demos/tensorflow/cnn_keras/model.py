# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network in NumPy: its start values, and what it thinks of images. The SuperLink has no TensorFlow and needs none.

Arrays have the order and shapes of Keras' weights, all float32; fit.py loads them into the same network of Keras.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]

CLASSES = 10
SHAPES: dict[str, tuple[int, ...]] = {
    "conv1.kernel": (5, 5, 3, 32),
    "conv1.bias": (32,),
    "conv2.kernel": (5, 5, 32, 64),
    "conv2.bias": (64,),
    "dense1.kernel": (4096, 512),
    "dense1.bias": (512,),
    "dense2.kernel": (512, 10),
    "dense2.bias": (10,),
}
PARAMETERS = 2_156_490
# Images at a time: the windows of the second convolution are 820 kB each.
AT_ONCE = 128


def start(seed: int = 0) -> list[Array]:
    """Random start values as Keras draws them: weights uniform within sqrt(6 / (inputs + outputs)), no biases."""
    rng = np.random.default_rng(seed)
    values: list[Array] = []
    for shape in SHAPES.values():
        if len(shape) == 1:
            values.append(np.zeros(shape, np.float32))
            continue
        field = int(np.prod(shape[:-2]))
        bound = float(np.sqrt(6.0 / (field * (shape[-2] + shape[-1]))))
        values.append(rng.uniform(-bound, bound, shape).astype(np.float32))
    return values


def scaled(images: Array) -> Array:
    """Bytes (n, 32, 32, 3) as float32 from 0 to 1."""
    return np.asarray(images.astype(np.float32) / np.float32(255))


def scores(arrays: list[Array], images: Array) -> Array:
    """(n, 10) for scaled images; the softmax of them are Keras' answers."""
    conv1, bias1, conv2, bias2, dense1, bias3, dense2, bias4 = arrays
    hidden = pooled(np.maximum(convolved(images, conv1, bias1), 0))
    hidden = pooled(np.maximum(convolved(hidden, conv2, bias2), 0))
    hidden = np.maximum(hidden.reshape(len(images), -1) @ dense1 + bias3, 0)
    return np.asarray(hidden @ dense2 + bias4)


def convolved(images: Array, kernel: Array, bias: Array) -> Array:
    """(n, h, w, c) with a border that keeps the size, by a kernel (5, 5, c, o)."""
    bordered = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    windows = sliding_window_view(bordered, kernel.shape[:2], axis=(1, 2))
    return np.asarray(np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2))) + bias)


def pooled(images: Array) -> Array:
    """The greatest of each two by two pixels."""
    count, height, width, channels = images.shape
    return np.asarray(images.reshape(count, height // 2, 2, width // 2, 2, channels).max(axis=(2, 4)))


def evaluate(arrays: list[Array], images: Array, labels: Array) -> dict[str, float]:
    """Mean cross-entropy and share of right answers, for bytes (n, 32, 32, 3)."""
    loss = right = 0.0
    for first in range(0, len(labels), AT_ONCE):
        told = labels[first : first + AT_ONCE]
        found = scores(arrays, scaled(images[first : first + AT_ONCE])).astype(np.float64)
        found -= found.max(axis=1, keepdims=True)
        logarithms = found - np.log(np.exp(found).sum(axis=1, keepdims=True))
        loss -= float(logarithms[np.arange(len(told)), told].sum())
        right += float((found.argmax(axis=1) == told).sum())
    return {"loss": loss / len(labels), "accuracy": right / len(labels)}
