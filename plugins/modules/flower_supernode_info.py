#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_supernode_info
short_description: List the SuperNodes of a Flower federation
version_added: 0.1.0
description:
  - Runs on the host of the SuperLink. Lists the members of the federation with their partition, and with what Flower
    says of them.
attributes:
  check_mode:
    description: Changes nothing.
    support: full
  diff_mode:
    description: There is nothing to compare.
    support: none
author:
  - opennebula.flower contributors (@opennebula)
options:
  binary:
    description: Path of the agent on the target host.
    type: path
    default: /opt/flower/venv/bin/flower-ops
seealso:
  - module: opennebula.flower.flower_supernode
"""

EXAMPLES = r"""
- name: Wait until two SuperNodes are online
  opennebula.flower.flower_supernode_info:
  register: members
  until: members.supernodes | selectattr('status', 'equalto', 'online') | length == 2
  retries: 20
  delay: 3
"""

RETURN = r"""
supernodes:
  description:
    - One entry per SuperNode with C(site), C(name), C(vm_id), C(partition_id), C(node_id), C(public_key), C(addresses)
      and C(status).
    - C(vm_id) is empty for one that was admitted by hand. C(site) and C(name) are empty for one that is no member but
      known to Flower, as in a federation without authentication.
    - C(status) is Flower's, such as V(online), V(offline) or V(registered); V(unknown) is a member that Flower does not
      know.
  returned: success
  type: list
  elements: dict
num_partitions:
  description: Number of data partitions of the federation.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.ops import BINARY, call, finish


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(argument_spec={"binary": {"type": "path", "default": BINARY}}, supports_check_mode=True)
    code, answer = call(module, module.params["binary"], ["member", "list", "--json"])
    finish(module, code, answer, **{key: answer[key] for key in ("supernodes", "num_partitions") if key in answer})


if __name__ == "__main__":
    main()
