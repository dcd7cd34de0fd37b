# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Bounds, cooldown and policies of the roles of a service: what is asked, what differs, and the body that says so.

OneFlow takes a whole new body for a living service, whose fixed parts (VMs, states, log, …) must be the stored ones.
Nothing in this file talks to a server.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from ..core.runner import reject
from ..service_template.body import normalise
from .roles import SETTINGS

Settings = dict[str, Any]
#: Settings by role.
Changes = dict[str, Settings]

_POLICIES = ("elasticity_policies", "scheduled_policies")
#: What OneFlow notes in a policy while it evaluates it.
_NOTES = frozenset({"last_eval", "true_evals", "expression_evaluated"})


class Stages(NamedTuple):
    """What is changed before roles are scaled, and what only after it."""

    before: Changes
    after: Changes


def asked_settings(given: Mapping[str, Any]) -> Settings:
    """Those of `SETTINGS` that the options of one role ask for, numbers as numbers. Raises OneUsageError."""
    wanted = {key: given[key] for key in SETTINGS if given.get(key) is not None}
    result: Settings = normalise({"roles": [wanted]}, fill=False)["roles"][0]
    for key, value in result.items():
        if key not in _POLICIES and value < 0:
            reject(f"role {given['name']}: {key} cannot be {value}", "give 0 or more")
    return result


def stored_settings(role: Mapping[str, Any]) -> Settings:
    """Those of a role as a service view or a body shows it, without what OneFlow notes in policies."""
    found: Settings = {key: role.get(key) for key in SETTINGS}
    for key in _POLICIES:
        found[key] = [
            {name: value for name, value in policy.items() if name not in _NOTES} for policy in found[key] or []
        ]
    result: Settings = normalise({"roles": [found]}, fill=False)["roles"][0]
    return result


def differing(role: Mapping[str, Any], wanted: Settings) -> Settings:
    """What of the wanted settings the role does not have yet."""
    stored = stored_settings(role)
    return {key: value for key, value in wanted.items() if stored.get(key) != value}


def check_settings(name: str, role: str, details: Mapping[str, Any], cardinality: int) -> None:
    """Refuse what OneFlow would refuse. details: the settings of the role as they shall be, with that many VMs."""
    low, high = details.get("min_vms"), details.get("max_vms")
    where = f"role {role} of service {name}"
    if (low is not None and cardinality < low) or (high is not None and cardinality > high):
        reject(
            f"{where} would have {cardinality} VMs, outside its bounds "
            f"({low or 0} to {'any number' if high is None else high})",
            "change min_vms, max_vms or cardinality",
        )
    if any(details.get(key) for key in _POLICIES) and None in (low, high):
        reject(f"{where} cannot have policies without bounds", "give min_vms and max_vms")


def stages(roles: Mapping[str, Mapping[str, Any]], changes: Changes, scaled: Mapping[str, int]) -> Stages:
    """Divide changes around a scaling: the bounds must include the number of VMs that there are at that time."""
    before: Changes = {}
    after: Changes = {}
    for role, wanted in changes.items():
        now = roles[role]["cardinality"]
        late: Settings = {}
        if role in scaled:
            low, high = wanted.get("min_vms", 0), wanted.get("max_vms", now)
            late = {**({"min_vms": low} if low > now else {}), **({"max_vms": high} if high < now else {})}
        early = {key: value for key, value in wanted.items() if key not in late}
        before.update({role: early} if early else {})
        after.update({role: late} if late else {})
    return Stages(before, after)


def words(changes: Changes) -> str:
    """"min_vms, max_vms of role a, cooldown of role b"."""
    return ", ".join(f"{', '.join(settings)} of role {role}" for role, settings in changes.items())


def with_settings(body: Mapping[str, Any], changes: Changes) -> dict[str, Any]:
    """The body of a service with other settings of its roles."""
    result = copy.deepcopy(dict(body))
    for role in result.get("roles") or []:
        role.update(changes.get(str(role.get("name")), {}))
    return result


def at_start(stored: Mapping[str, Any], wanted: Settings) -> tuple[Settings, Settings]:
    """What of the settings can be given when a service starts, and what only later.

    OneFlow joins the policies that it is given to those of the template instead of replacing them.
    """
    early, late = dict(wanted), {}
    known = stored_settings(stored)
    for key in _POLICIES:
        there = known.get(key) or []
        if there and key in early and early[key][: len(there)] != there:
            late[key] = early.pop(key)
    return early, late
