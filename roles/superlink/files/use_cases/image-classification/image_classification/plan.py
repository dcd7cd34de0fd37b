# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One framework, one source of data and one list of classes for all nodes of a run."""

from __future__ import annotations

from collections.abc import Mapping

from flower_ops.training.survey import source
from flower_ops.training.survey.plan import Undecided, Values

from image_classification import cnn, mobilenet
from image_classification.arrays import Piece

#: What builds the model's list of arrays; the first framework is the one of two that equally many nodes have.
MODELS = {"pytorch": cnn.pieces, "tensorflow": mobilenet.pieces}
AUTO = "auto"


def frameworks(answer: Values) -> list[str]:
    """What a node has."""
    return str(answer.get("frameworks", "")).split(",")


def decide(answers: Mapping[int, Values], needed: int, wanted: str = AUTO) -> Values:
    """The plan; Undecided when too few nodes have a framework or data in common."""
    # Before the framework: that most nodes have another one is no reason to pass over own data.
    deciding = source.deciding(answers, needed)
    counts = {
        name: sum(name in frameworks(answer) for answer in deciding.values())
        for name in MODELS
        if wanted in (AUTO, name)
    }
    framework = max(counts, key=lambda name: counts[name])
    if counts[framework] < needed:
        has = "; ".join(f"node {node} has {one.get('frameworks') or 'none'}" for node, one in sorted(deciding.items()))
        own = any(one.get("source") == "own" for one in deciding.values())
        which = " with data of their own" if own else ""
        raise Undecided(
            f"{counts[framework]} of {needed} nodes that the run needs{which} have {' or '.join(counts)} ({has});"
            f" choose ONEAPP_FL_FRAMEWORK {framework} for them or lower min-available-clients"
        )
    able = {node: answer for node, answer in deciding.items() if framework in frameworks(answer)}
    chosen = source.of(able)
    having = [answer for answer in able.values() if answer.get("source") == chosen]
    classes = source.classes(having)
    if len(classes) < 2:
        raise Undecided(f"the data has the classes {classes}, and at least two are needed; put more folders into it")
    return {"framework": framework, "source": chosen, "origin": having[0]["origin"], "classes": classes}


def fits(answer: Values, plan: Values) -> str:
    """Why a node cannot follow the plan, to go on its name; empty when it can."""
    if plan["framework"] not in frameworks(answer):
        return f"has {answer.get('frameworks') or 'no framework'}, and the run trains with {plan['framework']}"
    return source.mismatch(answer, plan)


def pieces(plan: Values) -> list[Piece]:
    """The arrays of the model."""
    return MODELS[plan["framework"]](len(plan["classes"]))
