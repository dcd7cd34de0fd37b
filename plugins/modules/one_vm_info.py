#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_vm_info
short_description: Read virtual machines of OpenNebula
version_added: 0.1.0
description:
  - Returns VMs with state, addresses, context and attributes. VMs in state DONE are only found by id, or if O(states)
    names that state.
  - The details of up to 500 VMs are read in one call.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.info
  - opennebula.flower.info.owned
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
options:
  states:
    description:
      - Return only VMs in one of these states, named as in the result, whatever their case. V(ACTIVE) is every VM that
        is on a host and not powered off, whatever its LCM state is.
    type: list
    elements: str
    default: []
    aliases: [state]
  attributes:
    description:
      - Return only VMs that have these user attributes; a null value fits any value.
    type: dict
  host:
    description:
      - Return only VMs on this host, given by name or id.
    type: str
  cluster:
    description:
      - Return only VMs on hosts of this cluster, given by name or id.
    type: str
"""

EXAMPLES = r"""
- name: Read the running workers
  opennebula.flower.one_vm_info:
    name: worker-*
    states: [RUNNING]
  register: found

- name: Read what is on a host and belongs to a project
  opennebula.flower.one_vm_info:
    host: sandbox
    attributes:
      STAGE: production

- name: Read VMs 0 and 1 in one call, whatever their state is
  opennebula.flower.one_vm_info:
    ids: [0, 1]
"""

RETURN = r"""
vms:
  description: What was found, lowest id first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the VM.
      type: int
    name:
      description: Name of the VM.
      type: str
    owner:
      description: C(id) and C(name) of the owner.
      type: dict
    group:
      description: C(id) and C(name) of the group.
      type: dict
    permissions:
      description: Permissions as three octal digits.
      type: str
      sample: "600"
    state:
      description: State in one word, which is the LCM state while the VM is active.
      type: str
      sample: RUNNING
    state_id:
      description: Number of the state.
      type: int
    lcm_state_id:
      description: Number of the LCM state.
      type: int
    host:
      description: C(id), C(name) and C(cluster_id) of its host; the ids are -1 if it has none.
      type: dict
    ip:
      description: First IPv4 address, empty if it has none.
      type: str
    nics:
      description: Its network interfaces, each with C(id), C(network), C(network_id), C(ip), C(ip6) and C(mac).
      type: list
      elements: dict
    disks:
      description: Its disks, each with C(id), C(image), C(image_id) and C(size) in MB.
      type: list
      elements: dict
    pcis:
      description: PCI devices passed through to it, each with C(id), C(address), C(vendor), C(device) and C(class).
      type: list
      elements: dict
    cpu:
      description: Share of physical CPUs.
      type: float
    vcpu:
      description: Number of virtual CPUs.
      type: int
    memory:
      description: Memory in MB.
      type: int
    context:
      description: Context variables; secrets are masked.
      type: dict
    updateconf:
      description: Other sections of its configuration, such as C(OS) and C(GRAPHICS); secrets are masked.
      type: dict
    template_id:
      description: Id of the VM template that it was made from.
      type: int
    deploy_id:
      description: Id that the hypervisor gave it.
      type: str
    created:
      description: When it was created, in seconds since 1970.
      type: int
    labels:
      description: Its labels, sorted.
      type: list
      elements: str
    attributes:
      description: Its user attributes; secrets are masked.
      type: dict
    lock:
      description: Its lock, V(none), V(use), V(manage) or V(admin).
      type: str
    error:
      description: Why the last operation failed, in the words of the cloud.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run_info
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.vms import read_vm_info, vm_info_argument_spec


def main() -> None:
    """Run the module."""
    module = AnsibleModule(argument_spec=vm_info_argument_spec(), supports_check_mode=True)
    run_info(module, lambda: read_vm_info(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
