# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Settings and metrics as strict JSON and back: numbers of NumPy too, and infinities, which JSON does not have."""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from typing import Any

import numpy as np

#: {"$float": "nan"} stands for a number that JSON cannot say; a loss may well become one.
MARK = "$float"


def to_json(value: Any) -> Any:
    """The value in JSON's terms. Tuples become lists and paths text; numbers keep every digit.

    Raises TypeError or ValueError, naming the type or the name, for what has no such form.
    """
    if isinstance(value, np.generic):
        # float16 and float32 are exact in Python's floats; a long double is not, and becomes the nearest.
        value = float(value) if isinstance(value, np.floating) else value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return {MARK: repr(value)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    if isinstance(value, list | tuple):
        return [to_json(one) for one in value]
    if isinstance(value, Mapping):
        wrong = [name for name in value if not isinstance(name, str) or name == MARK]
        if wrong:
            raise ValueError(f"the name {wrong[0]!r}, which is not text or is reserved")
        return {name: to_json(one) for name, one in value.items()}
    raise TypeError(f"a value of the type {type(value).__name__}")


def from_json(value: Any) -> Any:
    """What `to_json` was given, but for tuples and paths."""
    if isinstance(value, list):
        return [from_json(one) for one in value]
    if isinstance(value, dict):
        if set(value) == {MARK}:
            return float(value[MARK])
        return {name: from_json(one) for name, one in value.items()}
    return value


def value_faults(where: str, value: Any) -> list[str]:
    """What of it cannot be stored, as a part of a sentence; empty when all can."""
    try:
        to_json(value)
    except (TypeError, ValueError, RecursionError) as error:
        what = "themselves" if isinstance(error, RecursionError) else error
        return [f"{where} hold {what}, where only numbers, text, lists and dictionaries can be stored"]
    return []
