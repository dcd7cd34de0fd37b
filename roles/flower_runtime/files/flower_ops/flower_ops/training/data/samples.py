# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Data as a node trains on it, and as its sources hand it over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import numpy as np
from flower_ops.training.data.partition import Indices
from numpy.typing import NDArray

Array = NDArray[Any]
Labels = NDArray[np.int64]
Row = dict[str, str]
S = TypeVar("S")


@dataclass(frozen=True, eq=False)
class Dataset(Generic[S]):
    """Samples of one node. `labels` (n,) count into `classes`; both are empty for data without labels.

    `source` is own, hub or bundled; an app that keeps it and asks for it by name gets the same data in every round,
    also when the hub comes or goes. `origin` names the data for a reader. `private`: only this node has them. `total`:
    how many samples the node has; more than are here when only few were read. `columns`: see Found.
    """

    samples: S
    labels: Labels
    classes: tuple[str, ...]
    source: str
    origin: str
    private: bool
    total: int
    columns: str = ""

    def __len__(self) -> int:
        return len(self.samples)  # type: ignore[arg-type]


@dataclass(frozen=True, eq=False)
class Found(Generic[S]):
    """What a source has: all labels, but samples only when they are read, because a node needs only its share.

    `files` has the file of each sample, or nothing. `private` data is this node's alone, so it is not partitioned.
    `split` tells that the source has held its test set back itself. `columns` stands for the names of a table's
    features in their order, without telling them: the same for the same names; empty where they have none.
    """

    origin: str
    total: int
    read: Callable[[Indices], S]
    labels: Labels = field(default_factory=lambda: np.zeros(0, np.int64))
    classes: tuple[str, ...] = ()
    files: tuple[str, ...] = ()
    private: bool = False
    split: bool = False
    columns: str = ""
