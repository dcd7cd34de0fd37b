# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Options of what a VM consists of: attributes, context, devices, capacity."""

from __future__ import annotations


class ModuleDocFragment:
    """Fragment opennebula.flower.vm_shape."""

    DOCUMENTATION = r"""
options:
  attributes:
    description:
      - User attributes of the VM. Others that it has are kept.
      - What OpenNebula keeps apart from user attributes, such as C(TOPOLOGY), C(VMGROUP), C(NIC_ALIAS) or
        C(SCHED_ACTION), is used for new VMs and not compared with existing ones.
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
      - OpenNebula stores C(PASSWORD) encrypted. Only administrators can compare it; for other users it is set at every
        run.
    type: dict
  remove_context:
    description:
      - Names of context variables to remove from existing VMs.
    type: list
    elements: str
    default: []
  updateconf:
    description:
      - Other configuration of the VM, each section a dictionary, which is merged into the one that the VM, or the VM
        template of a new VM, has.
      - The sections are C(OS), C(FEATURES), C(INPUT), C(GRAPHICS), C(VIDEO), C(RAW), C(CPU_MODEL) and C(BACKUP_CONFIG).
    type: dict
  nics:
    description:
      - Network interfaces that the VM shall have, for example C(NETWORK) or C(NETWORK_ID). New VMs get them instead of
        those of the template.
      - Existing VMs get those attached that they do not have. A NIC that has all that an entry says counts for one
        entry.
      - Existing VMs must be running or powered off for it. In a task that powers a VM off or on this is done while it
        is off.
      - NIC aliases and NICs that are passed through are not among them and stay as they are, also with O(detach).
    type: list
    elements: dict
  disks:
    description:
      - Disks that the VM shall have, for example C(IMAGE) or C(IMAGE_ID), or C(SIZE), C(TYPE) and C(FORMAT) of a
        volatile disk. They are treated like O(nics).
      - C(SIZE) is a whole number of MB. If a disk of the same image is smaller, it is enlarged.
    type: list
    elements: dict
  pcis:
    description:
      - PCI devices to pass through, for example C(VENDOR), C(DEVICE) and C(CLASS), or C(SHORT_ADDRESS). They are
        treated like O(nics), but existing VMs must be powered off or undeployed for it.
      - NICs that are passed through (C(TYPE=NIC) and C(NETWORK)) are given to new VMs only. Existing ones are neither
        attached nor detached.
    type: list
    elements: dict
  detach:
    description:
      - Whether devices that existing VMs have and that O(nics), O(disks) or O(pcis) do not list are detached. Sorts of
        devices whose option is not given are not touched.
    type: bool
    default: false
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
      - Running VMs are resized only if their hypervisor can do that. O(state=poweroff) in the same task powers the VM
        off first.
    type: int
  enforce_capacity:
    description:
      - Whether a VM is only resized if its host has room for it. OpenNebula ignores V(false) from users who are no
        administrators.
    type: bool
    default: true
"""
