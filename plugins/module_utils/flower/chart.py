# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A line chart of figures per round as an SVG element, without any library.

Colours come from the page's style sheet (classes s0, s1, s2), so one picture serves light and dark. Lines also differ
by dashes and marks, and every point carries its value as a tooltip, because colour alone tells not everybody enough.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import page_text

WIDTH, HEIGHT = 520, 290
LEFT, RIGHT, TOP, BOTTOM = 56, 20, 16, 44
# More marks than this run into each other.
MANY_POINTS = 40


@dataclass(frozen=True)
class Series:
    """One line: (round, value) pairs in order; a value of None breaks the line (the model diverged, or no figure)."""

    name: str
    style: int
    points: tuple[tuple[int, float | None], ...]


def line_chart(
    identity: str,
    title: str,
    series: Sequence[Series],
    top: float | None,
    label: Callable[[float], str],
) -> str:
    """The chart; `top` fixes the upper end of the value axis (None: chosen from the data), which starts at 0."""
    rounds = sorted({number for one in series for number, _value in one.points})
    values = [value for one in series for _number, value in one.points if value is not None]
    if not rounds or not values:
        return ""
    ticks = value_ticks(min([0.0, *values]), top if top is not None else max(values))
    first, last = rounds[0], max(rounds[-1], rounds[0] + 1)

    def x_of(number: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (number - first) / (last - first)

    def y_of(value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - ticks[0]) / (ticks[-1] - ticks[0])

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-labelledby="{identity}-t {identity}-d">',
        f'<title id="{identity}-t">{page_text(title)}</title>',
        f'<desc id="{identity}-d">{page_text(description(series, label))}</desc>',
    ]
    for tick in ticks:
        y = y_of(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}"/>')
        parts.append(
            f'<text class="tick" x="{LEFT - 9}" y="{y + 4:.1f}" text-anchor="end">{page_text(label(tick))}</text>'
        )
    for number in round_ticks(first, last):
        parts.append(
            f'<text class="tick" x="{x_of(number):.1f}" y="{HEIGHT - 24}" text-anchor="middle">{number}</text>'
        )
    parts.append(
        f'<text class="axis" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 5}" text-anchor="middle">round</text>'
    )
    # The first series is the most trustworthy one: drawn last, it lies on top.
    for one in reversed(series):
        parts += _line(one, x_of, y_of, label)
    return "\n".join([*parts, "</svg>"])


def _line(
    one: Series, x_of: Callable[[float], float], y_of: Callable[[float], float], label: Callable[[float], str]
) -> list[str]:
    parts: list[str] = []
    stretch: list[str] = []
    for number, value in [*one.points, (0, None)]:
        if value is not None:
            stretch.append(f"{x_of(number):.1f},{y_of(value):.1f}")
        else:
            if len(stretch) > 1:
                parts.append(f'<polyline class="line s{one.style}" points="{" ".join(stretch)}"/>')
            stretch = []
    if len(one.points) <= MANY_POINTS:
        for number, value in one.points:
            if value is not None:
                tip = f"<title>{page_text(one.name)}, round {number}: {page_text(label(value))}</title>"
                parts.append(mark(one.style, x_of(number), y_of(value), tip))
    return parts


def mark(style: int, x: float, y: float, inner: str = "") -> str:
    """A circle, a square or a diamond."""
    if style == 0:
        return f'<circle class="mark s0" cx="{x:.1f}" cy="{y:.1f}" r="4.5">{inner}</circle>'
    if style == 1:
        return f'<rect class="mark s1" x="{x - 4:.1f}" y="{y - 4:.1f}" width="8" height="8">{inner}</rect>'
    points = f"{x:.1f},{y - 5:.1f} {x + 5:.1f},{y:.1f} {x:.1f},{y + 5:.1f} {x - 5:.1f},{y:.1f}"
    return f'<polygon class="mark s2" points="{points}">{inner}</polygon>'


def value_ticks(low: float, high: float) -> list[float]:
    """About five round numbers from at most `low` to at least `high`."""
    # Below this nobody sees a difference, and the labels would all be the same.
    rough = max(high - low, 1e-6 * max(abs(low), abs(high)), 1e-9) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    start = math.floor(low / step + 1e-9)
    end = math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(start, max(end, start + 1) + 1)]


def round_ticks(first: int, last: int) -> list[int]:
    """Whole rounds, at most about twelve of them, always with the last."""
    step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 10**6) if (last - first) / s <= 11)
    ticks = [number for number in range(first, last + 1) if number % step == 0 and last - number >= step / 2]
    return [*ticks, last]


def description(series: Sequence[Series], label: Callable[[float], str]) -> str:
    """What the picture shows, in words."""
    told = []
    for one in series:
        known = [(number, value) for number, value in one.points if value is not None]
        if known:
            (first, start), (last, end) = known[0], known[-1]
            told.append(f"{one.name}: {label(start)} in round {first}, {label(end)} in round {last}")
    return "; ".join(told) + "."
