#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_host_info
short_description: Read hosts of OpenNebula
version_added: 0.1.0
description:
  - Returns hosts with state, capacity and PCI devices.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.info
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
"""

EXAMPLES = r"""
- name: Read all hosts
  opennebula.flower.one_host_info:
  register: found
"""

RETURN = r"""
hosts:
  description: What was found, lowest id first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the host.
      type: int
    name:
      description: Name of the host.
      type: str
    state:
      description: State in OpenNebula's words.
      type: str
      sample: MONITORED
    state_id:
      description: Number of the state.
      type: int
    cluster:
      description: C(id) and C(name) of its cluster.
      type: dict
    im_mad:
      description: Monitoring driver.
      type: str
    vm_mad:
      description: Virtualisation driver.
      type: str
    running_vms:
      description: Number of VMs on it.
      type: int
    vms:
      description: Ids of these VMs.
      type: list
      elements: int
    cpu:
      description: C(total) and C(used), in percent of one core.
      type: dict
    memory:
      description: C(total) and C(used), in MB.
      type: dict
    pci_devices:
      description:
        - PCI devices that can be given to VMs, each with C(address), C(vendor), C(device), C(class), C(name),
          C(vendor_name) and C(vm_id), which is -1 while no VM has the device.
      type: list
      elements: dict
    attributes:
      description: All other attributes.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.info import info_argument_spec, read_hosts
from ansible_collections.opennebula.flower.plugins.module_utils.one.runner import run_info


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=info_argument_spec("owner", "labels", "mark"),
        supports_check_mode=True,
    )
    run_info(module, lambda: read_hosts(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
