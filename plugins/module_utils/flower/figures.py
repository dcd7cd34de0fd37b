# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Figures of a run, chosen and worded: which metrics matter, and one line per round for a person."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape
from typing import Any

# Where a round's figures come from, best first: held-back data on the SuperLink, then the nodes' own.
SOURCES = ("central", "evaluate", "train")
LOSS = ("loss",)
ACCURACY = ("accuracy", "acc", "accuracies")


def figures(one_round: Mapping[str, Any]) -> tuple[str | None, dict[str, Any]]:
    """(source, metrics) of the best source that a round has; (None, {}) when it has none."""
    for source in SOURCES:
        found = one_round.get(source)
        if isinstance(found, Mapping) and found:
            return source, dict(found)
    return None, {}


def final_metrics(rounds: list[Mapping[str, Any]]) -> dict[str, Any]:
    """Metrics of the last round that has any."""
    for one in reversed(rounds):
        _source, found = figures(one)
        if found:
            return found
    return {}


def pick(metrics: Mapping[str, Any], kind: tuple[str, ...]) -> float | None:
    """The metric whose last word is one of `kind` (loss, eval-loss, test_acc …), as a number."""
    for key, value in metrics.items():
        words = str(key).lower().replace("_", "-").split("-")
        if words[-1] in kind and isinstance(value, (int, float)) and not isinstance(value, bool):
            return float(value)
    return None


def round_line(one: Mapping[str, Any], planned: int | None) -> str:
    """`round 2/3  accuracy 0.933  loss 0.310  results 2/2  12 s`."""
    parts = [f"round {one['round']}/{planned}" if planned else f"round {one['round']}"]
    _source, found = figures(one)
    for name, kind in (("accuracy", ACCURACY), ("loss", LOSS)):
        value = pick(found, kind)
        if value is not None:
            parts.append(f"{name} {number(value)}")
    if one.get("results") is not None and one.get("nodes") is not None:
        parts.append(f"results {one['results']}/{one['nodes']}")
    if one.get("seconds") is not None:
        parts.append(f"{one['seconds']:.0f} s")
    if one.get("dropped"):
        parts.append(f"none of its results was used: {one['dropped']}"[:200])
    if one.get("errors"):
        parts.append(str(one["errors"][0])[:200])
    return "  ".join(parts)


def number(value: float) -> str:
    """Three decimals where that says something, else three significant digits."""
    return f"{value:.3f}" if value == 0 or 0.001 <= abs(value) < 10000 else f"{value:.3g}"


def size(amount: float) -> str:
    """Bytes for people: 198 kB, 3.4 MB."""
    for unit in ("bytes", "kB", "MB", "GB"):
        if abs(amount) < 1000 or unit == "GB":
            return f"{amount:.0f} {unit}" if unit == "bytes" or abs(amount) >= 100 else f"{amount:.1f} {unit}"
        amount /= 1000
    return ""


def duration(seconds: float) -> str:
    """12 s, 3 min 20 s, 1 h 05 min."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    return f"{whole // 3600} h {whole % 3600 // 60:02d} min"


def page_text(value: Any) -> str:
    """Text for a page: escaped, and without characters that no page may hold (controls, lone surrogates)."""
    return escape("".join(character for character in str(value) if _allowed(ord(character))))


def _allowed(code: int) -> bool:
    if code < 0xA0:
        return code in (0x09, 0x0A) or 0x20 <= code < 0x7F
    return not 0xD800 <= code <= 0xDFFF and code & 0xFFFE != 0xFFFE
