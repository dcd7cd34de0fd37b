#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person with a laptop needs for Flower's own command line."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_connection_info
short_description: How Flower's own command line reaches a SuperLink
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Tells where the Control API of the SuperLink listens, which authority to trust there, and what a connection to it
    looks like in the settings of this version of Flower.
  - The Control API runs whatever code it is given, so it listens on the SuperLink's loopback, and a connection goes
    through a tunnel. The playbook C(opennebula.flower.connect) leaves everything needed on the control machine.
  - Run it on the SuperLink host.
options:
  name:
    description: Name of the connection, as in C(flwr run APP NAME).
    type: str
    default: flower
  address:
    description: Where the tunnel begins, C(host:port). By default, where the Control API listens.
    type: str
    default: ""
  certificates:
    description: File that will hold the certificate of the authority on the client's machine.
    type: str
    default: ""
  flower_home:
    description: Folder of the Flower runtime on the SuperLink.
    type: path
    default: /opt/flower
seealso:
  - module: opennebula.flower.flower_run
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: How is the SuperLink reached?
  opennebula.flower.flower_connection_info:
    name: hospital
    address: 127.0.0.1:19093
    certificates: /home/me/hospital/ca.crt
  register: reached

- name: Show what goes into the settings
  ansible.builtin.debug:
    msg: "{{ reached.profile }}"
"""

RETURN = r"""
flower_version:
  description: Version of Flower on the SuperLink. The client needs the same one.
  returned: success
  type: str
  sample: 1.34.0
control_address:
  description: Where the Control API listens, as the SuperLink's VM sees it.
  returned: success
  type: str
  sample: 127.0.0.1:9093
tls:
  description: Whether it speaks TLS.
  returned: success
  type: bool
certificate:
  description: Certificate of the authority (PEM); empty without TLS.
  returned: success
  type: str
in_app:
  description:
    - Whether this version of Flower looks for connections in the C(pyproject.toml) of an app; else in C(config.toml) in
      its own folder, C(FLWR_HOME).
  returned: success
  type: bool
profile:
  description: The connection as TOML. It says nothing about which connection is the default.
  returned: success
  type: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.run_commands import RunCommands, RunFailed


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "default": "flower"},
            "address": {"type": "str", "default": ""},
            "certificates": {"type": "str", "default": ""},
            "flower_home": {"type": "path", "default": "/opt/flower"},
        },
        supports_check_mode=True,
    )
    asked = [module.params[key] for key in ("name", "address", "certificates")]
    try:
        answer = RunCommands(module.run_command, module.params["flower_home"]).connection(*asked)
    except RunFailed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, control_address=answer.pop("address"), **answer)


if __name__ == "__main__":
    main()
