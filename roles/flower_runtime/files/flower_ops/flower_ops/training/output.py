# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a finished run leaves in its output folder: the model and the figures, each file whole or not there."""

from __future__ import annotations

import json
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO

import numpy as np
from flower_ops.training.result import Result
from flower_ops.training.settings import Settings


def write(folder: Path, result: Result, settings: Settings, names: Sequence[str] | None = None) -> None:
    """model.npz, arrays under `names` or arr_0, arr_1, … in their order, and metrics.json: all rounds, all figures."""
    folder.mkdir(parents=True, exist_ok=True)
    labels = names or [f"arr_{place}" for place in range(len(result.arrays))]
    model = dict(zip(labels, result.arrays, strict=True))
    summary = {
        "strategy": settings.strategy,
        "rounds": result.rounds,
        "degraded": result.degraded,
        "resumed_from": result.resumed_from,
        "parameters": int(sum(array.size for array in result.arrays)),
    }
    text = json.dumps(_plain(summary), indent=2, allow_nan=False) + "\n"
    _put(folder / "model.npz", lambda stream: np.savez(stream, **model))  # type: ignore[arg-type]
    _put(folder / "metrics.json", lambda stream: stream.write(text.encode()))


def _plain(value: object) -> object:
    """The same in JSON's terms: NumPy's numbers as Python's, those that are not finite (it diverged) as null."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    raise TypeError(f"metrics.json cannot hold {value!r}")


def _put(path: Path, fill: Callable[[BinaryIO], object]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            fill(stream)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(name, 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise
