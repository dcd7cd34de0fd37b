# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow services as plain data: what a document means, and whether what is asked of it is possible.

Nothing in this file talks to a server.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..data.compare import MASK
from ..data.states import SERVICE_FAILURES, service_state
from ..data.template import scalar
from ..document.document import GOING_STATES, Document, body_of, identity
from ..errors import OneUsageError

#: OneFlow refuses an ordinary DELETE in these states and in the failed ones.
BUSY_STATES = frozenset({"DEPLOYING", "SCALING", "COOLDOWN", "DEPLOYING_NETS"})


def service_view(document: Document) -> dict[str, Any]:
    """A service for people, without its VMs.

    `{id, name, owner, group, permissions, mark, description, state, state_id, ready_gate, on_hold, deployment, roles:
    {name: {cardinality, min_vms, max_vms, state, state_id, cooldown, elasticity_policies, scheduled_policies,
    parents, template_id, vms: [ids]}}, user_inputs_values, networks_values, log: [{timestamp, severity, message}],
    start_time}`
    """
    body = body_of(document)
    state_id = int(body.get("state", 0))
    return {
        **identity(document),
        "description": str(body.get("description") or ""),
        "state": service_state(state_id),
        "state_id": state_id,
        "ready_gate": bool(body.get("ready_status_gate")),
        "on_hold": bool(body.get("on_hold")),
        "deployment": body.get("deployment", "none"),
        "roles": {str(role["name"]): _role_view(role) for role in body.get("roles") or []},
        "user_inputs_values": masked_inputs(body),
        "networks_values": merged_networks(body.get("networks_values")),
        "log": list(body.get("log") or []),
        "start_time": body.get("start_time"),
    }


#: Roles share the numbers of services, except for this one.
_ROLE_HOLD = 11


def _role_view(role: Mapping[str, Any]) -> dict[str, Any]:
    state_id = int(role.get("state", 0))
    return {
        "cardinality": int(role.get("cardinality", 0)),
        "min_vms": _integer(role.get("min_vms")),
        "max_vms": _integer(role.get("max_vms")),
        "state": "HOLD" if state_id == _ROLE_HOLD else service_state(state_id),
        "state_id": state_id,
        "cooldown": _integer(role.get("cooldown")),
        "elasticity_policies": list(role.get("elasticity_policies") or []),
        "scheduled_policies": list(role.get("scheduled_policies") or []),
        "parents": list(role.get("parents") or []),
        "template_id": _template_id(role.get("template_id")),
        "vms": [int(node["deploy_id"]) for node in role.get("nodes") or [] if node.get("deploy_id") is not None],
    }


def _template_id(value: Any) -> int | str | None:
    """A number, or in check mode the name of a VM template that an earlier task would have made."""
    return value if isinstance(value, str) and not value.isdigit() else _integer(value)


def _integer(value: Any) -> int | None:
    return None if value is None else int(value)


def merged_networks(values: Any) -> dict[str, Any]:
    """OneFlow's list of one-key mappings as one mapping, network name → choice."""
    if isinstance(values, dict):
        return dict(values)
    merged: dict[str, Any] = {}
    for item in values or []:
        if isinstance(item, dict):
            merged.update(item)
    return merged


def masked_inputs(body: Mapping[str, Any]) -> dict[str, Any]:
    """The values of the user inputs, those of type `password` hidden."""
    inputs = body.get("user_inputs") or {}
    return {
        name: MASK if is_secret_input(inputs.get(name)) else value
        for name, value in (body.get("user_inputs_values") or {}).items()
    }


def is_secret_input(definition: Any) -> bool:
    """Whether the definition of a user input (`M|password|text|options|default`) says that it is a secret."""
    parts = str(definition or "").split("|")
    return len(parts) > 1 and parts[1].strip() == "password"


def failure_of(service: Mapping[str, Any]) -> str:
    """What of a service view has failed ("FAILED_DEPLOYING", "DEPLOYING with role b FAILED_DEPLOYING"), "" if nothing.

    OneFlow leaves a service DEPLOYING or UNDEPLOYING for ever of which a role failed that was not among the first. It
    also forgets roles with one parent that was on hold and another that was not; they stay PENDING.
    """
    state = str(service["state"])
    if state in SERVICE_FAILURES:
        return state
    # A service that is removed keeps the states of roles whose turn has not come.
    fatal = {"FAILED_UNDEPLOYING"} if state in GOING_STATES else SERVICE_FAILURES
    roles: Mapping[str, Any] = service["roles"]
    failed = [f"role {name} {role['state']}" for name, role in roles.items() if role["state"] in fatal]
    if state == "DEPLOYING" and service["deployment"] == "straight":
        failed += [
            f"role {name} PENDING although its parents run"
            for name, role in roles.items()
            if role["state"] == "PENDING" and role["parents"]
            and all(roles.get(parent, {}).get("state") == "RUNNING" for parent in role["parents"])
        ]  # fmt: skip
    return f"{state} with {', '.join(failed)}" if failed else ""


