# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network for TensorFlow: MobileNetV2 (Sandler et al. 2018) as tf.keras.applications builds it, width 1."""

from __future__ import annotations

from collections.abc import Iterator

from image_classification.arrays import Piece, glorot

COLOURS = 3
#: Expansion, outputs, repetitions: table 2 of the paper. Strides have no arrays.
BLOCKS = ((1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1))
LAST = 1280


def pieces(classes: int) -> list[Piece]:
    """In the order of the model's get_weights(), the moving statistics of its batch normalisation included."""
    found = [glorot("Conv1/kernel", (3, 3, COLOURS, 32)), *_normalised("bn_Conv1", 32)]
    inputs, number = 32, 0
    for expansion, outputs, repetitions in BLOCKS:
        for _time in range(repetitions):
            found += _block(number, inputs, expansion, outputs)
            inputs, number = outputs, number + 1
    found += [glorot("Conv_1/kernel", (1, 1, inputs, LAST)), *_normalised("Conv_1_bn", LAST)]
    return [*found, glorot("predictions/kernel", (LAST, classes)), Piece("predictions/bias", (classes,), "zeros")]


def _block(number: int, inputs: int, expansion: int, outputs: int) -> Iterator[Piece]:
    prefix = f"block_{number}_" if number else "expanded_conv_"
    middle = expansion * inputs
    if number:
        yield glorot(f"{prefix}expand/kernel", (1, 1, inputs, middle))
        yield from _normalised(f"{prefix}expand_BN", middle)
    yield glorot(f"{prefix}depthwise/kernel", (3, 3, middle, 1))
    yield from _normalised(f"{prefix}depthwise_BN", middle)
    yield glorot(f"{prefix}project/kernel", (1, 1, middle, outputs))
    yield from _normalised(f"{prefix}project_BN", outputs)


def _normalised(name: str, values: int) -> list[Piece]:
    starts = {"gamma": "ones", "beta": "zeros", "moving_mean": "zeros", "moving_variance": "ones"}
    return [Piece(f"{name}/{part}", (values,), start) for part, start in starts.items()]
