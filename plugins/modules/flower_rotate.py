#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_rotate
short_description: Replace certificates and keys of a Flower federation
version_added: 0.1.0
description:
  - Runs C(flower-ops rotate) on the target host, the SuperLink or a SuperNode, which replaces one kind of certificate
    or key and brings services and OneGate in line with it.
  - A certificate authority is replaced with an overlap. V(ca_begin) on the SuperLink makes the next one and publishes
    both, V(trust) on each SuperNode takes them over, V(ca_finish) on the SuperLink lets the next one sign and drops the
    former one, and V(trust) on each SuperNode drops it there. The playbook C(opennebula.flower.rotate) takes all of
    these steps.
  - A step that was cut off is completed by the next one of its kind.
requirements:
  - The target host has been configured with M(opennebula.flower.flower_node), or is a virtual machine of an image that
    configures itself.
attributes:
  check_mode:
    description: Can run in check mode and predict what a real run would change.
    support: full
  diff_mode:
    description: Shows what was or would be changed; keys are masked.
    support: full
author:
  - opennebula.flower contributors (@opennebula)
options:
  what:
    description:
      - V(idle) on the SuperLink replaces nothing and fails while a run is active.
      - V(server) on the SuperLink makes a new server key and certificate of the same authority.
      - V(ca_begin) on the SuperLink begins the overlap with the next authority.
      - V(ca_finish) on the SuperLink ends it. It waits up to O(timeout) seconds until every SuperNode of the service
        has said that it trusts the next one.
      - V(trust) on a SuperNode takes over what the SuperLink publishes, if the pinned authority has signed for it.
      - V(node_key) on a SuperNode makes a new key pair and waits until it is admitted and used; the partition stays.
    type: str
    required: true
    choices: [idle, server, ca_begin, ca_finish, trust, node_key]
  min_age:
    description:
      - Seconds; what was made more recently than that stays as it is.
      - With this, a run that is repeated after a failure replaces only what it did not reach the first time.
    type: int
    default: 0
  force:
    description: Replace also while a run is active, and without waiting for SuperNodes that have not confirmed.
    type: bool
    default: false
  timeout:
    description: Seconds to wait for a healthy service, and for confirmations.
    type: int
    default: 120
  binary:
    description: Path of the agent on the target host.
    type: path
    default: /opt/flower/venv/bin/flower-ops
notes:
  - Certificates of the operator's own (C(ONEAPP_FL_SSL_CERTFILE)) are replaced by giving new ones, not by this module.
seealso:
  - module: opennebula.flower.flower_node
  - module: opennebula.flower.flower_supernode
"""

EXAMPLES = r"""
- name: A new server certificate
  opennebula.flower.flower_rotate:
    what: server
  delegate_to: superlink

- name: A new key for this SuperNode, unless it got one within the last hour
  opennebula.flower.flower_rotate:
    what: node_key
    min_age: 3600
"""

RETURN = r"""
replaced:
  description: What was replaced; in check mode, what would be.
  returned: always
  type: list
  elements: dict
  contains:
    what:
      description: Kind of certificate or key, in words.
      type: str
      returned: always
    before:
      description: SHA-256 fingerprint of the former one, hexadecimal; several are separated by spaces.
      type: str
      returned: always
    after:
      description: SHA-256 fingerprint of the new one; empty for a key in check mode.
      type: str
      returned: always
    valid_until:
      description: Day on which the new one ends, C(YYYY-MM-DD); empty for keys, which do not end.
      type: str
      returned: always
errors:
  description: Every variable of the host that is wrong, with its name, its value and the form expected.
  returned: failure
  type: list
  elements: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.ops import BINARY, call, finish

KINDS = ["idle", "server", "ca_begin", "ca_finish", "trust", "node_key"]


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "what": {"type": "str", "required": True, "choices": KINDS},
            "min_age": {"type": "int", "default": 0},
            "force": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 120},
            "binary": {"type": "path", "default": BINARY},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    arguments = ["rotate", parameters["what"].replace("_", "-"), "--json", "--timeout", str(parameters["timeout"])]
    arguments += ["--min-age", str(parameters["min_age"])]
    if parameters["force"]:
        arguments.append("--force")
    if module.check_mode:
        arguments.append("--check")
    code, answer = call(module, parameters["binary"], arguments)
    finish(module, code, answer, replaced=answer.get("replaced", []))


if __name__ == "__main__":
    main()
