# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Fine-tuning on one node."""

from __future__ import annotations

import numpy as np
import torch
from flower_ops.training.client.proximal import penalty

from llm_app.base import Language
from llm_app.model import Array
from llm_app.text import batch


def load(model: Language, arrays: list[Array]) -> None:
    """Put the received adapters in; ValueError when they are those of another model."""
    places = model.adapters()
    shapes = [tuple(one.shape) for one in places]
    if shapes != [array.shape for array in arrays]:
        raise ValueError("the adapters that came are for another model than this node's; give all nodes the same one")
    for place, array in zip(places, arrays, strict=True):
        place.data.copy_(torch.from_numpy(np.array(array)))


def fit(
    model: Language,
    received: list[Array],
    rows: list[dict[str, str]],
    *,
    steps: int,
    size: int,
    learning_rate: float,
    longest: int,
    proximal_mu: float = 0.0,
    seed: int = 0,
) -> tuple[list[Array], float]:
    """(adapters, mean loss) after some steps with `size` texts each; texts and dropout are drawn from the seed."""
    load(model, received)
    anchors = [one.detach().clone() for one in model.adapters()]
    optimiser = torch.optim.AdamW(model.adapters(), lr=learning_rate)
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    model.net.train()
    losses = []
    for _step in range(steps):
        chosen = [rows[at] for at in rng.choice(len(rows), min(size, len(rows)), replace=False)]
        rows_of = batch(chosen, model.encode, model.end, model.padding, longest)
        tokens, targets, filled = (torch.tensor(one) for one in rows_of)
        wrong = model.net(input_ids=tokens, attention_mask=filled, labels=targets).loss
        losses.append(float(wrong.detach()))
        if proximal_mu:
            wrong = wrong + penalty(model.adapters(), anchors, proximal_mu)
        optimiser.zero_grad()
        wrong.backward()
        optimiser.step()
    return [one.detach().numpy().copy() for one in model.adapters()], float(np.mean(losses))
