# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a training run gives back, and when it is worth less than it looks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from flower_ops.training.flower import Arrays


@dataclass(frozen=True)
class Result:
    """The end of a run.

    arrays: the global model. rounds: one dictionary for each round, also of those before a restart: {round, nodes
    (chosen), results (usable answers), aggregated, failures: {node id: reason}, train, evaluate, central: metrics or
    None, evaluating: {nodes, results, failures} of the evaluation at the nodes or None, seconds}; round 0 is the
    untrained model's central evaluation. degraded: None, or why results are missing. resumed_from: the round of the
    checkpoint that the run went on from; 0 when it began.
    """

    arrays: Arrays
    rounds: list[dict[str, Any]]
    degraded: str | None
    resumed_from: int = 0

    @property
    def metrics(self) -> dict[int, dict[str, Any]]:
        """Metrics of each round: those of the nodes' training, of their evaluation and of the central one together."""
        kinds = ("train", "evaluate", "central")
        return {one["round"]: {k: v for kind in kinds for k, v in (one[kind] or {}).items()} for one in self.rounds}


def new_round(number: int) -> dict[str, Any]:
    """A round of which nothing is known yet."""
    return {
        "round": number,
        "nodes": 0,
        "results": 0,
        "aggregated": False,
        "failures": {},
        "train": None,
        "evaluate": None,
        "evaluating": None,
        "central": None,
        "seconds": 0.0,
    }


def degraded(rounds: Sequence[Mapping[str, Any]]) -> str | None:
    """Why a run that came to its end is worth less than it looks; None when every chosen node's result was used."""
    short = []
    for one in rounds:
        unused = ", none of them used" if one["results"] and not one["aggregated"] else ""
        if told := _missing(one):
            short.append(f"round {one['round']}: {told[0]} results{unused}{told[1]}")
        elif one["nodes"] and not one["aggregated"]:
            short.append(f"round {one['round']}: the strategy used none of the results")
        # Not in checkpoints of earlier versions.
        if told := _missing(one.get("evaluating")):
            short.append(f"round {one['round']}: {told[0]} evaluations{told[1]}")
    if not short:
        return None
    return "; ".join(short[:3]) + (f" and {len(short) - 3} more" if len(short) > 3 else "")


def _missing(one: Mapping[str, Any] | None) -> tuple[str, str] | None:
    """`2 of 3`, and in brackets the first reason; None when all that were chosen gave something of use."""
    if not one or one["results"] >= one["nodes"]:
        return None
    reasons = [f"node {node}: {why}" for node, why in one["failures"].items()]
    return f"{one['results']} of {one['nodes']}", f" ({reasons[0][:200]})" if reasons else ""
