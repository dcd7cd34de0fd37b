# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network in NumPy: its start values, and what it thinks of images. The SuperLink has no PyTorch and needs none.

Arrays have PyTorch's names, order and shapes, all float32; client_app.py loads them into the same network of PyTorch.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

Array = NDArray[Any]

CLASSES = 10
SHAPES: dict[str, tuple[int, ...]] = {
    "conv1.weight": (32, 3, 5, 5),
    "conv1.bias": (32,),
    "conv2.weight": (64, 32, 5, 5),
    "conv2.bias": (64,),
    "fc1.weight": (512, 2304),
    "fc1.bias": (512,),
    "fc2.weight": (10, 512),
    "fc2.bias": (10,),
}
PARAMETERS = 1_238_986
# Images at a time: the windows of the second convolution are 540 kB each.
AT_ONCE = 128


def start(seed: int = 0) -> list[Array]:
    """Random start values as PyTorch draws them: uniform within 1 / sqrt(inputs of a unit), weights and biases."""
    rng = np.random.default_rng(seed)
    values: list[Array] = []
    for name, shape in SHAPES.items():
        inputs = np.prod(SHAPES[name.replace("bias", "weight")][1:])
        bound = 1.0 / np.sqrt(inputs)
        values.append(rng.uniform(-bound, bound, shape).astype(np.float32))
    return values


def scaled(images: Array) -> Array:
    """Bytes (n, 32, 32, 3) as float32 (n, 3, 32, 32) from -1 to 1."""
    planes = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype=np.float32)
    return np.asarray(planes / np.float32(127.5) - np.float32(1))


def scores(arrays: list[Array], images: Array) -> Array:
    """(n, 10) for scaled images."""
    conv1, bias1, conv2, bias2, dense1, bias3, dense2, bias4 = arrays
    hidden = pooled(np.maximum(convolved(images, conv1, bias1), 0))
    hidden = pooled(np.maximum(convolved(hidden, conv2, bias2), 0))
    hidden = np.maximum(hidden.reshape(len(images), -1) @ dense1.T + bias3, 0)
    return np.asarray(hidden @ dense2.T + bias4)


def convolved(images: Array, kernel: Array, bias: Array) -> Array:
    """(n, c, h, w) with a border of one pixel, by a kernel (o, c, 5, 5)."""
    bordered = np.pad(images, ((0, 0), (0, 0), (1, 1), (1, 1)))
    windows = sliding_window_view(bordered, kernel.shape[2:], axis=(2, 3))
    found = np.tensordot(windows, kernel, axes=((1, 4, 5), (1, 2, 3))) + bias
    return np.asarray(found.transpose(0, 3, 1, 2))


def pooled(images: Array) -> Array:
    """The greatest of each two by two pixels; an odd last row or column is left out."""
    count, channels, height, width = images.shape
    even = images[:, :, : height // 2 * 2, : width // 2 * 2]
    return np.asarray(even.reshape(count, channels, height // 2, 2, width // 2, 2).max(axis=(3, 5)))


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
