# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which source of data all nodes of a run train on, and which classes it has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from flower_ops.training.flower import LOG
from flower_ops.training.grid import nodes
from flower_ops.training.survey.plan import Undecided, Values


def common(answers: Mapping[int, Values], needed: int) -> str:
    """own, hub or bundled: what all nodes that take part have.

    Own data wherever enough nodes have it: that is why they take part, and the others are left out. With too few of
    them nothing is decided, since nobody who put data on a node wants a model of something else. The published data set
    when all can have it, else the one that comes with flower_ops: more nodes are worth more than that difference.
    """
    by: dict[str, list[int]] = {"own": [], "hub": [], "bundled": []}
    for node, answer in answers.items():
        by.setdefault(str(answer.get("source")), []).append(node)
    if by["own"]:
        if len(by["own"]) >= needed:
            return "own"
        others = [node for node in answers if node not in by["own"]]
        raise Undecided(
            f"{len(by['own'])} of {needed} nodes that the run needs have data of their own ({nodes(by['own'])};"
            f" not {nodes(others)}); put data on more nodes, lower min-available-clients,"
            ' or set data-source to "bundled"'
        )
    if by["hub"] and not by["bundled"]:
        return "hub"
    if by["hub"]:
        LOG.warning("Bundled data is used, because %s cannot have the published data set.", nodes(by["bundled"]))
    return "bundled"


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


def mismatch(answer: Values, plan: Values) -> str:
    """Why a node's data does not fit the plan, to go on its name; empty when it does."""
    has, wanted = answer.get("source"), plan["source"]
    if has == wanted or (wanted == "bundled" and has == "hub"):
        unknown = sorted(set(map(str, answer.get("classes") or ())) - set(plan.get("classes") or ()))
        if wanted == "own" and plan.get("classes") and unknown:
            return f"has data of classes that the run does not know: {', '.join(unknown[:5])}"
        return ""
    if has == "own":
        return f"has data of its own, and the run trains on {plan['origin']}"
    if wanted == "own":
        return f"has no data of its own, only {answer.get('origin')}"
    return f"cannot have {plan['origin']}"
