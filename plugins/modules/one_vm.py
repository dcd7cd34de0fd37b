#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_vm
short_description: Manage virtual machines of OpenNebula
version_added: 0.1.0
description:
  - Has one VM, or an exact number of them, in a given state. Missing VMs are made from a VM template.
  - Changes attributes, context, capacity, labels, permissions and owner of existing VMs.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.mark
  - opennebula.flower.wait
  - opennebula.flower.attributes
  - opennebula.flower.attributes.full
  - opennebula.flower.attributes.actiongroup
attributes:
  idempotent:
    support: partial
    details:
      - O(state=rebooted) reboots at every run.
options:
  id:
    description:
      - Id of an existing VM; V(0) is an id like any other. One of O(id) and O(name) is required.
    type: int
  name:
    description:
      - Name of the VM, or what the names of several begin with, see O(count). VMs in state DONE do not count.
    type: str
  count:
    description:
      - Exact number of VMs, named C(<name>-0), C(<name>-1) and so on. Too many are removed from the highest number
        down.
    type: int
  new_name:
    description:
      - Name that the VM shall have.
    type: str
  state:
    description:
      - State that the VMs shall be in.
      - V(present) only makes sure that they exist. V(rebooted) reboots them. V(absent) terminates them.
    type: str
    choices: [present, running, poweroff, suspended, stopped, undeployed, hold, rebooted, absent]
    default: running
  hard:
    description:
      - Whether the VM is cut off instead of being asked to shut down.
    type: bool
    default: false
  template:
    description:
      - Name or id of the VM template that missing VMs are made from.
    type: str
  template_owner:
    description:
      - Owner of O(template), needed if several users have a template of that name.
    type: str
  attributes:
    description:
      - User attributes of the VM. Others that it has are kept.
    type: dict
  remove_attributes:
    description:
      - Names of user attributes to remove from existing VMs.
    type: list
    elements: str
    default: []
  context:
    description:
      - Context variables. Those of the template, such as C(NETWORK), C(TOKEN) and C(START_SCRIPT), are kept if not
        given here.
      - A value that refers to others (with a dollar sign) is compared by name only, because the cloud
        stores the result.
    type: dict
  nics:
    description:
      - Network interfaces of new VMs instead of those of the template, for example C(NETWORK) or C(NETWORK_ID).
    type: list
    elements: dict
  disks:
    description:
      - Disks of new VMs instead of those of the template.
    type: list
    elements: dict
  cpu:
    description:
      - Share of physical CPUs. Existing VMs are resized.
    type: float
  vcpu:
    description:
      - Number of virtual CPUs. Existing VMs are resized.
    type: int
  memory:
    description:
      - Memory in MB. Existing VMs are resized.
    type: int
  labels:
    description:
      - The complete list of labels. Labels are not touched if this is not given.
    type: list
    elements: str
  permissions:
    description:
      - Permissions as three octal digits in quotes, for owner, group and others; use is 4, manage 2, admin 1.
    type: str
  owner:
    description:
      - Name of the owner. Together with O(name) only VMs of that user are looked at. VMs of another owner, found by
        O(id) or just created, are given to that user.
    type: str
  group:
    description:
      - Name of the group that the VMs shall belong to.
    type: str
  wait_timeout:
    description:
      - Seconds to wait for the state of the VMs.
    type: int
    default: 300
seealso:
  - module: opennebula.flower.one_vm_info
"""

EXAMPLES = r"""
- name: Have a running VM
  opennebula.flower.one_vm:
    name: web
    template: debian-12
    context:
      GREETING: hello

- name: Have exactly three workers
  opennebula.flower.one_vm:
    name: worker
    count: 3
    template: debian-12
    labels: [workers]

- name: Power a VM off
  opennebula.flower.one_vm:
    name: web
    state: poweroff

- name: Publish an attribute on VM 0
  opennebula.flower.one_vm:
    id: 0
    state: present
    attributes:
      STAGE: production

- name: Terminate the workers
  opennebula.flower.one_vm:
    name: worker
    count: 0
"""

RETURN = r"""
vm:
  description: The VM after the run, if one VM was asked for; otherwise empty. For its fields see RV(vms).
  returned: success
  type: dict
vms:
  description: The VMs after the run, in the order of their names; in check mode as far as they can be known.
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
      description: C(id) and C(name) of its host; C(id) is -1 if it has none.
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
    error:
      description: Why the last operation failed, in the words of the cloud.
      type: str
steps:
  description: The writes that were made, or would be made, in words.
  returned: success
  type: list
  elements: str
  sample: ["create VM worker-2"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.runner import run
from ansible_collections.opennebula.flower.plugins.module_utils.one.settings import api_argument_spec
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm_set import VmResource
from ansible_collections.opennebula.flower.plugins.module_utils.one.wait import wait_argument_spec

STATES = ["present", "running", "poweroff", "suspended", "stopped", "undeployed", "hold", "rebooted", "absent"]


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **api_argument_spec(),
            **wait_argument_spec(),
            "id": {"type": "int"},
            "name": {"type": "str"},
            "count": {"type": "int"},
            "new_name": {"type": "str"},
            "state": {"type": "str", "choices": STATES, "default": "running"},
            "hard": {"type": "bool", "default": False},
            "template": {"type": "str"},
            "template_owner": {"type": "str"},
            "attributes": {"type": "dict"},
            "remove_attributes": {"type": "list", "elements": "str", "default": []},
            "context": {"type": "dict"},
            "nics": {"type": "list", "elements": "dict"},
            "disks": {"type": "list", "elements": "dict"},
            "cpu": {"type": "float"},
            "vcpu": {"type": "int"},
            "memory": {"type": "int"},
            "labels": {"type": "list", "elements": "str"},
            "permissions": {"type": "str"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mark": {"type": "str"},
        },
        mutually_exclusive=[("id", "name"), ("id", "count"), ("count", "new_name")],
        required_one_of=[("id", "name")],
        supports_check_mode=True,
    )
    run(
        module,
        lambda: VmResource(Connection(Settings.from_params(module.params)), module.params, module.check_mode),
    )


if __name__ == "__main__":
    main()
