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
  - Has one VM, an exact number of them, or all VMs that fit a description, in a given state. Missing VMs are made from
    a VM template.
  - Changes attributes, context, capacity, disks, NICs, PCI devices, labels, permissions, owner and lock of existing
    VMs.
  - VM names are not unique in OpenNebula. If two runs make a VM of one name at the same time, the one with the lower id
    stays and both runs go on with it.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.mark
  - opennebula.flower.vm_shape
  - opennebula.flower.wait
  - opennebula.flower.attributes
  - opennebula.flower.attributes.full
  - opennebula.flower.attributes.actiongroup
attributes:
  idempotent:
    support: partial
    details:
      - O(state=rebooted) reboots at every run.
      - O(state=recovered) with O(recover=retry) tries again at every run that finds the VM failed.
options:
  id:
    description:
      - Id of an existing VM; V(0) is an id like any other.
      - One of O(id), O(ids), O(name), O(match_name), O(match_labels) and O(match_attributes) is required.
    type: int
  ids:
    description:
      - Ids of several existing VMs. They are read in one call.
    type: list
    elements: int
  name:
    description:
      - Name of the VM, or what the names of several begin with, see O(count). VMs in state DONE do not count.
    type: str
  count:
    description:
      - Exact number of VMs, named C(<name>-0), C(<name>-1) and so on. Too many are removed from the highest number
        down.
      - Together with O(match_name), O(match_labels) or O(match_attributes) the VMs that fit are counted, whatever their
        names are. New ones get the lowest free numbers behind O(name), and O(match_labels) and O(match_attributes) so
        that they are found again.
    type: int
  match_name:
    description:
      - All VMs whose names fit this pattern; C(*), C(?) and C([…]) mean what they mean in a shell.
      - If several of the C(match_…) options are given, VMs must fit all of them. Without O(count) no VM is created.
        With O(mark), VMs without that mark do not fit. Together with O(name) they need O(count).
    type: str
  match_labels:
    description:
      - All VMs that have all of these labels, see O(match_name). A label also stands for those below it; V(web) finds
        C(web/front).
    type: list
    elements: str
  match_attributes:
    description:
      - All VMs that have these user attributes; a null value fits any value. See O(match_name).
    type: dict
  new_name:
    description:
      - Name that the VM shall have.
    type: str
  state:
    description:
      - State that the VMs shall be in; with the default V(running) every task boots VMs that are off, so give
        V(present) to tasks that only change something else.
      - V(present) only makes sure that they exist. V(rebooted) reboots them. V(absent) terminates them, also if they
        have failed.
      - V(recovered) does what O(recover) says to VMs that are in a failure state, and nothing to others.
    type: str
    choices: [present, running, poweroff, suspended, stopped, undeployed, hold, rebooted, recovered, absent]
    default: running
  hard:
    description:
      - Whether the VM is cut off instead of being asked to shut down.
      - With O(state=absent) this also deletes a VM that hangs on its way to another state, and with
        O(state=recovered) such a VM counts as failed. Both need administration rights for the VM.
    type: bool
    default: false
  recover:
    description:
      - How to recover VMs with O(state=recovered). This needs administration rights for the VM.
      - V(retry) does again what failed. V(success) goes on as if it had worked. V(delete-recreate) makes the VM anew on
        a host that the scheduler chooses, with fresh disks. V(failure) gives up an operation that hangs, see O(hard).
    type: str
    choices: [retry, success, failure, delete-recreate]
    default: retry
  template:
    description:
      - Name or id of the VM template that missing VMs are made from.
    type: str
  template_owner:
    description:
      - Owner of O(template), needed if several users have a template of that name.
    type: str
  persistent:
    description:
      - Whether new VMs are made from a private copy of O(template) and of its images, which OpenNebula makes and which
        stay when the VM ends. Their names are other ones, so O(disks) is not compared with the disks of an existing VM.
    type: bool
    default: false
  datastore:
    description:
      - Name or id of the system datastore for new VMs.
    type: str
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
  lock:
    description:
      - Lock that the VMs shall have. V(use) and V(all) forbid every operation, V(manage) those that change a VM,
        V(admin) only administrative ones. OpenNebula keeps V(all) as V(use).
      - V(none) unlocks before everything else. A VM that shall be locked is unlocked for other changes and locked
        again. Without this option the lock stays, and OpenNebula refuses what it forbids.
    type: str
    choices: [none, use, manage, admin, all]
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

