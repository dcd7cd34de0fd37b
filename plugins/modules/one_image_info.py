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
  - Returns images with state, type, size, attributes and the VMs that use them.
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
  datastore:
    description:
      - Return only images in the datastore of this name or id.
    type: str
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
from ansible_collections.opennebula.flower.plugins.module_utils.one.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.info import info_argument_spec, read_images
from ansible_collections.opennebula.flower.plugins.module_utils.one.runner import run_info


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={**info_argument_spec(), "datastore": {"type": "str"}},
        supports_check_mode=True,
    )
    run_info(module, lambda: read_images(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
