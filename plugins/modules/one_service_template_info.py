#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_service_template_info
short_description: Read service templates of OpenNebula's OneFlow
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Returns the service templates that the user may see, all of them or those of a name, an id or a federation.
options:
  ids:
    description:
      - Ids of the service templates to return. Those that do not exist are left out.
    type: list
    elements: int
    aliases: [id]
  name:
    description:
      - Name of the service templates to return; C(*), C(?) and C([...]) match as in a shell.
    type: str
  owner:
    description: Return only service templates of this user.
    type: str
  group:
    description: Return only service templates of this group.
    type: str
  mark:
    description: Return only service templates with the ownership mark of this federation.
    type: str
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
seealso:
  - module: opennebula.flower.one_service_template
"""

EXAMPLES = r"""
- name: All service templates of one federation
  opennebula.flower.one_service_template_info:
    mark: mnist
  register: templates

- name: One by its id
  opennebula.flower.one_service_template_info:
    id: 12
"""

RETURN = r"""
service_templates:
  description: The service templates, lowest id first; empty where there are none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: int
      sample: 12
    name:
      description: Its name.
      type: str
      sample: mnist
    owner:
      description: Id and name of the owner.
      type: dict
      sample: {"id": 0, "name": "oneadmin"}
    group:
      description: Id and name of the group.
      type: dict
      sample: {"id": 0, "name": "oneadmin"}
    permissions:
      description: Permissions in octal.
      type: str
      sample: "600"
    mark:
      description: The federation that it belongs to, or null.
      type: str
      sample: mnist
    template:
      description: The body as OneFlow stores it.
      type: dict
      sample: {"name": "mnist", "deployment": "straight", "roles": []}
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.one.core.flow_session import FlowSession
from ..module_utils.one.core.runner import run_info
from ..module_utils.one.service.info import flow_info_argument_spec, read_service_templates


def main() -> None:
    module = AnsibleModule(argument_spec=flow_info_argument_spec(), supports_check_mode=True)
    run_info(module, lambda: read_service_templates(FlowSession(module.params), module.params))


if __name__ == "__main__":
    main()
