# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A figure: what was measured, how often, and what it should be at most."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median
from typing import Any


@dataclass(frozen=True)
class Figure:
    """Measured values of one thing. `goal`: the median should not be above it; None where there is no goal."""

    name: str
    unit: str
    values: tuple[float, ...]
    goal: float | None = None
    note: str = ""

    @property
    def median(self) -> float:
        """The value in the middle."""
        return float(median(self.values))

    @property
    def met(self) -> bool | None:
        """Whether the goal is met; None without a goal."""
        return None if self.goal is None else self.median <= self.goal

    def as_dict(self) -> dict[str, Any]:
        """Everything, for the JSON file."""
        return {
            "name": self.name, "unit": self.unit, "median": self.median, "min": min(self.values),
            "max": max(self.values), "values": list(self.values), "goal": self.goal, "met": self.met,
            "note": self.note,
        }  # fmt: skip

    def row(self) -> tuple[str, str, str, str, str]:
        """Cells of the table: name, median, spread, goal, verdict."""
        spread = f"{number(min(self.values))}–{number(max(self.values))} ({len(self.values)}x)"
        goal = "" if self.goal is None else f"≤ {number(self.goal)} {self.unit}".rstrip()
        verdict = {None: "", True: "met", False: "missed"}[self.met]
        return self.name, f"{number(self.median)} {self.unit}".rstrip(), spread, goal, verdict


def number(value: float) -> str:
    """Short and readable: three significant digits below ten, one decimal below a hundred, else whole."""
    if value == int(value):
        return str(int(value))
    return f"{value:.2f}" if abs(value) < 10 else f"{value:.1f}" if abs(value) < 100 else f"{value:.0f}"


def table(figures: Iterable[Figure]) -> str:
    """A table for the terminal, with the notes below it."""
    shown = list(figures)
    rows = [("figure", "median", "spread", "goal", ""), *(figure.row() for figure in shown)]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    lines.insert(1, "  ".join("-" * width for width in widths).rstrip())
    notes = [f"{figure.name}: {figure.note}" for figure in shown if figure.note]
    return "\n".join([*lines, *([""] if notes else []), *notes])
