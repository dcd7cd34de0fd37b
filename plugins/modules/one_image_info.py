#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_image_info
short_description: Read images of OpenNebula
version_added: 0.1.0
description:
  - Returns images with state, type, size, attributes, snapshots, and the VMs and images that use them.
  - Large pools are read 500 images at a time.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.info
  - opennebula.flower.info.owned
  - opennebula.flower.info.states
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
options:
  datastore:
    description:
      - Return only images in the datastore of this name or id.
    type: str
  type:
    description:
      - Return only images of this type.
    type: str
    choices: [OS, CDROM, DATABLOCK, KERNEL, RAMDISK, CONTEXT, BACKUP, FILESYSTEM]
  persistent:
    description:
      - Return only images that are persistent (V(true)), or only those that are not (V(false)).
    type: bool
"""

EXAMPLES = r"""
- name: Read one image
  opennebula.flower.one_image_info:
    id: 0
  register: found

- name: Read the images whose names begin with debian
  opennebula.flower.one_image_info:
    name: debian-*
    datastore: default

- name: Find the disks that keep what VMs write, and that no VM uses now
  opennebula.flower.one_image_info:
    type: DATABLOCK
    persistent: true
    states: [READY]
"""

RETURN = r"""
images:
  description: What was found, lowest id first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the image.
      type: int
    name:
      description: Name of the image.
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
      description: State in OpenNebula's words.
      type: str
      sample: READY
    state_id:
      description: Number of the state.
      type: int
    type:
      description: Type of the image.
      type: str
      sample: OS
    persistent:
      description: Whether VMs keep their changes in the image.
      type: bool
    enabled:
      description: Whether new VMs may use the image.
      type: bool
    size:
      description: Size in MB.
      type: int
    path:
      description: File or URL that it was made from.
      type: str
    source:
      description: Where the datastore keeps it.
      type: str
    format:
      description: Format of the image file.
      type: str
    datastore:
      description: C(id) and C(name) of its datastore.
      type: dict
    running_vms:
      description: Number of VMs that use it.
      type: int
    vms:
      description: Ids of these VMs.
      type: list
      elements: int
    lock:
      description: Lock of the image, V(none) without one.
      type: str
      sample: none
    fs:
      description: File system that an empty disk was made with.
      type: str
    registered:
      description: When it was made, in seconds since 1970.
      type: int
    modified:
      description: When it was changed last, in seconds since 1970.
      type: int
    clones:
      description: Ids of the images that were cloned from it.
      type: list
      elements: int
    app_clones:
      description: Ids of the marketplace apps that were made of it.
      type: list
      elements: int
    cloning_operations:
      description: Number of copies that are being made of it now.
      type: int
    cloned_from:
      description: Id of the image that it is being copied from now, or none.
      type: int
    snapshots:
      description:
        - Its snapshots, each with C(id), C(name), C(date) in seconds since 1970, C(size) in MB, C(parent) and
          C(active).
      type: list
      elements: dict
    backup_increments:
      description:
        - Of an image that is a backup its parts, each with C(id), C(type), C(date), C(size) in MB, C(source) and
          C(parent).
      type: list
      elements: dict
    backup_disks:
      description: Of an image that is a backup the ids of the VM's disks in it.
      type: list
      elements: int
    labels:
      description: Its labels, sorted.
      type: list
      elements: str
    attributes:
      description: All other attributes; secrets are masked.
      type: dict
    error:
      description: Why the image is in state ERROR, in the words of the datastore driver.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run_info
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.states import IMAGE_TYPES
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.objects import (
    info_argument_spec,
    read_images,
    states_argument_spec,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **info_argument_spec(),
            **states_argument_spec(),
            "datastore": {"type": "str"},
            "type": {"type": "str", "choices": list(IMAGE_TYPES)},
            "persistent": {"type": "bool"},
        },
        supports_check_mode=True,
    )
    run_info(module, lambda: read_images(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
