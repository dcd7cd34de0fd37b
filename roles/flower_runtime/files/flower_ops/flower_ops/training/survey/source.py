# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which source of data all nodes of a run train on, and which classes it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flower_ops.training.data.classes import label_of
from flower_ops.training.data.errors import several
from flower_ops.training.flower import LOG
from flower_ops.training.grid import nodes
from flower_ops.training.survey.plan import Undecided, Values


def deciding(answers: Mapping[int, Values], needed: int) -> dict[int, Values]:
    """The nodes whose answers the plan is made of: those with data of their own, where enough have some; else all.

    Own data is why they take part, and the others are left out. With too few of them nothing is decided, since nobody
    who put data on a node wants a model of something else: Undecided is raised.
    """
    own = {node: answer for node, answer in answers.items() if answer.get("source") == "own"}
    if own and len(own) < needed:
        others = [node for node in answers if node not in own]
        raise Undecided(
            f"{len(own)} of {needed} nodes that the run needs have data of their own ({nodes(own)};"
            f" not {nodes(others)}); put data on more nodes, lower min-available-clients,"
            ' or set data-source to "bundled"'
        )
    return own or dict(answers)


def of(answers: Mapping[int, Values]) -> str:
    """own, hub or bundled: what all of these have, which `deciding` has chosen and a part may have been taken of.

    The published data set when all can have it, else the one that comes with flower_ops: more nodes are worth more than
    that difference.
    """
    by: dict[str, list[int]] = {"own": [], "hub": [], "bundled": []}
    for node, answer in answers.items():
        by.setdefault(str(answer.get("source")), []).append(node)
    if by["own"]:
        return "own"
    if by["hub"] and not by["bundled"]:
        return "hub"
    if by["hub"]:
        LOG.warning("Bundled data is used, because %s cannot have the published data set.", nodes(by["bundled"]))
    return "bundled"


def common(answers: Mapping[int, Values], needed: int) -> str:
    """What `of` says of those that `deciding` chooses: apps that were packed earlier ask both at once."""
    return of(deciding(answers, needed))


def spoilt(answers: Mapping[int, Values], able: Mapping[int, Values]) -> str:
    """Why nothing is decided though nodes could have other data, without a full stop; empty when nothing hinders.

    answers: of all nodes, faults among them; able: of those that can take part. Where data of their own lies on nodes
    and none of it can be used, nobody who put it there wants a model of something else. Beside own data that can be
    used, the other is left out.
    """
    spoilt = {node: one for node, one in answers.items() if one.get("source") == "own" and "fault" in one}
    if not spoilt or any(one.get("source") == "own" for one in able.values()):
        return ""
    faults = [f"node {node} {str(one['fault']).rstrip('.')}" for node, one in sorted(spoilt.items())]
    return (
        f"the only nodes with data of their own cannot use it ({several(faults)}); mend it, or set data-source to"
        ' "bundled" or "hub" to train on other data on purpose'
    )


def classes(answers: Iterable[Values]) -> list[str]:
    """All classes of all nodes, in an order that every node has: numbers stand for themselves, other names by alphabet.

    The same on all nodes for published and bundled data, whose order is kept.
    """
    found = [list(map(str, answer.get("classes") or ())) for answer in answers]
    if found and all(one == found[0] for one in found):
        return found[0]
    names = {name for one in found for name in one}
    if counted(names):
        return [str(number) for number in range(1 + max((int(name) for name in names), default=-1))]
    return sorted(names)


def counted(names: Iterable[str]) -> bool:
    """Whether classes are numbers from 0, which loaders take for themselves without being given the names."""
    return all(name.isdecimal() and name.isascii() for name in names)


def _unknown(answer: Values, plan: Values) -> list[str]:
    """Classes of a node's data that the plan has not.

    A plan may be older than the one way to write numbers (`label_of`): its 1.0 is what nodes call 1 now. And where
    classes are numbers, only the last one is known to be there: those before it are filled in.
    """
    has = list(map(str, answer.get("classes") or ()))
    wanted = list(map(str, plan.get("classes") or ()))
    filled = has == [str(number) for number in range(len(has))]
    return sorted(set(has[-1:] if filled else has) - {*wanted, *map(label_of, wanted)})


def mismatch(answer: Values, plan: Values) -> str:
    """Why a node's data does not fit the plan, to go on its name; empty when it does."""
    has, wanted = answer.get("source"), plan["source"]
    if has == wanted or (wanted == "bundled" and has == "hub"):
        unknown = _unknown(answer, plan)
        if wanted == "own" and plan.get("classes") and unknown:
            return f"has data of classes that the run does not know: {', '.join(unknown[:5])}"
        return ""
    if has == "own":
        return f"has data of its own, and the run trains on {plan['origin']}"
    if wanted == "own":
        return f"has no data of its own, only {answer.get('origin')}"
    return f"cannot have {plan['origin']}"
