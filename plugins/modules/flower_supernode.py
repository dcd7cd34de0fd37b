#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_supernode
short_description: Admit SuperNodes to a Flower federation, or remove them
version_added: 0.1.0
description:
  - Runs on the host of the SuperLink. Registers the public key of a SuperNode with Flower and allots a data partition.
  - SuperNodes of the SuperLink's own OneFlow service are admitted by themselves and need no task; this module is for
    those that OneGate does not know, on other sites or on plain virtual machines.
  - Members are listed by M(opennebula.flower.flower_supernode_info).
requirements:
  - The target host has been configured with M(opennebula.flower.flower_node) as SuperLink.
attributes:
  check_mode:
    description: Can run in check mode and predict what a real run would change.
    support: full
  diff_mode:
    description: Shows the member before and after.
    support: full
author:
  - opennebula.flower contributors (@opennebula)
options:
  state:
    description:
      - V(present) admits the SuperNode, V(absent) removes it and frees its partition.
      - Flower takes a key only once. A SuperNode that was removed needs a new key pair before it is admitted again; a
        VM of the SuperLink's own service, as long as it runs, makes one by itself and gets its partition back.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: Name of the SuperNode, unique on its site.
    type: str
    required: true
  site:
    description: Site that the SuperNode is on.
    type: str
    default: local
  public_key:
    description:
      - Public key of the SuperNode in OpenSSH form,
        as RV(opennebula.flower.flower_node#module:node.node_pubkey) returns it.
      - Needed with O(state=present) when the federation authenticates its SuperNodes.
      - Another key than before replaces that one; the partition stays.
    type: str
  addresses:
    description:
      - Addresses or networks, such as V(203.0.113.7) or V(2001:db8::/64), from which the SuperNode reaches the
        SuperLink, as seen by the SuperLink. Its host firewall lets them through to the Fleet API as long as the
        SuperNode is a member.
      - Those that are known stay when this is not given; an empty list takes them away.
      - Not needed for what C(ONEAPP_FL_ALLOWED_NETWORKS) of the SuperLink holds.
    type: list
    elements: str
  binary:
    description: Path of the agent on the target host.
    type: path
    default: /opt/flower/venv/bin/flower-ops
seealso:
  - module: opennebula.flower.flower_supernode_info
  - module: opennebula.flower.flower_node
"""

EXAMPLES = r"""
- name: Admit a SuperNode of another site
  opennebula.flower.flower_supernode:
    site: hospital-b
    name: node-1
    public_key: "{{ hostvars['node-1'].supernode_identity.node.node_pubkey }}"
    addresses: ["203.0.113.7"]
  delegate_to: superlink
  register: admitted

- name: Give the SuperNode its partition
  opennebula.flower.flower_node:
    role: supernode
    variables:
      ONEAPP_FL_SUPERLINK_ADDRESS: superlink.example.org:9092
      ONEAPP_FL_SSL_CA_CERTFILE: "{{ superlink_ca_base64 }}"
      ONEAPP_FL_NODE_CONFIG: >-
        partition-id={{ admitted.member.partition_id }} num-partitions={{ admitted.num_partitions }}

- name: Remove a SuperNode for good
  opennebula.flower.flower_supernode:
    site: hospital-b
    name: node-1
    state: absent
  delegate_to: superlink
"""

RETURN = r"""
member:
  description:
    - The SuperNode with its C(site), C(name), C(partition_id), C(num_partitions), C(node_id), C(public_key) and
      C(addresses). In check mode C(node_id) is empty for one that would be registered.
  returned: when O(state=present)
  type: dict
num_partitions:
  description: Number of data partitions of the federation.
  returned: success
  type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.ops import BINARY, call, finish

ACTIONS = {"present": "add", "absent": "remove"}


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "choices": list(ACTIONS), "default": "present"},
            "name": {"type": "str", "required": True},
            "site": {"type": "str", "default": "local"},
            # A public key is no secret, whatever its name makes Ansible think.
            "public_key": {"type": "str", "no_log": False},
            "addresses": {"type": "list", "elements": "str"},
            "binary": {"type": "path", "default": BINARY},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    arguments = ["member", ACTIONS[parameters["state"]], "--json", "--site", parameters["site"]]
    arguments += ["--name", parameters["name"]]
    if parameters["addresses"] is not None:
        # One that is empty says that there are none, which is more than saying nothing.
        arguments += [f"--address={address}" for address in parameters["addresses"] or [""]]
    if module.check_mode:
        arguments.append("--check")
    code, answer = call(module, parameters["binary"], arguments, parameters["public_key"] or "")
    kept = {key: answer[key] for key in ("member", "num_partitions") if key in answer}
    finish(module, code, answer, **kept)


if __name__ == "__main__":
    main()
