# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Locks of images, VM templates and VMs: their names, how they are compared, when they are set and taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..data.xml import number
from ..errors import OneAuthorizationError, OneError
from .runner import Plan, Step

NONE = "none"
# What one.*.lock takes. oned keeps "all" as "use", so these two are one and the same afterwards.
LEVELS = {"use": 1, "manage": 2, "admin": 3, "all": 4}
_BY_LEVEL = {1: "use", 2: "manage", 3: "admin", 4: "use"}


def lock_argument_spec() -> dict[str, dict[str, Any]]:
    """Return the option `lock`."""
    return {"lock": {"type": "str", "choices": [NONE, *LEVELS]}}


def lock_of(body: Mapping[str, Any]) -> str:
    """Return the lock in an XML body: none, use, manage or admin."""
    level = number(body, "LOCK", "LOCKED", default=0)
    return _BY_LEVEL.get(level, f"UNKNOWN({level})") if level else NONE


def same_lock(value: str | None) -> str | None:
    """Return the name under which a wanted lock is read back."""
    return "use" if value == "all" else value


def plan_lock(plan: Plan[Any], current: str, wanted: str | None, what: str, call: Callable[..., Any]) -> str:
    """Put unlocking before and locking after the writes that are planned so far; return the lock that this leads to.

    call("unlock") and call("lock", level) are to make the calls. Without a wanted lock nothing is added, and OpenNebula
    refuses what the present lock forbids. Where a lock is wanted and other writes are needed, the object is unlocked
    for them and locked again, because who sets the lock is who manages the object.
    """
    goal = same_lock(wanted)
    if goal is None:
        return current
    if current != NONE and (goal == NONE or plan.steps):
        plan.steps.insert(0, Step(f"unlock {what}", lambda: call("unlock")))
    if goal != NONE and (goal != current or plan.steps):
        plan.add(f"lock {what} ({goal})", lambda: call("lock", LEVELS[goal]))
    return goal


def explain_lock(error: OneError, lock: str) -> OneError:
    """Return the refusal of a write with the way out, if it may be the object's lock that forbids it.

    Administrators are told "is locked", other users only that they are not authorised.
    """
    if isinstance(error, OneAuthorizationError) and lock != NONE:
        error.hint = f"it is locked (level {lock}); lock: none unlocks it first, if this user may manage it"
    return error
