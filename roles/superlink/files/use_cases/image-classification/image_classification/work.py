# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node is to do with its images, for either framework."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
Arrays = list[Array]


@dataclass(frozen=True)
class Work:
    """SGD with momentum; mu: weight of FedProx's term, 0 for none."""

    seed: int
    rate: float
    momentum: float
    batch: int
    epochs: int
    mu: float

    def batches(self, total: int) -> Iterator[NDArray[np.int64]]:
        """Positions of samples: every epoch in an order of its own, the same for the same seed."""
        dice = np.random.RandomState(self.seed)
        for _epoch in range(self.epochs):
            order = dice.permutation(total)
            for start in range(0, total, self.batch):
                yield order[start : start + self.batch]


def scaled(images: Array) -> Array:
    """Bytes as float32 from -1 to 1."""
    return np.asarray(images.astype(np.float32) / np.float32(127.5) - np.float32(1))
