# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Start values by name, shape and initialiser: in NumPy, because a SuperLink has no framework."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Piece(NamedTuple):
    """One array of a model. `start`: zeros, ones, or the bound of a uniform distribution around 0."""

    name: str
    shape: tuple[int, ...]
    start: float | str


def new(pieces: Sequence[Piece], seed: int = 0) -> list[Array]:
    """All arrays, float32."""
    dice = np.random.RandomState(seed)
    return [_one(piece, dice) for piece in pieces]


def _one(piece: Piece, dice: np.random.RandomState) -> Array:
    if piece.start == "zeros":
        return np.zeros(piece.shape, np.float32)
    if piece.start == "ones":
        return np.ones(piece.shape, np.float32)
    bound = float(piece.start)
    return dice.uniform(-bound, bound, piece.shape).astype(np.float32)


def by_inputs(name: str, weights: tuple[int, ...]) -> list[Piece]:
    """Weights (outputs, inputs, …) and biases of a layer as PyTorch starts them: uniform within 1 / sqrt(fan-in)."""
    bound = 1 / math.sqrt(math.prod(weights[1:]))
    return [Piece(f"{name}.weight", weights, bound), Piece(f"{name}.bias", weights[:1], bound)]


def glorot(name: str, shape: tuple[int, ...]) -> Piece:
    """A kernel (…, inputs, outputs) as Keras starts it: Glorot and Bengio (2010), uniform."""
    field = math.prod(shape[:-2])
    return Piece(name, shape, math.sqrt(6 / (field * (shape[-2] + shape[-1]))))
