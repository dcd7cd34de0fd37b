# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A checkpoint in memory, and what may be in one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from flower_ops.training.checkpoint.values import value_faults
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
StateValue: TypeAlias = "Array | list[Array] | int | float | str"


# Not compared by ==: arrays have no single answer to it.
@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The server after a round: enough for a resumed run to equal one that was never interrupted.

    `round` counts from 1 over all submissions of a training. `arrays` are the global model in the model's own order.
    `state` is what the strategy remembers between rounds. `metrics` has one dictionary per finished round. `run` names
    the training, `strategy` the strategy, `settings` is what it was configured with, for the reader.
    """

    round: int
    arrays: list[Array]
    state: dict[str, StateValue]
    metrics: list[dict[str, Any]]
    run: str
    strategy: str
    settings: dict[str, Any]


def _array_fault(where: str, value: object) -> str | None:
    # Arithmetic on arrays of no dimension gives scalars; they are arrays to whoever trains.
    if not isinstance(value, np.ndarray | np.generic):
        return f"{where} is of the type {type(value).__name__}, not an array"
    written = np.lib.format.dtype_to_descr(value.dtype) if not value.dtype.hasobject else None
    if written is None or np.lib.format.descr_to_dtype(written) != value.dtype:
        return f"{where} has the type {value.dtype}, which cannot be stored without pickle; convert it to numbers"
    return None


def faults(checkpoint: Checkpoint) -> list[str]:
    """Everything in it that cannot be stored, as parts of a sentence."""
    found = []
    if isinstance(checkpoint.round, bool) or not isinstance(checkpoint.round, int) or checkpoint.round < 1:
        found.append(f"the round is {checkpoint.round!r}, not a whole number from 1")
    for name in ("run", "strategy"):
        if not isinstance(getattr(checkpoint, name), str):
            found.append(f"{name} is of the type {type(getattr(checkpoint, name)).__name__}, not text")
    arrays = [(f"array {number}", array) for number, array in enumerate(checkpoint.arrays)]
    for name, value in checkpoint.state.items():
        if not isinstance(name, str):
            found.append(f"the name {name!r} in the state is not text")
        if isinstance(value, list):
            arrays += [(f"array {number} of {name!r} in the state", array) for number, array in enumerate(value)]
        elif isinstance(value, np.ndarray):
            arrays.append((f"{name!r} in the state", value))
        elif not isinstance(value, int | float | str | np.bool_ | np.integer | np.floating):
            kind = type(value).__name__
            found.append(f"{name!r} in the state is of the type {kind}, not an array, arrays, a number or text")
    found += [fault for where, array in arrays if (fault := _array_fault(where, array))]
    found += value_faults("the settings", checkpoint.settings)
    found += value_faults("the metrics", checkpoint.metrics)
    return found
