# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Looks that are made up, and how long a keeper takes to decide on them."""

from __future__ import annotations

from typing import Any

from flower_ops.keeper.keeper_link import LinkKeeper
from flower_ops.keeper.keeper_look import Action, Look, View
from flower_ops.keeper.keeper_node import NodeKeeper, Settings
from flower_ops.machine.known import Known

KNOWN = Known("10.0.0.4:9092", "4", "ca-1", "1/3", "key-1")
VIEW = View("4", "10.0.0.4:9092", "ca-1", "1.34.0", "1/3", "")
STEP = 10.0


def node(known: Known | None = KNOWN, **settings: Any) -> NodeKeeper:
    return NodeKeeper(Settings("1.34.0", **settings), known)


def first_action(brain: NodeKeeper | LinkKeeper, limit: float, **look: Any) -> tuple[float, Action | None]:
    """Feed the same look every 10 s; returns (seconds until the first action, the action)."""
    lines, start = look.pop("lines", []), look.pop("start", 0.0)
    now = start
    while now <= start + limit:
        action = brain.decide(Look(now, lines=lines, **look))
        if action is not None:
            return now - start, action
        lines = []
        now += STEP
    return now - start, None


REFUSALS = [
    "Exit Code: 305 [code: 2004] Failed to activate SuperNode.",
    'details = "No SuperNode found with the given public key."',
    "ERROR : Node ID 77 not found",
    "SuperNode could not be activated",
]
