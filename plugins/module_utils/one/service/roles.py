# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of the VMs of a role: what a task may ask for, what they are, and how OneFlow is asked to change them.

OneFlow schedules an action on every VM of a role and says yes whatever comes of it, so only the VMs themselves tell.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ..core.runner import reject
from ..data.states import VM_FAILURES, vm_destination, vm_failure
from ..data.xml import template_of, vectors

Vm = Mapping[str, Any]
ABSENT = "absent"
#: Options of a role that are attributes of it and may change while the service lives.
SETTINGS = ("min_vms", "max_vms", "cooldown", "elasticity_policies", "scheduled_policies")


class RoleState(NamedTuple):
    """A state for roles. action: OneFlow's name of it; goal: the state of the VMs; sources: states it works from."""

    action: str
    goal: str
    sources: frozenset[str]


ROLE_STATES = {
    "running": RoleState(
        "resume", "RUNNING", frozenset({"POWEROFF", "SUSPENDED", "STOPPED", "UNDEPLOYED", "UNKNOWN"})
    ),
    "poweroff": RoleState("poweroff", "POWEROFF", frozenset({"RUNNING", "UNKNOWN"})),
    "suspended": RoleState("suspend", "SUSPENDED", frozenset({"RUNNING"})),
    "stopped": RoleState("stop", "STOPPED", frozenset({"RUNNING", "SUSPENDED"})),
    "undeployed": RoleState("undeploy", "UNDEPLOYED", frozenset({"RUNNING", "POWEROFF", "UNKNOWN"})),
    "rebooted": RoleState("reboot", "RUNNING", frozenset({"RUNNING"})),
}
#: Roles in these are left alone by the waits of a task.
PARKING = frozenset({"poweroff", "suspended", "stopped", "undeployed"})


def roles_argument_spec() -> dict[str, dict[str, Any]]:
    """The option of what the roles of a service shall be."""
    return {
        "roles": {
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "cardinality": {"type": "int"},
                "min_vms": {"type": "int"},
                "max_vms": {"type": "int"},
                "cooldown": {"type": "int"},
                "elasticity_policies": {"type": "list", "elements": "dict"},
                "scheduled_policies": {"type": "list", "elements": "dict"},
                "state": {"type": "str", "choices": [*ROLE_STATES, ABSENT]},
                "definition": {"type": "dict"},
                "template_contents": {"type": "dict"},
                "user_inputs_values": {"type": "dict"},
            },
        },
    }


def power_words(vms: Iterable[Vm]) -> str:
    """What the VMs of a role are or are on their way to, in one word where they agree; "" without VMs."""
    return ", ".join(sorted({vm_destination(str(vm["state"])).lower() for vm in vms}))


def role_vms(service: Mapping[str, Any], role: str, vms: Sequence[Vm]) -> list[Vm]:
    """Those of the VMs that belong to the role."""
    ids = set(service["roles"].get(role, {}).get("vms", []))
    return [vm for vm in vms if vm["id"] in ids]


def needs_action(state: str, vms: Sequence[Vm]) -> bool:
    """Whether VMs of a role have to be told; a reboot is wanted whenever there is something to reboot."""
    if state == "rebooted":
        return bool(vms)
    return any(vm_destination(str(vm["state"])) != ROLE_STATES[state].goal for vm in vms)


def check_action(name: str, role: str, state: str, vms: Sequence[Vm]) -> None:
    """Refuse what OpenNebula would refuse VM by VM, where nobody would hear of it."""
    wanted = ROLE_STATES[state]
    told = []
    for vm in vms:
        destination = vm_destination(str(vm["state"]))
        if destination in wanted.sources or (destination == wanted.goal and state != "rebooted"):
            continue
        why = vm_failure(str(vm["state"]), vm["attributes"]) if destination in VM_FAILURES else destination
        told.append(f"VM {vm['id']} is {why}")
    if told:
        hint = "use state recovered of the service" if state == "running" else "bring the role to state running first"
        reject(f"role {role} of service {name} cannot be {state}: {'; '.join(told)}", hint)


def refusals(bodies: Iterable[Mapping[str, Any]], action: str) -> str:
    """Why scheduled actions of that name came to nothing, as oned wrote it into the VMs; "" where none did."""
    told = []
    for body in bodies:
        entries = [entry for entry in vectors(template_of(dict(body)), "SCHED_ACTION") if entry.get("ACTION") == action]
        last = max(entries, key=lambda entry: int(entry.get("ID", 0)), default=None)
        if last and last.get("MESSAGE"):
            told.append(f"VM {body.get('ID')}: {last['MESSAGE']}")
    return "; ".join(told)
