# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ansible hosts for virtual machines: one naming, grouping and set of variables for the module and the inventory.

`one_service` returns these hosts for `add_host`, and the inventory plugin builds its inventory from them, so a
playbook that has just deployed a federation and one that reads the inventory see the same machines under the same
names. Pure functions; a VM is the mapping that `service_vms.vm_view` makes.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from .compare import masked
from .marks import MARK_ATTRIBUTE

Vm = dict[str, Any]
Host = dict[str, Any]

#: The group that every host made here belongs to.
BASE_GROUP = "opennebula"
#: Attribute in USER_TEMPLATE that says what a VM without a service is for.
ROLE_ATTRIBUTE = "FLOWER_ROLE"

_NOT_IN_GROUP = re.compile(r"[^A-Za-z0-9_]")
_NOT_IN_HOST = re.compile(r"[^A-Za-z0-9_.-]+")


def group_name(text: str) -> str:
    """A valid Ansible group name: every other character is an underscore, and none starts with a digit."""
    name = _NOT_IN_GROUP.sub("_", text)
    return f"_{name}" if name[:1].isdigit() else name


def host_name(text: str) -> str:
    """A host name for an inventory: no blanks, colons or brackets, which Ansible would read as ranges or ports."""
    return _NOT_IN_HOST.sub("-", text).strip("-") or "vm"


def address_of(vm: Vm, network: str | int | None = None) -> str | None:
    """The address to reach the VM at: that of its first NIC, or of its first NIC on the network (name or id)."""
    for nic in vm.get("nics", []):
        if network is not None and str(network) not in (str(nic.get("network")), str(nic.get("network_id"))):
            continue
        address = nic.get("ip") or nic.get("ip6")
        if address:
            return str(address)
    return None


def reachable(vm: Vm, states: Sequence[str] = ("running",), network: str | int | None = None) -> bool:
    """Whether the VM is in one of the states (`running`, `poweroff`, …) and has an address there."""
    return str(vm["state"]).lower() in states and address_of(vm, network) is not None


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
                "name": host_name(f"{service['name']}-{role}-{vm_id}"),
                "groups": _distinct([group_name(role), federation, BASE_GROUP]),
                "vars": {
                    **_variables(vm, network),
                    "one_role": role,
                    "one_service_id": int(service["id"]),
                    "one_service_name": str(service["name"]),
                },
            })
    return hosts


def standalone_hosts(
    vms: Iterable[Vm],
    *,
    states: Sequence[str] = ("running",),
    network: str | int | None = None,
) -> list[Host]:
    """The hosts of VMs without a service, named as the VM; several of one name get their VM ids appended.

    The ownership mark of a VM puts it into the federation's group, the attribute FLOWER_ROLE into that of the role, so
    that machines made one by one are found like those of a service.
    """
    machines = sorted(vms, key=lambda item: int(item["id"]))
    # Counted over all of them, so that no name depends on which machines happen to run or are asked for.
    count = Counter(host_name(str(vm["name"])) for vm in machines)
    hosts: list[Host] = []
    for vm in machines:
        if not reachable(vm, states, network):
            continue
        variables = _variables(vm, network)
        attributes = variables["one_attributes"]
        role, mark = attributes.get(ROLE_ATTRIBUTE), attributes.get(MARK_ATTRIBUTE)
        groups = [group_name(str(role))] if role else []
        groups += [group_name(f"federation_{mark}")] if mark else []
        if role:
            variables["one_role"] = str(role)
        name = host_name(str(vm["name"]))
        if count[name] > 1:
            name = f"{name}-{vm['id']}"
        hosts.append({"name": name, "groups": [*groups, BASE_GROUP], "vars": variables})
    return hosts


def unique_names(hosts: list[Host]) -> list[Host]:
    """The hosts with `-<VM id>` appended to every name that occurs more than once; the order stays."""
    count = Counter(host["name"] for host in hosts)
    return [
        {**host, "name": f"{host['name']}-{host['vars']['one_vm_id']}"} if count[host["name"]] > 1 else host
        for host in hosts
    ]


def _distinct(names: Iterable[str]) -> list[str]:
    return list(dict.fromkeys(names))
