# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which samples are a node's: by its number among the partitions, and by what is held back for testing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from flower_ops.training.data.errors import DataError, several
from flower_ops.training.data.partition import Indices, by_file, by_label, dirichlet, iid
from numpy.typing import NDArray

SCHEMES = ("iid", "dirichlet", "by-label", "by-file")
SPLITS = ("train", "test", "all")
#: Held back of data that has no test set of its own; the same samples on every node.
TEST_SHARE, TEST_SEED = 0.2, 20_201


@dataclass(frozen=True)
class Share:
    """Partition `number` of `parts`. Raises DataError with everything that is wrong."""

    number: int = 0
    parts: int = 1
    scheme: str = "iid"
    alpha: float = 0.5
    seed: int = 0

    def __post_init__(self) -> None:
        wrong = []
        if self.parts < 1:
            wrong.append(f"the number of partitions is {self.parts}, not a whole number from 1")
        elif not 0 <= self.number < self.parts:
            wrong.append(f"partition {self.number} is none of the {self.parts}, which count from 0")
        if self.scheme not in SCHEMES:
            wrong.append(f"{self.scheme!r} is none of the ways to cut: {', '.join(SCHEMES)}")
        if not self.alpha > 0:
            wrong.append(f"alpha is {self.alpha}, not greater than 0")
        if not 0 <= self.seed < 1 << 32:
            wrong.append(f"the seed is {self.seed}, not a whole number from 0 to {(1 << 32) - 1}")
        if wrong:
            raise DataError(f"The data cannot be partitioned: {several(wrong)}.")

    def of(self, total: int, labels: NDArray[Any], files: Sequence[str]) -> Indices:
        """Its samples among `total`, whose labels and files are given as far as they have any."""
        if self.parts == 1:
            return np.arange(total, dtype=np.int64)
        if self.scheme in ("dirichlet", "by-label") and len(labels) != total:
            raise DataError(f"The data cannot be cut {self.scheme}, because its samples have no labels; take iid.")
        if self.scheme == "by-file" and len(files) != total:
            raise DataError("The data cannot be cut by-file, because it does not come in files; take iid.")
        if self.scheme == "dirichlet":
            cut = dirichlet(labels, self.parts, self.alpha, self.seed)
        elif self.scheme == "by-label":
            cut = by_label(labels, self.parts, self.seed)
        elif self.scheme == "by-file":
            cut = by_file(files, self.parts, self.seed)
        else:
            cut = iid(total, self.parts, self.seed)
        return cut[self.number]


def check_split(split: str) -> None:
    """Raise DataError unless it is one of SPLITS."""
    if split not in SPLITS:
        raise DataError(f"{split!r} is no part of a data set; choose {', '.join(SPLITS)}.")


def held_back(total: int, split: str) -> Indices:
    """The samples for training, or those for testing, of data without a test set; every fifth is for testing.

    Raises DataError when one of the two would have none.
    """
    if split == "all":
        return np.arange(total, dtype=np.int64)
    if total < 2:
        raise DataError(f"A data set of {total} samples has none to spare for testing; give at least two.")
    count = max(1, round(total * TEST_SHARE))
    order = np.random.RandomState(TEST_SEED).permutation(total)
    return np.sort(order[:count] if split == "test" else order[count:]).astype(np.int64)
