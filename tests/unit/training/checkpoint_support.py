# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checkpoints for tests, and whether two are the same."""

from __future__ import annotations

import hashlib
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from flower_ops.training.checkpoint import Checkpoint


def checkpoint(number: int, size: int = 3, **different: Any) -> Checkpoint:
    """One of that round, which every value in it depends on; `size` numbers in the greatest array."""
    values: dict[str, Any] = {
        "round": number,
        "arrays": [np.full(size, number, np.float32), np.array(number)],
        "state": {"moment": [np.full((2, 0), number), np.full(2, -number)], "one": np.array([number]), "step": number},
        "metrics": [{"round": one, "loss": 1 / one} for one in range(1, number + 1)],
        "run": "digits",
        "strategy": "FedAdam",
        "settings": {"server-lr": 0.1, "rounds": 9},
    }
    return Checkpoint(**{**values, **different})


def rewrite(place: Path, name: str, content: bytes) -> None:
    """Give a member of the file another content, and checksums that hold: what no accident does."""
    with zipfile.ZipFile(place) as archive:
        members = {one: archive.read(one) for one in archive.namelist() if one != "SHA256SUMS"}
    members[name] = content
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {one}\n" for one, data in members.items())
    with zipfile.ZipFile(place, "w") as archive:
        for one, data in {**members, "SHA256SUMS": sums.encode()}.items():
            archive.writestr(one, data)


def same(one: Any, other: Any) -> bool:
    """Equal in every bit that training can see: types, shapes, byte order, signs of zeros and what is no number."""
    if isinstance(one, Checkpoint):
        return isinstance(other, Checkpoint) and same(vars(one), vars(other))
    if isinstance(one, np.ndarray):
        return (
            isinstance(other, np.ndarray)
            and (one.dtype, one.shape) == (other.dtype, other.shape)
            and one.tobytes() == other.tobytes()
        )
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return (math.isnan(one) and math.isnan(other)) or (one, math.copysign(1, one)) == (
            other,
            math.copysign(1, other),
        )
    return type(one) is type(other) and bool(one == other)
