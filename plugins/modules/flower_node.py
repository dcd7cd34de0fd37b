#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_node
short_description: Configure a virtual machine as a SuperLink or SuperNode of a Flower federation
version_added: 0.1.0
description:
  - Runs the node agent (C(flower-ops configure)) on the target host, which validates all context variables, makes keys
    and certificates, finds the SuperLink, writes the service's settings, starts it, waits until it is healthy and
    reports to OneGate.
  - The values in O(variables) win over those in the CONTEXT of the virtual machine. An empty value means the default.
  - A run that finds everything as wanted changes nothing and restarts nothing.
requirements:
  - The roles C(opennebula.flower.flower_runtime) and C(opennebula.flower.superlink) or C(opennebula.flower.supernode)
    put the agent and the units on the target host.
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
  role:
    description: What the virtual machine is to be.
    type: str
    required: true
    choices: [superlink, supernode]
  variables:
    description:
      - Context variables by their full name, such as C(ONEAPP_FL_LOG_LEVEL).
      - Values are text, numbers or booleans; booleans become C(YES) and C(NO).
      - Without this and O(secrets), those of the last run that had any count.
    type: dict
  secrets:
    description: Context variables that must never be shown, such as C(ONEAPP_FL_SSL_KEYFILE).
    type: dict
  identity_only:
    description:
      - Only make folders, keys and certificates, and start nothing.
      - With this, the public key of a SuperNode without OneGate is known before it is admitted
        with M(opennebula.flower.flower_supernode).
    type: bool
    default: false
  timeout:
    description: Seconds to wait for a healthy service.
    type: int
    default: 120
  binary:
    description: Path of the agent on the target host.
    type: path
    default: /opt/flower/venv/bin/flower-ops
seealso:
  - module: opennebula.flower.flower_supernode
"""

EXAMPLES = r"""
- name: This VM is the SuperLink
  opennebula.flower.flower_node:
    role: superlink
    variables:
      ONEAPP_FL_NUM_PARTITIONS: 4

- name: This VM is a SuperNode outside of any OneFlow service
  opennebula.flower.flower_node:
    role: supernode
    variables:
      ONEAPP_FL_SUPERLINK_ADDRESS: 10.0.0.5:9092
      ONEAPP_FL_SSL_CA_CERTFILE: "{{ hostvars['superlink'].superlink_node.node.ca_cert | b64encode }}"
      ONEAPP_FL_NODE_CONFIG: partition-id=0 num-partitions=4
"""

RETURN = r"""
node:
  description: What is known about the node now.
  returned: always
  type: dict
  contains:
    role:
      description: V(superlink) or V(supernode).
      type: str
      returned: always
    ready:
      description: Whether the service was found healthy by this run.
      type: bool
      returned: always
    version:
      description: Version of Flower.
      type: str
      returned: success
    endpoint:
      description: Address of the SuperLink for SuperNodes, C(host:port).
      type: str
      returned: success
    tls:
      description: Whether traffic is encrypted.
      type: bool
      returned: success
    ca_cert:
      description: Certificate of the authority to trust, PEM.
      type: str
      returned: with TLS
    num_partitions:
      description: Number of data partitions of the federation.
      type: int
      returned: when known
    partition_id:
      description: Partition of this SuperNode.
      type: int
      returned: on a SuperNode, when known
    node_pubkey:
      description: Public key of this SuperNode, OpenSSH form.
      type: str
      returned: on a SuperNode with authentication
    node_id:
      description: Flower's id of this SuperNode.
      type: str
      returned: on a SuperNode that was admitted through OneGate
    vm_id:
      description: Id of the virtual machine in OpenNebula, empty when it is not known.
      type: str
      returned: always
errors:
  description: Every variable that is wrong, with its name, its value (secrets masked) and the form expected.
  returned: failure
  type: list
  elements: dict
"""

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.ops import BINARY, call, finish

SECRET = ("ONEAPP_FL_SSL_KEYFILE",)


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "role": {"type": "str", "required": True, "choices": ["superlink", "supernode"]},
            "variables": {"type": "dict"},
            "secrets": {"type": "dict", "no_log": True},
            "identity_only": {"type": "bool", "default": False},
            "timeout": {"type": "int", "default": 120},
            "binary": {"type": "path", "default": BINARY},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    variables, secrets = parameters["variables"], parameters["secrets"]
    misplaced = [name for name in SECRET if (variables or {}).get(name)]
    if misplaced:
        module.fail_json(msg=f"Give {', '.join(misplaced)} in secrets, not in variables, so that it is never shown.")
    if module.check_mode and not os.path.exists(parameters["binary"]):
        module.exit_json(
            changed=True,
            node={"role": parameters["role"], "ready": False, "vm_id": ""},
            msg="This node will be configured.",
        )
    arguments = ["configure", "--json", "--role", parameters["role"], "--timeout", str(parameters["timeout"])]
    if module.check_mode:
        arguments.append("--check")
    if parameters["identity_only"]:
        arguments.append("--identity-only")
    given = variables is not None or secrets is not None
    # Without data the agent would be left with this module's own input, which may never end.
    data = json.dumps({"variables": {**(variables or {}), **(secrets or {})}}) if given else "\n"
    code, answer = call(module, parameters["binary"], arguments, data)
    finish(module, code, answer, node=answer.get("facts", {}))


if __name__ == "__main__":
    main()
