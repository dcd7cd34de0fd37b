# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""LoRA adapters (Hu et al. 2021) of a Llama-type model in NumPy: names and shapes as PEFT has them, and start values.

A SuperLink has neither PyTorch nor the model: four numbers of the model's configuration, which nodes tell, say it all.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


class Form(NamedTuple):
    """layers; hidden: length of the state between them; queries, values: lengths of what q_proj and v_proj give."""

    layers: int
    hidden: int
    queries: int
    values: int


#: The model that is trained where the one that was asked for cannot be had.
STAND_IN = Form(layers=2, hidden=64, queries=64, values=32)


def shapes(form: Form, rank: int) -> dict[str, tuple[int, int]]:
    """Arrays by name in the order in which they travel: of each layer and projection A (rank, in) and B (out, rank)."""
    found = {}
    for layer in range(form.layers):
        for projection, outputs in (("q_proj", form.queries), ("v_proj", form.values)):
            start = f"base_model.model.model.layers.{layer}.self_attn.{projection}"
            found[f"{start}.lora_A.weight"] = (rank, form.hidden)
            found[f"{start}.lora_B.weight"] = (outputs, rank)
    return found


def new(form: Form, rank: int, seed: int = 0) -> list[Array]:
    """float32: A uniform within 1 / sqrt(inputs), B zero, so that the adapted model begins as the model itself."""
    dice = np.random.RandomState(seed)
    return [
        np.zeros(shape, np.float32)
        if name.endswith("lora_B.weight")
        else dice.uniform(-1 / math.sqrt(shape[1]), 1 / math.sqrt(shape[1]), shape).astype(np.float32)
        for name, shape in shapes(form, rank).items()
    ]
