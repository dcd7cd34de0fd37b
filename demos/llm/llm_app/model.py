# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What travels: the adapters, as NumPy knows them. The models themselves stay on the nodes and never change.

LoRA (Hu et al. 2021) adds to each query and value projection W (out, in) of an attention layer a product B A, with
A (16, in) and B (out, 16). A starts at random and B at zero, so the untrained adapters change nothing. Only A and B are
trained. The SuperLink has neither PyTorch nor the model, and needs neither.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

RANK, ALPHA, DROPOUT = 16, 32, 0.05
PROJECTIONS = ("q_proj", "v_proj")
QWEN, SMALL = "Qwen/Qwen2-0.5B-Instruct", "small"


@dataclass(frozen=True)
class Base:
    """A transformer of the Qwen2 kind: width, layers, heads, heads of keys and values; and how fast it learns."""

    width: int
    layers: int
    heads: int
    value_heads: int
    learning_rate: float

    @property
    def shapes(self) -> dict[str, tuple[int, int]]:
        """Adapters in the order in which they travel."""
        values = self.width // self.heads * self.value_heads
        found: dict[str, tuple[int, int]] = {}
        for layer in range(self.layers):
            for name, outputs in zip(PROJECTIONS, (self.width, values), strict=True):
                found[f"layers.{layer}.{name}.A"] = (RANK, self.width)
                found[f"layers.{layer}.{name}.B"] = (outputs, RANK)
        return found

    @property
    def parameters(self) -> int:
        """How many numbers are trained."""
        return sum(rows * columns for rows, columns in self.shapes.values())

    def start(self, seed: int = 0) -> list[Array]:
        """A uniform within 1 / sqrt(in), as PEFT draws it, and B zero."""
        rng = np.random.default_rng(seed)
        values: list[Array] = []
        for name, shape in self.shapes.items():
            bound = 1.0 / np.sqrt(shape[1])
            drawn = rng.uniform(-bound, bound, shape) if name.endswith("A") else np.zeros(shape)
            values.append(drawn.astype(np.float32))
        return values


#: The published model, and one of the same kind with random weights that needs no network and knows no language.
BASES = {QWEN: Base(896, 24, 14, 2, 5e-5), SMALL: Base(64, 2, 4, 2, 1e-2)}


def base_of(asked: str, source: str) -> str:
    """Name of the base: what was asked for; with `auto`, the published one where the published data was found.

    ValueError for a name that is none.
    """
    if asked == "auto":
        return QWEN if source == "hub" else SMALL
    if asked not in BASES:
        raise ValueError(f"model = {asked!r}: expected one of auto, {', '.join(BASES)}")
    return asked


def rate_of(highest: float, number: int, rounds: int, lowest: float = 1e-6) -> float:
    """The learning rate of a round, from 1 to `rounds`: from the highest down to near the lowest along a cosine."""
    turn = np.pi * (max(number, 1) - 1) / max(rounds, 1)
    return float(lowest + (highest - lowest) * (1 + np.cos(turn)) / 2)
