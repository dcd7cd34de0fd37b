# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs without a service as hosts, named and grouped as the inventory plugin does it."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vm_hosts
short_description: VMs without a service as hosts for add_host
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Makes hosts of VMs that say their role themselves in the attribute C(FLOWER_ROLE), with the names, groups and
    variables that the inventory plugin P(opennebula.flower.opennebula#inventory) gives to them.
  - VMs that do not run, have no address or no role are left out.
positional: _input, network
options:
  _input:
    description: VMs as M(opennebula.flower.one_vm_info) returns them.
    type: list
    elements: dict
    required: true
  network:
    description: Name or id of the network whose address is used. Without it, that of the first NIC.
    type: str
"""

EXAMPLES = r"""
- name: Add VMs to the inventory of this play
  ansible.builtin.add_host:
    name: "{{ item.name }}"
    groups: "{{ item.groups }}"
    ansible_host: "{{ item.vars.ansible_host }}"
  loop: "{{ found.vms | opennebula.flower.vm_hosts('private') }}"
"""

RETURN = r"""
_value:
  description: Hosts with C(name), C(groups) and C(vars), lowest VM id first.
  type: list
  elements: dict
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.compare import masked
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.marks import mark_of
from ansible_collections.opennebula.flower.plugins.module_utils.one.inventory.cloud_hosts import ROLE_ATTRIBUTE
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.hosts import (
    BASE_GROUP,
    address_of,
    group_name,
    host_name,
    reachable,
)


def vm_hosts(vms: Any, network: str | int | None = None) -> list[dict[str, Any]]:
    """`[{"name", "groups": […], "vars": {…}}]`; AnsibleFilterError where `vms` is no list of dictionaries."""
    if isinstance(vms, str) or not isinstance(vms, Sequence) or not all(isinstance(vm, Mapping) for vm in vms):
        raise AnsibleFilterError("vm_hosts needs a list of VMs as one_vm_info returns them.")
    names = Counter(host_name(str(vm["name"])) for vm in vms)
    hosts = []
    for vm in sorted(map(dict, vms), key=lambda one: int(one["id"])):
        attributes = vm.get("attributes") or {}
        role = attributes.get(ROLE_ATTRIBUTE)
        if not role or not reachable(vm, network=network):
            continue
        name, federation = host_name(str(vm["name"])), mark_of(attributes)
        groups = [group_name(role), *([group_name(f"federation_{federation}")] if federation else []), BASE_GROUP]
        hosts.append({
            "name": name if names[name] == 1 else f"{name}-{vm['id']}",
            "groups": groups,
            "vars": {
                "ansible_host": address_of(vm, network),
                "one_vm_id": int(vm["id"]),
                "one_vm_name": str(vm["name"]),
                "one_attributes": masked(dict(attributes)),
                "one_role": str(role),
            },
        })
    return hosts


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"vm_hosts": vm_hosts}