- name: Have a second NIC, more memory and a better processor model, for which the VM is powered off first
  opennebula.flower.one_vm:
    name: web
    state: poweroff
    memory: 128
    nics:
      - NETWORK: private
      - NETWORK: private
    updateconf:
      CPU_MODEL:
        MODEL: host-passthrough

- name: Take the second NIC away again
  opennebula.flower.one_vm:
    name: web
    nics:
      - NETWORK: private
    detach: true
    state: present

- name: Remove a context variable
  opennebula.flower.one_vm:
    name: web
    remove_context: [GREETING]
    state: present

- name: Forbid everybody to touch the VM
  opennebula.flower.one_vm:
    name: web
    lock: use
    state: present

- name: Unlock it
  opennebula.flower.one_vm:
    name: web
    lock: none
    state: present

- name: Publish an attribute on VM 0
  opennebula.flower.one_vm:
    id: 0
    state: present
    attributes:
      STAGE: production

- name: Label a VM, whether it runs or not
  opennebula.flower.one_vm:
    name: web
    labels: [web]
    state: present

- name: Have exactly two VMs with a label, whatever they are called
  opennebula.flower.one_vm:
    name: worker
    match_labels: [workers]
    count: 2
    template: debian-12

- name: Power off everything that has a label
  opennebula.flower.one_vm:
    match_labels: [workers]
    state: poweroff

- name: Try again what failed
  opennebula.flower.one_vm:
    match_name: worker-*
    state: recovered
    recover: retry

- name: Power on some VMs
  opennebula.flower.one_vm:
    ids: [0, 1]
    state: running

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
steps:
  description: The writes that were made, or would be made, in words.
  returned: success
  type: list
  elements: str
  sample: ["create VM worker-2"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import api_argument_spec
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.lock import lock_argument_spec
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.wait import wait_argument_spec
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm.set import VmResource
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm.shape import shape_argument_spec

MATCHING = ("match_name", "match_labels", "match_attributes")
RECOVER = ("retry", "success", "failure", "delete-recreate")
STATES = ["present", "running", "poweroff", "suspended", "stopped", "undeployed", "hold", "rebooted", "recovered",
          "absent"]  # fmt: skip


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **api_argument_spec(),
            **wait_argument_spec(),
            **lock_argument_spec(),
            **shape_argument_spec(),
            "id": {"type": "int"},
            "ids": {"type": "list", "elements": "int"},
            "match_name": {"type": "str"},
            "match_labels": {"type": "list", "elements": "str"},
            "match_attributes": {"type": "dict"},
            "name": {"type": "str"},
            "count": {"type": "int"},
            "new_name": {"type": "str"},
            "state": {"type": "str", "choices": STATES, "default": "running"},
            "hard": {"type": "bool", "default": False},
            "recover": {"type": "str", "choices": list(RECOVER), "default": "retry"},
            "template": {"type": "str"},
            "template_owner": {"type": "str"},
            "persistent": {"type": "bool", "default": False},
            "datastore": {"type": "str"},
            "labels": {"type": "list", "elements": "str"},
            "permissions": {"type": "str"},
            "owner": {"type": "str"},
            "group": {"type": "str"},
            "mark": {"type": "str"},
        },
        mutually_exclusive=[
            ("id", "ids", "name"),
            ("id", "ids", "match_name"),
            ("id", "ids", "match_labels"),
            ("id", "ids", "match_attributes"),
            ("id", "ids", "count"),
            ("ids", "new_name"),
            ("count", "new_name"),
        ],
        required_one_of=[("id", "ids", "name", *MATCHING)],
        required_by={"count": ("name",)},
        supports_check_mode=True,
    )
    run(
        module,
        lambda: VmResource(Connection(Settings.from_params(module.params)), module.params, module.check_mode),
    )


if __name__ == "__main__":
    main()
