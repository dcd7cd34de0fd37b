#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

DOCUMENTATION = r"""
module: one_vnet_info
short_description: Read virtual networks of OpenNebula
version_added: 0.1.0
description:
  - Returns virtual networks with address ranges, the number of free addresses, and who has which address.
  - Large pools are read 500 networks at a time.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.info
  - opennebula.flower.info.owned
  - opennebula.flower.info.states
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
options:
  cluster:
    description:
      - Return only networks of this cluster. A name costs one more call than an id.
    type: str
  vn_mad:
    description:
      - Return only networks of this network driver, such as V(bridge) or V(802.1Q).
    type: str
  parent:
    description:
      - Return only reservations from the network with this id.
    type: int
  lease_holders:
    description:
      - Tell of each lease of a VM also the VM's name and owner, and the NIC. This costs one more call.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: Read one network
  opennebula.flower.one_vnet_info:
    name: private
  register: found

- name: Read who has which address of network 0
  opennebula.flower.one_vnet_info:
    id: 0
    lease_holders: true
  register: addresses
"""

RETURN = r"""
vnets:
  description: What was found, lowest id first.
  returned: success
  type: list
  elements: dict
  contains:
    id:
      description: Id of the network.
      type: int
    name:
      description: Name of the network.
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
    state:
      description: State in OpenNebula's words.
      type: str
      sample: READY
    state_id:
      description: Number of the state.
      type: int
    lock:
      description: Lock of the network, V(none) without one.
      type: str
      sample: none
    bridge:
      description: Bridge on the hosts.
      type: str
    bridge_type:
      description: Kind of the bridge.
      type: str
      sample: linux
    phydev:
      description: Network card of the hosts that the network uses.
      type: str
    vlan_id:
      description: VLAN, empty without one.
      type: str
    outer_vlan_id:
      description: Outer VLAN of a network within a VLAN.
      type: str
    security_groups:
      description: Ids of the security groups that its NICs get.
      type: list
      elements: int
    parent:
      description: Id of the network that it is a reservation from, or none.
      type: int
    template_id:
      description: Id of the network template that it was made from, or none.
      type: int
    vn_mad:
      description: Network driver.
      type: str
    clusters:
      description: Ids of the clusters that it belongs to.
      type: list
      elements: int
    size:
      description: Number of addresses.
      type: int
    used:
      description: Number of addresses in use.
      type: int
    free:
      description: Number of addresses that are free.
      type: int
    address_ranges:
      description: Its address ranges.
      type: list
      elements: dict
      contains:
        id:
          description: Id of the range.
          type: int
        type:
          description: Kind of its addresses.
          type: str
          sample: IP4
        ip:
          description: First IPv4 address.
          type: str
        ip_end:
          description: Last IPv4 address.
          type: str
        ip6:
          description: First IPv6 address.
          type: str
        ip6_end:
          description: Last IPv6 address.
          type: str
        mac:
          description: First MAC address.
          type: str
        mac_end:
          description: Last MAC address.
          type: str
        size:
          description: Number of addresses.
          type: int
        used:
          description: Number of addresses in use.
          type: int
        free:
          description: Number of addresses that are free.
          type: int
        shared:
          description: Whether several NICs may have one address.
          type: bool
        parent:
          description: Id of the range of the parent network that it is a reservation from, or none.
          type: int
        attributes:
          description: Whatever else the range sets, such as C(VLAN_ID) or C(GATEWAY).
          type: dict
    leases:
      description:
        - The addresses in use, those of VMs that this user may not see left out where one network is read by id.
        - In ranges of the types V(IP6) and V(IP4_6) the IPv6 address is only told where one network is read by id.
      type: list
      elements: dict
      contains:
        address_range:
          description: Id of the range.
          type: int
        ip:
          description: IPv4 address.
          type: str
        ip6:
          description: IPv6 address.
          type: str
        mac:
          description: MAC address.
          type: str
        vm_id:
          description: Id of the VM that has it; of C(vm_id), C(vnet_id) and C(vrouter_id) at most one is set.
          type: int
        vnet_id:
          description: Id of the network that reserved it.
          type: int
        vrouter_id:
          description: Id of the virtual router that has it.
          type: int
        on_hold:
          description: Whether it is kept from being given out.
          type: bool
        vm:
          description: C(id), C(name) and C(owner) of the VM; the last two are none where this user may not see it.
          returned: with O(lease_holders)
          type: dict
        nic_id:
          description: Id of the VM's NIC with the address.
          returned: with O(lease_holders)
          type: int
    vrouters:
      description: Ids of the virtual routers in it.
      type: list
      elements: int
    vms:
      description:
        - Ids of its VMs by whether their NICs follow the last change of the network, C(updated), C(outdated),
          C(updating) and C(error).
      type: dict
    labels:
      description: Its labels, sorted.
      type: list
      elements: str
    attributes:
      description: All other attributes, such as C(GATEWAY) and C(DNS).
      type: dict
    error:
      description: Why the network is in a failure state, in the words of the network driver.
      type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import run_info
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.objects import (
    info_argument_spec,
    states_argument_spec,
)
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.vnets import read_vnets


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            **info_argument_spec(),
            **states_argument_spec(),
            "cluster": {"type": "str"},
            "vn_mad": {"type": "str"},
            "parent": {"type": "int"},
            "lease_holders": {"type": "bool", "default": False},
        },
        supports_check_mode=True,
    )
    run_info(module, lambda: read_vnets(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
