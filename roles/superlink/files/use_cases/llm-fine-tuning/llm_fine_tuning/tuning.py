# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training and testing of the adapters by PyTorch."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from flower_ops.training.client import proximal
from numpy.typing import NDArray

from llm_fine_tuning.adapters import Array
from llm_fine_tuning.texts import SILENT

Sample = tuple[list[int], list[int]]


@dataclass(frozen=True)
class Work:
    """AdamW; mu: weight of FedProx's term, 0 for none. steps: at most so many, 0: as many as the epochs have."""

    seed: int
    rate: float
    batch: int
    epochs: int
    steps: int
    mu: float

    def batches(self, total: int) -> Iterator[NDArray[np.int64]]:
        """Positions of samples: every epoch in an order of its own, the same for the same seed."""
        dice, made = np.random.RandomState(self.seed), 0
        for _epoch in range(self.epochs):
            order = dice.permutation(total)
            for start in range(0, total, self.batch):
                if self.steps and made == self.steps:
                    return
                made += 1
                yield order[start : start + self.batch]


def adapters(model: Any, names: Sequence[str]) -> list[torch.nn.Parameter]:
    """The weights that learn, in the order of their names; ValueError when they are not those that the server means."""
    found = {
        name.replace(".default.", "."): weight for name, weight in model.named_parameters() if weight.requires_grad
    }
    if set(found) != set(names):
        odd = sorted(set(found) ^ set(names))
        raise ValueError(f"the adapters of this node's model are not those of the run: {', '.join(odd[:4])}")
    return [found[name] for name in names]


def put(weights: Sequence[torch.nn.Parameter], arrays: Sequence[Array]) -> None:
    """Set the adapters."""
    with torch.no_grad():
        for weight, array in zip(weights, arrays, strict=True):
            weight.copy_(torch.from_numpy(np.array(array)))


def fit(model: Any, weights: Sequence[torch.nn.Parameter], samples: Sequence[Sample], work: Work) -> float:
    """Train in place; the mean loss on the way, without FedProx's term."""
    torch.manual_seed(work.seed)
    anchors = [weight.detach().clone() for weight in weights]
    optimiser = torch.optim.AdamW(weights, lr=work.rate)
    total, seen = 0.0, 0
    model.train()
    for batch in work.batches(len(samples)):
        optimiser.zero_grad()
        loss = model(**_padded([samples[at] for at in batch], model.device)).loss
        (loss + proximal.penalty(weights, anchors, work.mu) if work.mu else loss).backward()
        optimiser.step()
        total, seen = total + float(loss.detach()) * len(batch), seen + len(batch)
    return total / seen


def test(model: Any, samples: Sequence[Sample], batch: int) -> float:
    """Mean loss of a token of the answers."""
    total, seen = 0.0, 0
    model.eval()
    with torch.no_grad():
        for start in range(0, len(samples), batch):
            some = list(samples[start : start + batch])
            # The first label has nothing before it that it could be told from.
            count = sum(label != SILENT for _tokens, labels in some for label in labels[1:])
            total += float(model(**_padded(some, model.device)).loss) * count
            seen += count
    return total / seen


def _padded(samples: Sequence[Sample], device: torch.device) -> dict[str, torch.Tensor]:
    """A batch as the model takes it; what fills up is neither seen nor learned."""
    longest = max(len(tokens) for tokens, labels in samples)
    rows = [(tokens, labels, longest - len(tokens)) for tokens, labels in samples]
    batch = {
        "input_ids": [[*tokens, *[0] * more] for tokens, labels, more in rows],
        "attention_mask": [[*[1] * len(tokens), *[0] * more] for tokens, labels, more in rows],
        "labels": [[*labels, *[SILENT] * more] for tokens, labels, more in rows],
    }
    return {name: torch.tensor(values, device=device) for name, values in batch.items()}
