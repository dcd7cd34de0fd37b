#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_service
short_description: Start, scale, change, recover and remove services of OpenNebula's OneFlow
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Starts a service from a service template unless it lives already, brings its roles to the asked number of VMs and
    those to the asked state, changes their bounds and policies, adds and removes roles, waits for it, recovers it after
    a failure, and removes it.
  - Returns the VMs of the service, and hosts for M(ansible.builtin.add_host) with the names, groups and variables
    that the inventory plugin P(opennebula.flower.opennebula#inventory) gives to the same VMs.
  - A failure state ends a wait at once, with the log of the service and what OpenNebula says about the VMs. A time-out
    names what is still missing, and what the scheduler says about VMs that found no host.
  - Two runs that start a service of one name at the same time end with one service. The later one is removed again by
    the run that made it, which says so by a warning and goes on with the other.
  - In check mode, names of service templates, VM templates and virtual networks that do not exist are reported by a
    warning, because an earlier task of the play may be about to make them; their ids are their names then.
options:
  name:
    description:
      - Name of the service. Required unless O(id) is given.
      - OneFlow lets names repeat. More than one live service of that name fails the task and lists ids and owners. A
        service that is DONE does not count.
      - A service of another owner that this user may use counts too. Give O(owner) to say which one is meant.
    type: str
  id:
    description: Id of an existing service.
    type: int
  new_name:
    description: Rename the service to this. One that has this name already is left as it is.
    type: str
  state:
    description:
      - V(present) starts the service if there is none of that name, and changes one that lives to what is asked.
      - V(absent) removes it in whatever state it is, and waits until its VMs are gone.
      - V(recovered) lets OneFlow try again where it failed, and changes nothing otherwise. A role that failed counts
        too, whatever the service is called.
      - V(released) lets the VMs of a service run that was started on hold (C(on_hold) in its template), and changes
        nothing otherwise.
    type: str
    choices: [present, absent, recovered, released]
    default: present
  template:
    description: Name or id of the service template to start from. Only needed where the service does not live yet.
    type: str
  user_inputs_values:
    description:
      - Values of the user inputs. Inputs that are not named get the default from their definition; mandatory ones
        without a value or default are refused, all at once.
      - They are fixed from the start of a service. Other values for one that lives are reported by a warning.
    type: dict
  networks_values:
    description:
      - Virtual networks for the networks that the template asks for, as a dictionary or in OneFlow's form of a list.
      - A value is a name or id of a virtual network, or a dictionary with C(id), C(template_id) or C(reserve_from).
    type: raw
  description:
    description: Description of the service.
    type: str
  owner:
    description:
      - Name or id of the owner. Together with O(name), a service of that user is looked for first, then one of
        O(api_username), which is given to that user with its VMs. One that is found by O(id) or just started is given
        away too.
    type: str
  group:
    description: Name or id of the group that the service and its VMs shall belong to.
    type: str
  permissions:
    description: Permissions as three octal digits for owner, group and others; 4 is use, 2 manage, 1 administrate.
    type: str
  force:
    description: Scale beyond the bounds of a role too.
    type: bool
    default: false
  network:
    description: Name or id of the network whose address is used for C(ansible_host). Without it, that of the first NIC.
    type: str
  wait_for:
    description:
      - V(running) waits until OneFlow calls the service RUNNING; after a scaling, COOLDOWN is enough. A service that
        was started on hold is waited for until it is on hold.
      - V(vms) waits until the VMs of O(wait_roles) are there, run and have an address. They are judged by their own
        state, so this ends while the service is still DEPLOYING because its VMs have not said C(READY=YES).
      - V(none) does not wait.
    type: str
    choices: [running, vms, none]
    default: running
  wait_roles:
    description: Roles whose VMs are waited for with O(wait_for=vms). All roles, if not given.
    type: list
    elements: str
  wait_attributes:
    description: Attributes that the VMs must have published, for instance through OneGate, with O(wait_for=vms).
    type: list
    elements: str
    default: []
  wait_hopeless:
    description:
      - Attributes, each with a value or a list of them, by which a VM says that waiting for it is of no use. The wait
        ends at once when a VM has one of them.
    type: dict
    default: {}
  wait_timeout:
    description:
      - How long to wait for what was asked, in seconds. Each scaling and each removal has this time of its own.
    type: int
    default: 600
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.mark
  - opennebula.flower.service_roles
  - opennebula.flower.wait
  - opennebula.flower.attributes
  - opennebula.flower.attributes.full
  - opennebula.flower.attributes.actiongroup
seealso:
  - module: opennebula.flower.one_service_info
  - module: opennebula.flower.one_service_template
  - plugin: opennebula.flower.opennebula
    plugin_type: inventory
"""

EXAMPLES = r"""
- name: Start a federation and wait for its first wave, the SuperLink
  opennebula.flower.one_service:
    name: mnist
    template: mnist
    mark: mnist
    roles:
      - name: supernode
        cardinality: 3
    wait_for: vms
    wait_roles: [superlink]
  register: federation

- name: Add its VMs to the inventory of this play
  ansible.builtin.add_host:
    name: "{{ item.name }}"
    groups: "{{ item.groups }}"
    ansible_host: "{{ item.vars.ansible_host }}"
  loop: "{{ federation.hosts }}"
  loop_control:
    label: "{{ item.name }}"

- name: Start an appliance with user inputs on a network by name
  opennebula.flower.one_service:
    name: digits
    template: Flower Federated Learning
    user_inputs_values:
      ONEAPP_FL_NUM_ROUNDS: 10
      ONEAPP_FL_TLS_ENABLED: true
    networks_values:
      Private: private

- name: Four nodes from now on
  opennebula.flower.one_service:
    name: digits
    roles:
      - name: supernode
        cardinality: 4

- name: Up to eight nodes, one more whenever they are busy
  opennebula.flower.one_service:
    name: digits
    roles:
      - name: supernode
        min_vms: 1
        max_vms: 8
        cooldown: 60
        elasticity_policies:
          - type: CHANGE
            adjust: 1
            expression: CPU > 80
            period_number: 3
            period: 30

- name: One more role, and the old nodes off
  opennebula.flower.one_service:
    name: digits
    roles:
      - name: evaluator
        definition:
          template: mnist-supernode
          cardinality: 1
      - name: supernode
        state: poweroff

- name: Without the role, and the nodes back
  opennebula.flower.one_service:
    name: digits
    roles:
      - name: evaluator
        state: absent
      - name: supernode
        state: running

- name: Let the group use it under a telling name
  opennebula.flower.one_service:
    name: digits
    new_name: handwriting
    description: Handwritten digits
    group: users
    permissions: "640"

- name: Try again after the host was repaired
  opennebula.flower.one_service:
    name: handwriting
    state: recovered

- name: Let a service run that was started on hold
  opennebula.flower.one_service:
    name: handwriting
    state: released

- name: Remove it with its VMs
  opennebula.flower.one_service:
    name: handwriting
    state: absent
"""

RETURN = r"""
service:
  description: The service as it is now. Empty where it does not live.
  returned: success
  type: dict
  contains:
    id:
      description: Its id; null in check mode when it would be started.
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
      description:
        - Its roles by name, with C(cardinality), C(min_vms), C(max_vms), C(state), C(cooldown),
          C(elasticity_policies), C(scheduled_policies), C(parents), C(template_id) and the ids of C(vms).
      type: dict
      sample: {"superlink": {"cardinality": 1, "min_vms": 1, "max_vms": 1, "state": "RUNNING", "vms": [5]}}
    vms:
      description:
        - Its VMs with C(id), C(name), C(role), C(state), C(ip), C(nics), C(host) and C(attributes) (USER_TEMPLATE).
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
  description: Its running VMs as hosts for M(ansible.builtin.add_host).
  returned: success
  type: list
  elements: dict
  contains:
    name:
      description: Name of the service, role and VM id, joined by hyphens.
      type: str
      sample: mnist-superlink-5
    groups:
      description: Groups of the host.
      type: list
      elements: str
      sample: ["superlink", "federation_mnist", "opennebula"]
    vars:
      description: Variables of the host.
      type: dict
      sample: {"ansible_host": "10.0.0.10", "one_vm_id": 5, "one_role": "superlink", "one_service_id": 7}
steps:
  description: What was written, or would be in check mode, in words.
  returned: success
  type: list
  elements: str
  sample: ["scale role supernode of service mnist from 2 to 3"]
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.one.api.settings import api_argument_spec
from ..module_utils.one.core.flow_session import FlowSession
from ..module_utils.one.core.runner import run
from ..module_utils.one.core.wait import wait_argument_spec
from ..module_utils.one.service.ops import ServiceOps
from ..module_utils.one.service.resource import ServiceResource
from ..module_utils.one.service.roles import roles_argument_spec


def argument_spec() -> dict[str, dict[str, Any]]:
    """The options of this module."""
    return {
        **api_argument_spec(),
        **wait_argument_spec(timeout=600),
        **roles_argument_spec(),
        "id": {"type": "int"},
        "name": {"type": "str"},
        "new_name": {"type": "str"},
        "state": {"type": "str", "choices": ["present", "absent", "recovered", "released"], "default": "present"},
        "template": {"type": "str"},
        "user_inputs_values": {"type": "dict"},
        "networks_values": {"type": "raw"},
        "description": {"type": "str"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "permissions": {"type": "str"},
        "force": {"type": "bool", "default": False},
        "mark": {"type": "str"},
        "network": {"type": "str"},
        "wait_for": {"type": "str", "choices": ["running", "vms", "none"], "default": "running"},
        "wait_roles": {"type": "list", "elements": "str"},
        "wait_attributes": {"type": "list", "elements": "str", "default": []},
        "wait_hopeless": {"type": "dict", "default": {}},
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=argument_spec(),
        required_one_of=[("id", "name")],
        supports_check_mode=True,
    )

    def make() -> ServiceResource:
        session = FlowSession(module.params, bool(module.check_mode))
        ops = ServiceOps(session.flow, session.connect, ServiceResource.waiting(module.params))
        return ServiceResource(session.flow, ops, session.lookups, module.params)

    run(module, make)


if __name__ == "__main__":
    main()
