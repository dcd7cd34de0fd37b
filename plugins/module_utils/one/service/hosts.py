# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible hosts for virtual machines: one naming, grouping and set of variables for the module and the inventory.

`one_service` returns these hosts for `add_host`; the inventory plugin gives VMs of services the same names, groups and
variables (see inventory_hosts), so a playbook that has just deployed a federation and one that reads the inventory see
the same machines under the same names. Pure functions; a VM is the mapping that `service_vms.vm_view` makes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from ..data.compare import masked

Vm = dict[str, Any]
Host = dict[str, Any]

#: The group that every host made here belongs to.
BASE_GROUP = "opennebula"
#: Life-cycle states in which the guest goes on running: a backup at night takes no host out of an inventory.
RUNNING_STATES = frozenset({
    "RUNNING", "MIGRATE", "HOTPLUG", "HOTPLUG_SNAPSHOT", "HOTPLUG_NIC", "HOTPLUG_SAVEAS", "HOTPLUG_RESIZE",
    "DISK_SNAPSHOT", "DISK_SNAPSHOT_REVERT", "DISK_SNAPSHOT_DELETE", "DISK_RESIZE", "BACKUP",
})  # fmt: skip
# The same while the VM is off: oned works on its disks.
_WHILE_OFF = (
    ("HOTPLUG", "_POWEROFF"), ("DISK_", "_POWEROFF"), ("BACKUP", "_POWEROFF"),
    ("HOTPLUG", "_SUSPENDED"), ("DISK_", "_SUSPENDED"), ("HOTPLUG", "_UNDEPLOYED"), ("DISK_", "_UNDEPLOYED"),
    ("HOTPLUG", "_STOPPED"),
)  # fmt: skip

_NOT_IN_GROUP = re.compile(r"[^A-Za-z0-9_]")
_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9_.-]+")


def group_name(text: str) -> str:
    """A valid Ansible group name: every other character is an underscore, and none starts with a digit."""
    name = _NOT_IN_GROUP.sub("_", text)
    return f"_{name}" if name[:1].isdigit() else name


def host_name(text: str) -> str:
    """A host name for an inventory: no blanks, colons or brackets, which Ansible would read as ranges or ports."""
    return _NOT_IN_HOST.sub("-", text).strip("-") or "vm"


def service_host_name(service: str, role: str, vm_id: int) -> str:
    """The name of the host of a service's VM: it stays when others come and go."""
    return host_name(f"{service}-{role}-{vm_id}")


def address_of(vm: Vm, network: str | int | None = None) -> str | None:
    """The address to reach the VM at: that of its first NIC, or of its first NIC on the network (name or id)."""
    for nic in vm.get("nics", []):
        if network is not None and str(network) not in (str(nic.get("network")), str(nic.get("network_id"))):
            continue
        address = nic.get("ip") or nic.get("ip6")
        if address:
            return str(address)
    return None


def settled_state(state: str) -> str:
    """What a VM in this (one-word) state is, in lower case: `running` while its guest runs, `poweroff` while it is off.

    States on the way from one to another keep their names, for such a VM is neither.
    """
    if state in RUNNING_STATES:
        return "running"
    for begin, end in _WHILE_OFF:
        if state.startswith(begin) and state.endswith(end):
            return end[1:].lower()
    return state.lower()


def reachable(vm: Vm, states: Sequence[str] = ("running",), network: str | int | None = None) -> bool:
    """Whether the VM is in one of the states (`running`, `poweroff`, …) and has an address there."""
    return settled_state(str(vm["state"])) in states and address_of(vm, network) is not None


def _variables(vm: Vm, network: str | int | None) -> dict[str, Any]:
    return {
        "ansible_host": address_of(vm, network),
        "one_vm_id": int(vm["id"]),
        "one_vm_name": str(vm.get("name", "")),
        # Masked here, because module results are masked and both sources shall say the same.
        "one_attributes": masked(dict(vm.get("attributes") or {})),
    }


def service_hosts(
    service: dict[str, Any],
    vms: Iterable[Vm],
    *,
    states: Sequence[str] = ("running",),
    network: str | int | None = None,
) -> list[Host]:
    """The hosts of one service: `[{"name", "groups": […], "vars": {…}}]`, ordered by role and VM id.

    `service` needs `id`, `name`, `mark` (or None) and `roles` as `{name: {"vms": [ids]}}`; VMs that are not in one of
    the states, or have no address on the network, are left out.
    """
    federation = group_name(f"federation_{service.get('mark') or service['name']}")
    by_id = {int(vm["id"]): vm for vm in vms}
    hosts: list[Host] = []
    for role, details in service["roles"].items():
        for vm_id in sorted(int(number) for number in details.get("vms", [])):
            vm = by_id.get(vm_id)
            if vm is None or not reachable(vm, states, network):
                continue
            hosts.append({
                "name": service_host_name(service["name"], role, vm_id),
                "groups": _distinct([group_name(role), federation, BASE_GROUP]),
                "vars": {
                    **_variables(vm, network),
                    "one_role": role,
                    "one_service_id": int(service["id"]),
                    "one_service_name": str(service["name"]),
                },
            })
    return hosts


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
