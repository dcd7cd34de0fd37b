#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_service_template
short_description: Manage service templates of OpenNebula's OneFlow
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Creates, updates, renames and deletes service templates, the descriptions of groups of VMs that OneFlow starts.
  - What is asked and what is stored are compared after both were brought into the form of OpenNebula 7, with the
    defaults that the server fills in, so that a second run changes nothing.
  - OneFlow answers some requests with success although it did nothing. Names and permissions are read back, and a
    change that did not happen fails the task.
options:
  name:
    description:
      - Name of the service template. Required unless O(id) is given.
      - OneFlow lets names repeat. More than one template of that name fails the task and lists their ids.
    type: str
  id:
    description: Id of an existing service template.
    type: int
  new_name:
    description: Rename the service template to this. Services take the new name too, unless they are given their own.
    type: str
  state:
    description: Whether the service template shall exist.
    type: str
    choices: [present, absent]
    default: present
  template:
    description:
      - The whole service template in the keys of OpenNebula 7 (that of OpenNebula 6 is converted). It replaces what
        is stored; only the ownership mark and the time of registration are kept.
      - In C(roles), the VM template of a role is given as C(template_id), or by name or id as
        C(template). C(type) may be left out and is then V(vm).
      - The value of a network in C(networks) is OneFlow's own text (C(M|network|text||id:0)), the name of a virtual
        network, or a dictionary with one of C(name), C(id), C(template_id) and C(reserve_from), and optionally
        C(description) and C(mandatory).
      - Booleans and numbers in C(template_contents) and values of user inputs become text; V(true) becomes V(YES).
      - Without it, an existing service template keeps its content.
    type: dict
  permissions:
    description: Permissions as three octal digits for owner, group and others; 4 is use, 2 manage, 1 administrate.
    type: str
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.mark
  - opennebula.flower.attributes
  - opennebula.flower.attributes.full
  - opennebula.flower.attributes.actiongroup
seealso:
  - module: opennebula.flower.one_service_template_info
  - module: opennebula.flower.one_service
"""

EXAMPLES = r"""
- name: A federation of one SuperLink and two to ten SuperNodes
  opennebula.flower.one_service_template:
    name: mnist
    mark: mnist
    template:
      description: Federated digits
      deployment: straight
      ready_status_gate: true
      networks:
        Private: private
      roles:
        - name: superlink
          template: mnist-superlink
          cardinality: 1
          min_vms: 1
          max_vms: 1
          template_contents:
            NIC:
              - NETWORK_ID: $Private
        - name: supernode
          template: mnist-supernode
          parents: [superlink]
          cardinality: 2
          min_vms: 2
          max_vms: 10
          template_contents:
            NIC:
              - NETWORK_ID: $Private

- name: Let the group use it
  opennebula.flower.one_service_template:
    name: mnist
    permissions: "640"

- name: Rename it
  opennebula.flower.one_service_template:
    name: mnist
    new_name: digits

- name: Remove it
  opennebula.flower.one_service_template:
    name: digits
    state: absent
"""

RETURN = r"""
service_template:
  description: The service template as it is now (in check mode, as it would be). Empty where it does not exist.
  returned: success
  type: dict
  contains:
    id:
      description: Its id; null in check mode when it would be created.
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
steps:
  description: What was written, or would be in check mode, in words.
  returned: success
  type: list
  elements: str
  sample: ["create service template mnist"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.one.flow_session import FlowSession
from ..module_utils.one.runner import run
from ..module_utils.one.service_template_resource import ServiceTemplateResource
from ..module_utils.one.settings import api_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    """The options of this module."""
    return {
        **api_argument_spec(),
        "id": {"type": "int"},
        "name": {"type": "str"},
        "new_name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "template": {"type": "dict"},
        "permissions": {"type": "str"},
        "mark": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_one_of=[("id", "name")],
        supports_check_mode=True,
    )

    def make() -> ServiceTemplateResource:
        session = FlowSession(module.params)
        return ServiceTemplateResource(session.flow, session.lookups, module.params)

    run(module, make)


if __name__ == "__main__":
    main()
