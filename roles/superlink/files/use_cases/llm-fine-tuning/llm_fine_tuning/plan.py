# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One source of data and one model for all nodes of a run."""

from __future__ import annotations

from collections.abc import Mapping

from flower_ops.training.data.errors import several
from flower_ops.training.flower import LOG
from flower_ops.training.grid import nodes
from flower_ops.training.survey import source
from flower_ops.training.survey.plan import Undecided, Values

from llm_fine_tuning.adapters import STAND_IN, Form

#: The name in a plan of the model that is built in code.
BUILT = "stand-in"
#: What `model-name` may be besides a name: DEFAULT where nodes can have it, else the stand-in; the stand-in at once.
AUTO, SMALL = "auto", "small"
DEFAULT = "openlm-research/open_llama_3b"


def explicit(name: str) -> str:
    """A model that somebody asked for by name, which is trained or nothing is; empty when that is left to us."""
    return "" if name in ("", AUTO, SMALL) else name


def decide(answers: Mapping[int, Values], needed: int, rank: int, wanted: str) -> Values:
    """The plan. A model that was asked for by name is it, or Undecided is raised with a reason for each node.

    Where none was, DEFAULT when enough nodes have it, else the stand-in, and that is told.
    """
    # Before the model: that others have it is no reason to pass over own data.
    deciding = source.deciding(answers, needed)
    asked = explicit(wanted) or (_most(deciding) if wanted != SMALL else "")
    name = asked or ("" if wanted == SMALL else DEFAULT)
    having = {node: one for node, one in deciding.items() if name and one.get("model") == name}
    if len(having) < needed:
        reasons = [f"node {node}: {_why(one, name)}" for node, one in sorted(deciding.items()) if node not in having]
        if asked:
            raise Undecided(
                f"{len(having)} of {needed} nodes that the run needs can have the model {asked}, which was asked for"
                f" ({several(reasons)}); put its folder on each node and name that as model-name in"
                f' ONEAPP_FL_NODE_CONFIG, or set model-name to "{SMALL}" to try the federation out without it'
            )
        if name:
            LOG.warning(
                "%d of %d nodes can have the model %s, so a small model with random weights stands in for it and the"
                " result is good for nothing but trying out (%s).",
                len(having),
                needed,
                name,
                several(reasons),
            )
        able, model, form = dict(deciding), BUILT, list(STAND_IN)
    else:
        # Nodes with other files under the same name are told apart by form.
        form = list(having[min(having)].get("form") or ())
        able, model = {node: one for node, one in having.items() if one.get("form") == form}, name
        if len(able) < len(deciding):
            LOG.warning("Without the model %s are %s.", name, nodes(set(deciding) - set(able)))
    chosen = source.of(able)
    origin = next(str(one["origin"]) for one in able.values() if one.get("source") == chosen)
    return {"source": chosen, "origin": origin, "model": model, "form": form, "rank": rank}


def _most(answers: Mapping[int, Values]) -> str:
    """The model that most nodes are configured to train, empty when none is."""
    names = [str(one["asked"]) for one in answers.values() if one.get("asked")]
    return max(sorted(set(names)), key=names.count, default="")


def _why(answer: Values, name: str) -> str:
    """Why a node does not have a model."""
    if answer.get("model") == name:
        return "its files are others"
    looked_for = str(answer.get("asked") or DEFAULT)
    return str(answer.get("why")) if looked_for == name else "its configuration does not name it"


def fits(answer: Values, plan: Values) -> str:
    """Why a node cannot follow the plan, to go on its name; empty when it can."""
    asked = answer.get("asked")
    if asked and asked != plan["model"]:
        trained = "a small one with random weights" if plan["model"] == BUILT else plan["model"]
        return f"was asked for the model {asked}, and this training has begun with {trained}"
    if plan["model"] != BUILT and (answer.get("model") != plan["model"] or answer.get("form") != plan["form"]):
        return f"cannot have the model {plan['model']} of the run: {_why(answer, plan['model'])}"
    return source.mismatch(answer, plan)


def form(plan: Values) -> Form:
    """Of the plan's model."""
    return Form(*map(int, plan["form"]))