def is_held(service: Mapping[str, Any]) -> bool:
    """Whether nothing more happens to a service before it is released."""
    roles: Mapping[str, Any] = service["roles"]
    states = {role["state"] for name, role in roles.items() if not _waits_for_release(roles, name)}
    if states == {"HOLD"}:
        return bool(service["state"] == "HOLD")
    # With other roles that run, OneFlow calls the service DEPLOYING until it is released.
    return states == {"HOLD", "RUNNING"}


def _waits_for_release(roles: Mapping[str, Any], name: str, children: frozenset[str] = frozenset()) -> bool:
    """Whether a role is not there because some of its parents are on hold; it would be if all were.

    children: the roles on whose behalf is asked; OneFlow does not refuse circles.
    """
    role = roles[name]
    if role["state"] != "PENDING" or name in children:
        return False
    parents = [parent for parent in role["parents"] if parent in roles]
    held = [parent for parent in parents if roles[parent]["state"] == "HOLD"]
    further = children | {name}
    return len(held) < len(parents) and (
        bool(held) or any(_waits_for_release(roles, parent, further) for parent in parents)
    )


def vm_ids(service: Mapping[str, Any], roles: Sequence[str] | None = None) -> list[int]:
    """The ids of the VMs of a service view, of all its roles or of some."""
    wanted = roles or service["roles"]
    return sorted(number for name in wanted for number in service["roles"][name]["vms"])


def last_messages(service: Mapping[str, Any], count: int = 3) -> str:
    """The last messages of the service's own log that say more than the state, errors if any; "" where none are."""
    log = [entry for entry in service.get("log", []) if isinstance(entry, dict)]
    told = [entry for entry in log if not str(entry.get("message", "")).startswith("New state: ")]
    errors = [entry for entry in told if entry.get("severity") == "E"]
    chosen = (errors or told)[-count:]
    return "; ".join(str(entry.get("message", "")).strip() for entry in chosen)


def check_cardinalities(name: str, roles: Mapping[str, Mapping[str, Any]], asked: Mapping[str, int]) -> None:
    """Raise OneUsageError naming every role that does not exist and every number outside its role's bounds."""
    wrong: list[str] = []
    hint = "change cardinality, or min_vms and max_vms of the role"
    for role, number in asked.items():
        known = roles.get(role)
        if known is None:
            wrong.append(f"it has no role {role} (it has {', '.join(roles) or 'none'})")
            hint = "check the name, or give definition"
            continue
        low, high = known.get("min_vms"), known.get("max_vms")
        if number < 0 or (low is not None and number < low):
            wrong.append(f"role {role} needs at least {low or 0} VMs, not {number}")
        elif high is not None and number > high:
            wrong.append(f"role {role} takes at most {high} VMs, not {number}")
    if wrong:
        raise OneUsageError(f"service {name}: {'; '.join(wrong)}", hint=hint)


def input_drift(
    body: Mapping[str, Any],
    asked: Mapping[str, Any],
    name: str,
    of_roles: Mapping[str, Mapping[str, Any]] | None = None,
) -> list[str]:
    """A warning for every user input that the service was started with differently; they are fixed from its start.

    asked: values of the service's inputs by name. of_roles: those of its roles' inputs by role.
    """
    differing = _differing(body.get("user_inputs_values"), asked)
    roles = {str(role["name"]): role for role in body.get("roles") or []}
    for role, values in (of_roles or {}).items():
        differing |= _differing((roles.get(role) or {}).get("user_inputs_values"), values)
    if not differing:
        return []
    return [
        f"service {name} was started with other values of {', '.join(sorted(differing))}; user inputs are fixed from "
        "the start of a service, so they stay as they are until it is removed and started again"
    ]


def _differing(stored: Any, asked: Mapping[str, Any]) -> set[str]:
    known: Mapping[str, Any] = stored or {}
    return {key for key, value in asked.items() if key in known and scalar(value) != scalar(known[key])}
