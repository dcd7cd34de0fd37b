#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One step of a privacy audit on a node."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_audit
short_description: Take one step of a privacy audit on a SuperLink or SuperNode
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Runs C(flower-ops audit) on the target host. The role C(opennebula.flower.privacy_audit) and the playbook
    C(opennebula.flower.privacy_audit) take the steps in their order on all hosts of a federation.
  - Packets and samples stay on their host. Figures leave it, and fingerprints of samples, keyed by O(salt).
requirements:
  - The target host has been configured with M(opennebula.flower.flower_node), or is a virtual machine of an image that
    configures itself.
attributes:
  check_mode:
    support: full
    description: Does nothing and answers nothing; an audit measures what happens.
  diff_mode:
    support: none
    description: There is nothing to compare.
options:
  step:
    description:
      - V(canary) on a SuperNode without data makes samples that exist nowhere else, in the form O(canary).
      - V(fingerprint) on a SuperNode makes the fingerprints of its samples, a file whose path is returned.
      - V(start) begins to watch; packets on a SuperNode, the logs of Flower's databases on a SuperLink. It fails while
        a run is active.
      - V(stop) on a SuperNode ends the capture and returns peers and bytes.
      - V(search) looks on the disks of the host for samples of other nodes, whose fingerprints (C(*.prints)) lie in
        C(/var/lib/flower-audit/prints). The folders O(data) are searched like the others.
      - V(clean) ends what still runs and removes all that the audit has made on the host.
    type: str
    required: true
    choices: [canary, fingerprint, start, stop, search, clean]
  node:
    description: Name of the host in the audit.
    type: str
  role:
    description: What the host is, for O(step=start).
    type: str
    choices: [superlink, supernode]
  salt:
    description:
      - At least 16 bytes in hexadecimal, the same on all hosts of one audit and new for each.
      - Whoever knows it can tell by trying whether a sample that he guesses is among those of a node.
    type: str
  data:
    description: Folders of the node's samples.
    type: list
    elements: path
    default: [/opt/flower/data]
  canary:
    description: Form of the samples for O(step=canary).
    type: str
    choices: [digits, images, instructions, table]
  max_fingerprints:
    description:
      - How many fingerprints of a node there are at most, about 550 for each sample, and half as many again for a
        picture in colours.
      - Of more samples than that some are chosen by chance.
    type: int
    default: 500000
  capture_bytes:
    description: How much of a capture is kept on the node until the end; all packets are counted whatever it is.
    type: int
    default: 268435456
  control:
    description: Address of the control machine as the node sees it. Empty takes that of this login.
    type: str
    default: ""
  allowed:
    description:
      - Further peers that the node may send to, each with C(name) and any of C(address) (or network), C(port),
        C(protocol) and C(max_bytes) (65536).
    type: list
    elements: dict
    default: []
  folders:
    description: Further folders to search, beside those of Flower, logs, temporary files and homes.
    type: list
    elements: path
    default: []
  binary:
    description: Path of the agent on the target host.
    type: path
    default: /opt/flower/venv/bin/flower-ops
seealso:
  - module: opennebula.flower.flower_audit_report
"""

EXAMPLES = r"""
- name: See whom this SuperNode talks to
  opennebula.flower.flower_audit:
    step: start
    role: supernode

- name: Look for other nodes' samples here
  opennebula.flower.flower_audit:
    step: search
    node: "{{ inventory_hostname }}"
    salt: "{{ audit_salt }}"
  register: found
"""

RETURN = r"""
audit:
  description: What the step has to tell; the report of the audit is made of these.
  returned: success, except in check mode
  type: dict
"""

import json

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.ops import BINARY, call, finish

# Arguments of the module, and their names in the request that flower-ops reads.
ASKED = {
    "node": "node",
    "role": "role",
    "salt": "salt",
    "data": "data",
    "canary": "form",
    "max_fingerprints": "limit",
    "capture_bytes": "capture_bytes",
    "control": "control",
    "allowed": "allowed",
    "folders": "folders",
}


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "step": {
                "type": "str",
                "required": True,
                "choices": ["canary", "fingerprint", "start", "stop", "search", "clean"],
            },
            "node": {"type": "str"},
            "role": {"type": "str", "choices": ["superlink", "supernode"]},
            "salt": {"type": "str", "no_log": True},
            "data": {"type": "list", "elements": "path", "default": ["/opt/flower/data"]},
            "canary": {"type": "str", "choices": ["digits", "images", "instructions", "table"]},
            "max_fingerprints": {"type": "int", "default": 500000},
            "capture_bytes": {"type": "int", "default": 268435456},
            "control": {"type": "str", "default": ""},
            "allowed": {"type": "list", "elements": "dict", "default": []},
            "folders": {"type": "list", "elements": "path", "default": []},
            "binary": {"type": "path", "default": BINARY},
        },
        required_if=[
            ("step", "start", ["role"]),
            ("step", "canary", ["canary"]),
            *(("step", step, ["salt", "node"]) for step in ("fingerprint", "search")),
            ("step", "stop", ["salt"]),
        ],
        supports_check_mode=True,
    )
    parameters = module.params
    if module.check_mode:
        module.exit_json(changed=parameters["step"] in ("start", "canary"), audit={})
    request = {name: parameters[key] for key, name in ASKED.items() if parameters[key] is not None}
    arguments = ["audit", parameters["step"], "--binary", parameters["binary"]]
    code, answer = call(module, parameters["binary"], arguments, json.dumps(request))
    finish(module, code, answer, audit={key: value for key, value in answer.items() if key != "message"})


if __name__ == "__main__":
    main()
