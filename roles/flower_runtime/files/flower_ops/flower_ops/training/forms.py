# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Forms of single values of a run configuration: each takes a value, and gives it back or says what was expected."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any

# (value, None) or (None, what was expected instead).
Form = Callable[[Any], "tuple[Any, str | None]"]


def one_of(*names: str) -> Form:
    """One of some names, in their own spelling."""
    return lambda value: (value, None) if value in names else (None, f"one of {', '.join(names)}")


def whole(least: int, most: int | None = None) -> Form:
    """A whole number; a boolean is none, although Python thinks so."""
    words = f"a whole number of at least {least}" if most is None else f"a whole number from {least} to {most}"

    def check(value: Any) -> tuple[Any, str | None]:
        fits = isinstance(value, int) and not isinstance(value, bool)
        if fits and value >= least and (most is None or value <= most):
            return value, None
        return None, words

    return check


def number(low: float, high: float | None, words: str, *, open_low: bool = False, open_high: bool = False) -> Form:
    """A finite number within a range, of which either end can be excluded."""

    def check(value: Any) -> tuple[Any, str | None]:
        fits = (
            isinstance(value, (int, float))
            and not isinstance(value, bool)
            and math.isfinite(value)
            and (value > low if open_low else value >= low)
            and (high is None or (value < high if open_high else value <= high))
        )
        return (float(value), None) if fits else (None, f"a number {words}")

    return check


def flag() -> Form:
    """true or false, as TOML has them."""
    return lambda value: (value, None) if isinstance(value, bool) else (None, "true or false")


def text() -> Form:
    """Any text without line breaks or surrounding spaces; it may be empty."""

    def check(value: Any) -> tuple[Any, str | None]:
        fits = isinstance(value, str) and value == value.strip() and value.isprintable()
        return (value, None) if fits else (None, "a text of one line without spaces around it")

    return check


def version() -> Form:
    """Nothing, or the beginning of a version: 1, 1.34 or 1.34.0."""

    def check(value: Any) -> tuple[Any, str | None]:
        fits = isinstance(value, str) and re.fullmatch(r"(\d+(\.\d+){0,2})?", value) is not None
        return (value, None) if fits else (None, 'a version as "1.34" or "1.34.0" in quotes, or nothing')

    return check


def name() -> Form:
    """Nothing, or a name that is a folder's as well: letters, digits and . _ - after a letter or digit, at most 80."""

    def check(value: Any) -> tuple[Any, str | None]:
        fits = isinstance(value, str) and re.fullmatch(r"([A-Za-z0-9][A-Za-z0-9._-]{0,79})?", value) is not None
        return (value, None) if fits else (None, "a name of letters, digits and . _ -, at most 80 of them, or nothing")

    return check
