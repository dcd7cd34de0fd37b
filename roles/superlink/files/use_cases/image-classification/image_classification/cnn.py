# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The network for PyTorch: two convolutions with pooling, two dense layers; 545,098 parameters with ten classes."""

from __future__ import annotations

from image_classification.arrays import Piece, by_inputs

#: Height and width of an image, and its colours.
SIZE, COLOURS = 32, 3
#: A quarter of the image in each direction after two poolings, 64 values for each place.
FLAT = 64 * (SIZE // 4) ** 2


def pieces(classes: int) -> list[Piece]:
    """In the order of the network's state_dict."""
    return [
        *by_inputs("conv1", (32, COLOURS, 3, 3)),
        *by_inputs("conv2", (64, 32, 3, 3)),
        *by_inputs("fc1", (128, FLAT)),
        *by_inputs("fc2", (classes, 128)),
    ]
