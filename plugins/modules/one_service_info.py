#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_service_info
short_description: Read services of OpenNebula's OneFlow with their VMs
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Returns the services that the user may see, all of them or those that pass the filters, each with its VMs and with
    hosts for M(ansible.builtin.add_host).
  - Takes one request to OneFlow and one to OpenNebula for every 500 VMs, however many services there are.
options:
  ids:
    description:
      - Ids of the services to return. Those that do not exist are left out.
    type: list
    elements: int
    aliases: [id]
  name:
    description:
      - Name of the services to return; C(*), C(?) and C([...]) match as in a shell.
    type: str
  owner:
    description: Return only services of this user.
    type: str
  group:
    description: Return only services of this group.
    type: str
  mark:
    description: Return only services with the ownership mark of this federation.
    type: str
  states:
    description:
      - Return only services in one of these states, for instance V(RUNNING) or V(FAILED_DEPLOYING).
      - Without it, all but those in V(DONE); a service with one of the O(ids) is returned in any state.
    type: list
    elements: str
  network:
    description: Name or id of the network whose address is used for C(ansible_host). Without it, that of the first NIC.
    type: str
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
seealso:
  - module: opennebula.flower.one_service
"""

EXAMPLES = r"""
- name: The services of one federation
  opennebula.flower.one_service_info:
    mark: mnist
  register: found

- name: What went wrong on this cloud
  opennebula.flower.one_service_info:
    states: [FAILED_DEPLOYING, FAILED_SCALING, WARNING]

- name: Show the states of their roles
  ansible.builtin.debug:
    msg: "{{ item.name }}: {{ item.roles | dict2items | map(attribute='value.state') | join(', ') }}"
  loop: "{{ found.services }}"
  loop_control:
    label: "{{ item.name }}"
"""

RETURN = r"""
services:
  description: The services, lowest id first; empty where there are none.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Its id.
      type: int
      sample: 7
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
    description:
      description: Its description.
      type: str
      sample: Federated digits
    state:
      description: Name of its state; a number that a newer OneFlow may add is C(UNKNOWN(n)).
      type: str
      sample: RUNNING
    state_id:
      description: Number of its state.
      type: int
      sample: 2
    ready_gate:
      description: Whether VMs count as running only once they have said C(READY=YES).
      type: bool
      sample: true
    on_hold:
      description: Whether its VMs are created on hold, until the service is released.
      type: bool
      sample: false
    deployment:
      description: Order of deployment, V(straight) or V(none).
      type: str
      sample: straight
    roles:
      description: Its roles by name.
      type: dict
      sample: {"superlink": {"cardinality": 1, "min_vms": 1, "max_vms": 1, "state": "RUNNING", "vms": [5]}}
    vms:
      description: Its VMs.
      type: list
      elements: dict
      sample: [{"id": 5, "name": "superlink_0_(service_7)", "role": "superlink", "state": "RUNNING", "ip": "10.0.0.10"}]
    user_inputs_values:
      description: The values that it was started with; passwords are hidden.
      type: dict
      sample: {"ONEAPP_FL_NUM_ROUNDS": "10"}
    networks_values:
      description: The networks that it was started with.
      type: dict
      sample: {"Private": {"id": "0"}}
    log:
      description: The log that OneFlow keeps of the service.
      type: list
      elements: dict
      sample: [{"timestamp": 1795301635, "severity": "I", "message": "New state: DEPLOYING"}]
    start_time:
      description: When it was started, in seconds since 1970.
      type: int
      sample: 1795301635
    hosts:
      description: Its running VMs as hosts, each with C(name), C(groups) and C(vars).
      type: list
      elements: dict
      sample: [{"name": "mnist-superlink-5", "groups": ["superlink"], "vars": {"ansible_host": "10.0.0.10"}}]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.one.core.flow_session import FlowSession
from ..module_utils.one.core.runner import run_info
from ..module_utils.one.service.info import flow_info_argument_spec, read_services


def argument_spec() -> dict[str, dict[str, Any]]:
    """The options of this module."""
    return {
        **flow_info_argument_spec(),
        "states": {"type": "list", "elements": "str"},
        "network": {"type": "str"},
    }


def main() -> None:
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    run_info(module, lambda: read_services(FlowSession(module.params), module.params))


if __name__ == "__main__":
    main()
