# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One source of data, one list of classes and one number of features for all nodes of a run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from flower_ops.training.survey import source
from flower_ops.training.survey.plan import Undecided, Values


def decide(answers: Mapping[int, Values], needed: int) -> Values:
    """The plan; Undecided when too few nodes have data in common."""
    deciding = source.deciding(answers, needed)
    chosen = source.of(deciding)
    having = {node: answer for node, answer in deciding.items() if answer.get("source") == chosen}
    # The first of equally frequent ones, by node id, so that the plan does not depend on who answers first.
    counted = Counter(having[node].get("features") for node in sorted(having))
    features, _count = counted.most_common(1)[0]
    fitting = [having[node] for node in sorted(having) if having[node].get("features") == features]
    # Before the classes: those of a node that takes no part are none of the model's.
    headers = Counter(str(answer["columns"]) for answer in fitting if answer.get("columns"))
    columns = headers.most_common(1)[0][0] if headers else ""
    fitting = [answer for answer in fitting if answer.get("columns") in (None, "", columns)]
    classes = source.classes(fitting)
    if not isinstance(features, int) or len(classes) < 2:
        raise Undecided(
            f"the data has {features} features and the classes {classes}, and at least one and two are needed; look at"
            " the columns of the tables, of which the last one is the label"
        )
    return {
        "source": chosen,
        "origin": fitting[0]["origin"],
        "classes": classes,
        "features": features,
        "columns": columns,
    }


def fits(answer: Values, plan: Values) -> str:
    """Why a node cannot follow the plan, to go on its name; empty when it can."""
    why = source.mismatch(answer, plan)
    if not why and answer.get("source") == plan["source"] and answer.get("features") != plan["features"]:
        why = f"has {answer.get('features')} features a line, and the run trains on {plan['features']}"
    elif not why and answer.get("columns") and plan.get("columns") and answer["columns"] != plan["columns"]:
        why = (
            "has a header with other names of columns, or another order, than the nodes that the run trains on; give"
            " all tables the same header and the columns in its order"
        )
    return why
