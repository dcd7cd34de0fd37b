# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One source of data and one model for all nodes of a run."""

from __future__ import annotations

from collections.abc import Mapping

from flower_ops.training.flower import LOG
from flower_ops.training.grid import nodes
from flower_ops.training.survey import source
from flower_ops.training.survey.plan import Values

from llm_fine_tuning.adapters import STAND_IN, Form

#: The name in a plan of the model that is built in code.
BUILT = "stand-in"


def decide(answers: Mapping[int, Values], needed: int, rank: int, wanted: str) -> Values:
    """The plan: the model that was asked for wherever enough nodes have it, else the stand-in, and that is told."""
    having = {node: one for node, one in answers.items() if one.get("model") == wanted and wanted}
    if len(having) < needed:
        if wanted:
            first = next(str(one.get("why")) for one in answers.values() if one.get("model") != wanted)
            LOG.warning(
                "%d of %d nodes can have the model %s, so a small model with random weights stands in for it and the"
                " result is good for nothing but trying out: %s.",
                len(having),
                needed,
                wanted,
                first,
            )
        able, model, form = dict(answers), BUILT, list(STAND_IN)
    else:
        # Nodes with other files under the same name are told apart by form.
        form = list(having[min(having)].get("form") or ())
        able, model = {node: one for node, one in having.items() if one.get("form") == form}, wanted
        if len(able) < len(answers):
            LOG.warning("Without the model %s are %s.", wanted, nodes(set(answers) - set(able)))
    chosen = source.common(able, needed)
    origin = next(str(one["origin"]) for one in able.values() if one.get("source") == chosen)
    return {"source": chosen, "origin": origin, "model": model, "form": form, "rank": rank}


def fits(answer: Values, plan: Values) -> str:
    """Why a node cannot follow the plan, to go on its name; empty when it can."""
    if plan["model"] != BUILT and (answer.get("model") != plan["model"] or answer.get("form") != plan["form"]):
        return f"cannot have the model {plan['model']} of the run: {answer.get('why') or 'its files are others'}"
    return source.mismatch(answer, plan)


def form(plan: Values) -> Form:
    """Of the plan's model."""
    return Form(*map(int, plan["form"]))
