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
  id:
    description: Only the service template with this id.
    type: int
  name:
    description: Only service templates of this name.
    type: str
  mark:
    description: Only service templates marked as belonging to this federation.
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

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.one.flow_session import FlowSession
from ..module_utils.one.runner import run_info
from ..module_utils.one.service import select_documents, template_view
from ..module_utils.one.settings import api_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    """The options of this module."""
    return {**api_argument_spec(), "id": {"type": "int"}, "name": {"type": "str"}, "mark": {"type": "str"}}


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)

    def read() -> dict[str, Any]:
        flow = FlowSession(module.params).flow
        documents = select_documents(flow.templates, flow.template, module.params)
        return {"service_templates": [template_view(document) for document in documents]}

    run_info(module, read)


if __name__ == "__main__":
    main()
