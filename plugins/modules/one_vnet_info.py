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
  - Returns virtual networks with address ranges and the number of free addresses.
author:
  - opennebula.flower contributors (@opennebula)
extends_documentation_fragment:
  - opennebula.flower.auth
  - opennebula.flower.info
  - opennebula.flower.info.owned
  - opennebula.flower.attributes
  - opennebula.flower.attributes.info_module
  - opennebula.flower.attributes.actiongroup
"""

EXAMPLES = r"""
- name: Read one network
  opennebula.flower.one_vnet_info:
    name: private
  register: found
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
    bridge:
      description: Bridge on the hosts.
      type: str
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
      description: Its address ranges, each with C(id), C(type), C(ip), C(mac), C(size) and C(used).
      type: list
      elements: dict
    labels:
      description: Its labels, sorted.
      type: list
      elements: str
    attributes:
      description: All other attributes, such as C(GATEWAY) and C(DNS).
      type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.one.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.info import info_argument_spec, read_vnets
from ansible_collections.opennebula.flower.plugins.module_utils.one.runner import run_info


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec=info_argument_spec(),
        supports_check_mode=True,
    )
    run_info(module, lambda: read_vnets(Connection(Settings.from_params(module.params)), module.params))


if __name__ == "__main__":
    main()
