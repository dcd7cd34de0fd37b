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
  - Creates, clones, updates, renames, gives away and deletes service templates, the descriptions of groups of VMs that
    OneFlow starts.
  - What is asked and what is stored are compared after both were brought into the form of OpenNebula 7, with the
    defaults that the server fills in, so that a second run changes nothing.
  - OneFlow answers some requests with success although it did nothing. Names, owners, groups and permissions are read
    back, and a change that did not happen fails the task.
  - Two runs that create a service template of one name at the same time end with one. The later one is removed again by
    the run that made it, which says so by a warning and goes on with the other.
  - In check mode, names of VM templates, virtual networks and service templates that do not exist are reported by a
    warning, because an earlier task of the play may be about to make them; their ids are their names then.
options:
  name:
    description:
      - Name of the service template. Required unless O(id) is given.
      - OneFlow lets names repeat. More than one template of that name fails the task and lists their ids and owners.
      - A template of another owner that this user may use counts too, so that no duplicate is made of it. Give O(owner)
        to say which one is meant.
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
      - The service template in the keys of OpenNebula 7; that of OpenNebula 6 is converted.
      - In C(roles), the VM template of a role is given as C(template_id), or by name or id as
        C(template). C(type) may be left out and is then V(vm). The order of roles does not matter.
      - A key of a role that looks like a misspelt one is refused; another one that OneFlow does not know is reported
        by a warning. C(parents) may only name roles of the same service template.
      - The value of a network in C(networks) is OneFlow's own text (C(M|network|text||id:0), where the id may be a name
        too), the name of a virtual network, or a dictionary with one of C(name), C(id), C(template_id) and
        C(reserve_from), and optionally C(description) and C(mandatory).
      - Booleans and numbers in C(template_contents) and values of user inputs become text; V(true) becomes V(YES).
      - Without it, an existing service template keeps its content.
    type: dict
  update:
    description:
      - What happens to the content of an existing service template that O(template) does not mention.
      - V(replace) removes it, except for the ownership mark and the time of registration.
      - V(merge) keeps it. Roles, networks and user inputs are merged by their names, and what a role does not mention
        stays; in C(template_contents), C(CONTEXT) is merged key by key, while C(DISK) and C(NIC) are complete lists.
    type: str
    choices: [replace, merge]
    default: replace
  remove_attributes:
    description:
      - What to remove from the content, as paths with dots. C(shutdown_action) is a key, C(networks.Private) a network,
        C(roles.web) a role, C(roles.web.max_vms) a key of a role.
    type: list
    elements: str
    default: []
  clone_from:
    description:
      - Name or id of a service template to clone, if the wanted one does not exist yet. O(template) is merged into the
        clone, and into one that exists already, as with O(update=merge).
    type: str
  clone_type:
    description:
      - What is cloned with O(clone_from). V(none) lets the roles of the clone use the same VM templates, V(templates)
        clones these too, V(all) also their images. OpenNebula names the copies after the original and the clone.
    type: str
    choices: [none, templates, all]
    default: none
  delete_type:
    description:
      - What goes with O(state=absent). V(templates) also deletes the VM templates of its roles, V(all) the images of
        these too, whoever else uses them.
      - With O(mark), VM templates that do not carry it are not deleted and fail the task, and V(all) is refused.
    type: str
    choices: [none, templates, all]
    default: none
  owner:
    description:
      - Name or id of the owner. Together with O(name), a service template of that user is looked for first, then one of
        O(api_username), which is given to that user. One that is found by O(id) or just created is given away too.
    type: str
  group:
    description: Name or id of the group that the service template shall belong to.
    type: str
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

- name: Allow more SuperNodes, and nothing else
  opennebula.flower.one_service_template:
    name: mnist
    update: merge
    template:
      roles:
        - name: supernode
          max_vms: 20

- name: A copy with a description of its own
  opennebula.flower.one_service_template:
    name: letters
    clone_from: mnist
    mark: letters
    template:
      description: Federated letters

- name: Forget the description of the copy
  opennebula.flower.one_service_template:
    name: letters
    remove_attributes: [description]

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

from ..module_utils.one.api.settings import api_argument_spec
from ..module_utils.one.core.flow_session import FlowSession
from ..module_utils.one.core.runner import run
from ..module_utils.one.service_template.resource import ServiceTemplateResource


def argument_spec() -> dict[str, dict[str, Any]]:
    """The options of this module."""
    return {
        **api_argument_spec(),
        "id": {"type": "int"},
        "name": {"type": "str"},
        "new_name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "template": {"type": "dict"},
        "update": {"type": "str", "choices": ["replace", "merge"], "default": "replace"},
        "remove_attributes": {"type": "list", "elements": "str", "default": []},
        "clone_from": {"type": "str"},
        "clone_type": {"type": "str", "choices": ["none", "templates", "all"], "default": "none"},
        "delete_type": {"type": "str", "choices": ["none", "templates", "all"], "default": "none"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
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
        session = FlowSession(module.params, bool(module.check_mode))
        return ServiceTemplateResource(session.flow, session.lookups, module.params)

    run(module, make)


if __name__ == "__main__":
    main()
