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
  - Changes name, type, persistence, attributes, labels, permissions and owner of an existing image, and deletes images.
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
  size:
    description:
      - Size in MB of a new, empty data block, or least size of one made from O(path). It cannot be changed later.
    type: int
  type:
    description:
      - Type of the image. A new one is V(OS) if O(path) is given and V(DATABLOCK) otherwise.
    type: str
    choices: [OS, CDROM, DATABLOCK, KERNEL, RAMDISK, CONTEXT, FILESYSTEM]
  datastore:
    description:
      - Name or id of the datastore for a new image. The default is C(default), or that of the source for a clone.
    type: str
  persistent:
    description:
      - Whether VMs keep their changes in the image.
    type: bool
  enabled:
    description:
      - Whether new VMs may use the image.
    type: bool
  attributes:
    description:
      - Attributes of the image, such as C(DEV_PREFIX) or C(DESCRIPTION). Others that the image has are kept.
    type: dict
  wait_timeout:
    description:
      - Seconds to wait for the image to be usable or gone.
    type: int
    default: 600
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

- name: Clone an image
  opennebula.flower.one_image:
    name: debian-12-test
    clone_from: debian-12

- name: Delete an image and wait until it is gone
  opennebula.flower.one_image:
    name: debian-12-test
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
from ansible_collections.opennebula.flower.plugins.module_utils.one.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.image import argument_spec
from ansible_collections.opennebula.flower.plugins.module_utils.one.image_resource import ImageResource
from ansible_collections.opennebula.flower.plugins.module_utils.one.runner import run


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
