#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_template_info
short_description: Read VM templates of OpenNebula
version_added: 0.1.0
description:
  - Returns VM templates with all their attributes.
  - Large pools are read 500 templates at a time.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.info
  - opennebula.flower.info.owned
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
"""

EXAMPLES = r"""
- name: Read the VM templates of one federation
  opennebula.flower.one_template_info:
    mark: hospital
  register: found

- name: Read the VM templates of a group that carry the label web, or one below it
  opennebula.flower.one_template_info:
    group: users
    labels: [web]
"""

RETURN = r"""
templates:
  description: What was found, lowest id first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the template.
      type: int
    name:
      description: Name of the template.
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
      description: Lock of the template, V(none) without one.
      type: str
      sample: none
    labels:
      description: Its labels, sorted.
      type: list
      elements: str
    registered:
      description: When it was created, in seconds since 1970.
      type: int
    attributes:
      description: All attributes, with upper-case names and text values; secrets are masked.
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run_info
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.objects import (
    info_argument_spec,
    read_templates,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=info_argument_spec(),
        supports_check_mode=True,
    )
    run_info(module, lambda: read_templates(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
