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
  - Returns hosts with state, free and reserved room, NUMA nodes, and PCI devices with the VM that has each.
  - This takes one call, and a second one where a VM has a PCI device.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.info
  - opennebula.flower.info.states
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
options:
  cluster:
    description:
      - Return only hosts of the cluster of this name or id.
    type: str
"""

EXAMPLES = r"""
- name: Read all hosts
  opennebula.flower.one_host_info:
  register: found

- name: Read the hosts that can run VMs now
  opennebula.flower.one_host_info:
    cluster: default
    states: [MONITORED]
  register: ready
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
    vms_per_thread:
      description: How many VMs may be pinned to one CPU.
      type: int
    cpu:
      description:
        - C(total), C(reserved), C(used) and C(free), in hundredths of a core. C(used) is what was given to VMs, and
          C(free) what else may be given. C(reserved) is less than 0 where more is given away than there is.
      type: dict
      sample: {total: 800, reserved: 0, used: 60, free: 740}
    memory:
      description: C(total), C(reserved), C(used) and C(free), in MB.
      type: dict
    disk:
      description: C(total), C(used) and C(free) room for disks in MB, and the same for each of C(datastores) by C(id).
      type: dict
    pci_devices:
      description: PCI devices that can be given to VMs.
      type: list
      elements: dict
      contains:
        address:
          description: Address in OpenNebula's form.
          type: str
          sample: "0000:02:00:0"
        short_address:
          description: Address as C(lspci) writes it, and as C(SHORT_ADDRESS) of a VM template names the device.
          type: str
          sample: "02:00.0"
        type:
          description: Vendor, device and class in one.
          type: str
          sample: "10de:0863:0302"
        vendor:
          description: Vendor in hexadecimal digits.
          type: str
          sample: 10de
        device:
          description: Device in hexadecimal digits.
          type: str
          sample: "0863"
        class:
          description: Class in hexadecimal digits.
          type: str
          sample: "0302"
        vendor_name:
          description: Vendor in words.
          type: str
          sample: NVIDIA Corporation
        device_name:
          description: Device in words.
          type: str
        class_name:
          description: Class in words.
          type: str
        numa_node:
          description: Id of the NUMA node that it is attached to, or none.
          type: int
        interface:
          description: Name of the network interface that it is on the host, or empty.
          type: str
        sriov:
          description: Whether it is a physical (V(pf)) or virtual (V(vf)) function, or V(no) SR-IOV device.
          type: str
        sriov_functions:
          description: Number of virtual functions that a physical one offers.
          type: int
        uuid:
          description: UUID of a mediated device.
          type: str
        mdev_mode:
          description: Mode of a mediated device.
          type: str
        profiles:
          description: Profiles that a vGPU offers, each with C(id) and C(name).
          type: list
          elements: dict
        vm_id:
          description: Id of the VM that has the device, or none.
          type: int
        vm:
          description:
            - C(id), C(name) and C(owner) of that VM, or none. Name and owner are none where this user may not see it.
          type: dict
    numa_nodes:
      description:
        - NUMA nodes, each with C(id), C(memory) (C(total) and C(used), in MB), C(distance) (ids of the nodes, the
          nearest first), C(hugepages) (C(size) in KB, C(pages) and C(used)), and C(cores) (C(id), C(free),
          C(dedicated) and C(cpus), each with C(id), C(reserved), and C(vm_id) of the VM pinned to it).
      type: list
      elements: dict
    monitoring:
      description:
        - What was measured last, C(timestamp) in seconds since 1970, C(cpu_used), C(cpu_free), C(memory_used),
          C(memory_free), and C(bytes_sent) and C(bytes_received) since the host was started.
        - Empty unless one host is read by its id; OpenNebula does not tell it of all hosts at once.
      type: dict
    attributes:
      description: All other attributes.
      type: dict
    error:
      description: Why the host is in state ERROR, in the words of the monitoring.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run_info
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.hosts import read_hosts
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.objects import (
    info_argument_spec,
    states_argument_spec,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **info_argument_spec("owner", "group", "labels", "mark"),
            **states_argument_spec(),
            "cluster": {"type": "str"},
        },
        supports_check_mode=True,
    )
    run_info(module, lambda: read_hosts(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
