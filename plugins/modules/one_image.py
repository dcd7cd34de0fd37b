#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_image
short_description: Manage images of OpenNebula
version_added: 0.1.0
description:
  - Registers an image from a file or URL, creates an empty data block, or clones an image, and waits until it can be
    used.
  - Changes name, type, persistence, attributes, labels, permissions, owner and lock of an existing image, and deletes
    images.
  - An image in state C(ERROR) ends the task with the reason that OpenNebula keeps in the image.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.object
  - opennebula.flower.mark
  - opennebula.flower.wait
  - opennebula.flower.attributes
  - opennebula.flower.attributes.full
  - opennebula.flower.attributes.actiongroup
options:
  path:
    description:
      - File on the front-end, or URL, that a new image is made from. It cannot be changed later.
    type: str
  source:
    description:
      - What the datastore already holds and only has to be registered, such as the path of a volume. Nothing is copied.
        O(size) and O(format) are required with it. It cannot be changed later.
    type: str
  size:
    description:
      - Size in MB of a new, empty data block, or least size of one made from O(path). It cannot be changed later.
    type: int
  format:
    description:
      - Format of a new data block, such as V(raw) or V(qcow2). A datastore that has a format of its own takes that one.
        It cannot be changed later.
    type: str
  fs:
    description:
      - File system to be made in a new data block, such as V(ext4). It cannot be changed later.
    type: str
  type:
    description:
      - Type of the image. A new one is V(OS) if O(path) is given and V(DATABLOCK) otherwise.
      - OpenNebula changes disks into disks (V(OS), V(CDROM), V(DATABLOCK)) and files into files (V(KERNEL),
        V(RAMDISK), V(CONTEXT)) only.
    type: str
    choices: [OS, CDROM, DATABLOCK, KERNEL, RAMDISK, CONTEXT, FILESYSTEM]
  datastore:
    description:
      - Name or id of the datastore for a new image. The default is that of the source for a clone, otherwise datastore
        1, which OpenNebula calls C(default), or 2, C(files), for the types V(KERNEL), V(RAMDISK) and V(CONTEXT).
      - An image cannot be moved. Where the existing one is in another datastore, the module says so in a warning.
    type: str
  persistent:
    description:
      - Whether VMs keep their changes in the image. This cannot change while a VM uses the image.
      - A clone is as persistent as its source unless this is given or the cloud has another rule.
    type: bool
  enabled:
    description:
      - Whether new VMs may use the image. An image that a VM uses cannot be disabled.
    type: bool
  force:
    description:
      - Whether to delete an image that is still being copied at once, instead of waiting for the end of the copy. This
        takes ADMIN rights and may leave files in the datastore.
    type: bool
    default: false
  attributes:
    description:
      - Attributes of the image, such as C(DEV_PREFIX) or C(DESCRIPTION), as a dictionary or as text in OpenNebula's
        template language. Others that the image has are kept.
    type: raw
  wait_timeout:
    description:
      - Seconds to wait for the image to be usable or gone.
    type: int
    default: 600
notes:
  - OpenNebula takes away the O(lock) of an image whenever the state of the image changes, for example when a VM begins
    to use it. The next run of the task locks it again.
  - What needs an image that is not being copied, such as O(persistent) of a clone or O(lock), waits for the end of the
    copy also with O(wait=false).
seealso:
  - module: opennebula.flower.one_image_info
"""

EXAMPLES = r"""
- name: Register an image
  opennebula.flower.one_image:
    name: debian-12
    path: /var/tmp/debian-12.qcow2
    datastore: default
    attributes:
      DEV_PREFIX: vd
    permissions: "640"

- name: Have a persistent disk of 10 GB
  opennebula.flower.one_image:
    name: data
    size: 10240
    persistent: true

- name: Have a formatted disk, and protect it from changes and deletion
  opennebula.flower.one_image:
    name: results
    size: 2048
    format: qcow2
    fs: ext4
    lock: manage

- name: Clone an image into another datastore
  opennebula.flower.one_image:
    name: debian-12-test
    clone_from: debian-12
    datastore: default

- name: Make the clone one that VMs write to
  opennebula.flower.one_image:
    name: debian-12-test
    persistent: true
    labels: [test]

- name: Delete an image and wait until it is gone
  opennebula.flower.one_image:
    name: debian-12-test
    state: absent

- name: Delete a locked image
  opennebula.flower.one_image:
    name: results
    lock: none
    state: absent
"""

RETURN = r"""
image:
  description: The image after the run; in check mode as far as it can be known. Empty if it is absent.
  returned: success
  type: dict
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
    lock:
      description: Lock of the image, V(none) if there is none.
      type: str
      sample: none
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
    fs:
      description: File system that a data block was formatted with.
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
steps:
  description: The writes that were made, or would be made, in words.
  returned: success
  type: list
  elements: str
  sample: ["create image debian-12"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run
from ansible_collections.opennebula.flower.plugins.module_utils.one.image.image import argument_spec
from ansible_collections.opennebula.flower.plugins.module_utils.one.image.resource import ImageResource


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[
            ("id", "name"),
            ("path", "source", "clone_from"),
            ("size", "clone_from"),
            ("path", "format"),
            ("path", "fs"),
        ],
        required_one_of=[("id", "name")],
        required_by={"source": ["size", "format"], "format": ["size"], "fs": ["size"]},
        supports_check_mode=True,
    )
    run(module, lambda: ImageResource(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
