# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Cut a data set into parts for nodes: each sample in exactly one part, and no part without samples.

Every node cuts for itself and takes its own part, so all must come to the same cut: NumPy promises never to change what
RandomState draws from a seed, and promises nothing of the kind for its newer generators (NEP 19).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from flower_ops.training.data.errors import DataError
from numpy.typing import NDArray

Indices = NDArray[np.int64]

#: Draws of Dirichlet proportions before a small alpha is called impossible.
DRAWS = 200


def _check(total: int, parts: int) -> None:
    if parts < 1:
        raise DataError(f"The number of partitions is {parts}; give a whole number from 1.")
    if total < parts:
        raise DataError(
            f"{total} samples cannot be cut into {parts} partitions that all have some; take fewer partitions."
        )


def _sorted(parts: Sequence[Any]) -> list[Indices]:
    return [np.sort(np.asarray(part, dtype=np.int64)) for part in parts]


def iid(total: int, parts: int, seed: int = 0) -> list[Indices]:
    """Parts of equal size, but for one sample, at random. `total` is the number of samples."""
    _check(total, parts)
    return _sorted(np.array_split(np.random.RandomState(seed).permutation(total), parts))


def dirichlet(labels: NDArray[Any], parts: int, alpha: float = 0.5, seed: int = 0) -> list[Indices]:
    """Of each label, shares from a symmetric Dirichlet distribution: the smaller alpha, the more unlike the parts.

    The way of Hsu, Qi, Brown (2019), https://arxiv.org/abs/1909.06335, drawn anew while a part is empty.
    Raises DataError when that does not help.
    """
    _check(len(labels), parts)
    if not 0 < alpha < float("inf"):
        raise DataError(f"The alpha of the Dirichlet distribution is {alpha}; give a number greater than 0.")
    dice = np.random.RandomState(seed)
    of_label = [np.flatnonzero(labels == label) for label in np.unique(labels)]
    for _draw in range(DRAWS):
        found: list[list[Indices]] = [[] for _part in range(parts)]
        for members in of_label:
            shares = dice.dirichlet(np.full(parts, alpha))
            if not np.isfinite(shares).all():
                # With a tiny alpha all of it rounds to nothing; in the limit one part has everything.
                shares = np.eye(parts)[dice.randint(parts)]
            cuts = np.minimum(np.rint(np.cumsum(shares)[:-1] * len(members)), len(members)).astype(np.int64)
            for part, piece in zip(found, np.split(dice.permutation(members), cuts), strict=True):
                part.append(piece)
        result = _sorted([np.concatenate(part) for part in found])
        if all(len(part) for part in result):
            return result
    raise DataError(
        f"With alpha {alpha}, some of {parts} partitions of {len(labels)} samples had none in each of {DRAWS} draws;"
        " take a greater alpha or fewer partitions."
    )


def by_label(labels: NDArray[Any], parts: int, seed: int = 0) -> list[Indices]:
    """Each part has labels of its own; with more parts than labels, parts that share a label share its samples.

    Then labels with many samples have more parts than others.
    """
    _check(len(labels), parts)
    dice = np.random.RandomState(seed)
    names, sizes = np.unique(labels, return_counts=True)
    order = dice.permutation(len(names))
    owners = [[] if parts > len(names) else [number % parts] for number in range(len(names))]
    if parts > len(names):
        for part in range(parts):
            # The next part goes where samples per part are most: by that, none is left without one.
            waiting = [sizes[label] / len(own) if own else np.inf for label, own in zip(order, owners, strict=True)]
            owners[int(np.argmax(waiting))].append(part)
    found: list[list[Indices]] = [[] for _part in range(parts)]
    for label, own in zip(order, owners, strict=True):
        members = dice.permutation(np.flatnonzero(labels == names[label]))
        for owner, piece in zip(own, np.array_split(members, len(own)), strict=True):
            found[owner].append(piece)
    return _sorted([np.concatenate(part) for part in found])


def by_file(files: Sequence[str], parts: int, seed: int = 0) -> list[Indices]:
    """Samples of a file stay together; `files` has the file of each sample. Large files first, to the smallest part.

    Raises DataError when there are fewer files than parts.
    """
    _check(len(files), parts)
    names, of_sample, sizes = np.unique(np.asarray(files), return_inverse=True, return_counts=True)
    if len(names) < parts:
        raise DataError(
            f"{len(names)} files cannot be dealt to {parts} partitions; take fewer partitions or another way to cut."
        )
    order = np.random.RandomState(seed).permutation(len(names))
    order = order[np.argsort(-sizes[order], kind="stable")]
    owner, load = np.zeros(len(names), np.int64), np.zeros(parts, np.int64)
    for file in order:
        owner[file] = np.argmin(load)
        load[owner[file]] += sizes[file]
    return _sorted([np.flatnonzero(owner[of_sample] == part) for part in range(parts)])
