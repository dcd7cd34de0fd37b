#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_template
short_description: Manage VM templates of OpenNebula
version_added: 0.1.0
description:
  - Creates, clones, changes, renames and deletes VM templates.
  - Attributes are compared with what the cloud has; only what differs is written, and nothing if nothing differs.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.object
  - opennebula.flower.mark
  - opennebula.flower.attributes
  - opennebula.flower.attributes.full
  - opennebula.flower.attributes.actiongroup
options:
  template:
    description:
      - The attributes, as a dictionary or as text in OpenNebula's template language.
      - For users who are no administrators C(CONTEXT.PASSWORD) is written, and reported as changed, in each run,
        because OpenNebula shows it to them encrypted, so that it cannot be compared.
      - A vector such as C(CONTEXT) is a dictionary, a repeated one such as C(DISK) or C(NIC) a list of dictionaries. A
        null value leaves the attribute out.
    type: raw
  update:
    description:
      - What happens to attributes of an existing template that O(template) does not mention.
      - V(merge) keeps them; a dictionary such as C(CONTEXT) is merged key by key, while C(DISK), C(NIC) and C(PCI) are
        complete lists whose order does not matter.
      - V(replace) removes them, except for labels and the ownership mark.
    type: str
    choices: [merge, replace]
    default: merge
  recursive:
    description:
      - Whether the images of the template's disks go with it. A clone gets copies of them, named after the clone,
        C(<name>-disk-0) and so on. OpenNebula copies them in the background; VMs may be created meanwhile.
      - With O(state=absent) the images are deleted too, unless one of them is in use, being copied or locked; then
        nothing is deleted and the task fails. Whether other templates use them is not looked at.
    type: bool
    default: false
attributes:
  idempotent:
    support: partial
    details:
      - C(CONTEXT.PASSWORD) in O(template) is written in each run of a user who is no administrator.
seealso:
  - module: opennebula.flower.one_template_info
"""

EXAMPLES = r"""
- name: Have a VM template
  opennebula.flower.one_template:
    name: web
    template:
      CPU: 1
      MEMORY: 1024
      DISK:
        - IMAGE: debian-12
      NIC:
        - NETWORK: private
      CONTEXT:
        NETWORK: true
        TOKEN: true
        SSH_PUBLIC_KEY: "$USER[SSH_PUBLIC_KEY]"

- name: Change the memory only
  opennebula.flower.one_template:
    name: web
    template:
      MEMORY: 2048

- name: Let the group use it and label it
  opennebula.flower.one_template:
    name: web
    permissions: "640"
    labels: [web, production]

- name: Take a context variable and one of the networks away, and protect the template from changes
  opennebula.flower.one_template:
    name: web
    remove_attributes:
      - CONTEXT.SSH_PUBLIC_KEY
      - NIC[NETWORK=private]
    lock: manage

- name: Clone it, write what differs in OpenNebula's own language
  opennebula.flower.one_template:
    name: web-test
    clone_from: web
    template: |
      MEMORY = "512"
      NIC = [ NETWORK = "private", MODEL = "virtio" ]

- name: Delete the clone
  opennebula.flower.one_template:
    name: web-test
    state: absent

- name: Delete a locked template
  opennebula.flower.one_template:
    name: web
    lock: none
    state: absent
"""

RETURN = r"""
template:
  description: The VM template after the run; in check mode as far as it can be known. Empty if it is absent.
  returned: success
  type: dict
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
      description: Lock of the template, V(none) if there is none.
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
steps:
  description: The writes that were made, or would be made, in words.
  returned: success
  type: list
  elements: str
  sample: ["update attributes of VM template web"]
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm_template.resource import (
    TemplateResource,
    argument_spec,
)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        mutually_exclusive=[("id", "name")],
        required_one_of=[("id", "name")],
        supports_check_mode=True,
    )
    run(module, lambda: TemplateResource(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
