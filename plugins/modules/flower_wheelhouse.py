#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Collect everything that nodes install, on the control machine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_wheelhouse
short_description: Collect all Python packages of a node in one archive
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Downloads the wheels of some requirements and of everything they need, for the nodes' Python and architecture,
    builds local projects as wheels, and puts all of it into one tar archive.
  - Nodes install from the archive alone, so they need neither an index nor a network. C(uv) and C(pip) are in it.
  - Run it on the control machine. It uses pip with the settings of that machine (index, proxy, certificates).
  - With nothing changed a second call returns at once without a network.
options:
  python_version:
    description: Python of the nodes, such as V(3.11).
    type: str
    required: true
  architecture:
    description: Processor architecture of the nodes.
    type: str
    choices: [x86_64, aarch64]
    default: x86_64
  requirements:
    description: Requirements, pinned so that every node gets the same, such as V(flwr==1.34.0).
    type: list
    elements: str
    required: true
  projects:
    description: Directories of local Python projects to build as wheels and to put in.
    type: list
    elements: path
    default: []
  cache_dir:
    description: Directory where archives are kept.
    type: path
    default: ~/.cache/opennebula.flower/wheelhouse
attributes:
  check_mode:
    support: full
    description: Says whether an archive would be made.
  diff_mode:
    support: none
    description: An archive either exists or it does not.
"""

EXAMPLES = r"""
- name: Collect what the nodes install
  opennebula.flower.flower_wheelhouse:
    python_version: "3.11"
    requirements:
      - flwr==1.34.0
      - scikit-learn==1.9.1
  delegate_to: localhost
  register: wheelhouse
"""

RETURN = r"""
path:
  description: The archive, an uncompressed tar of C(.whl) files.
  returned: success
  type: str
digest:
  description: SHA-256 of the archive in hexadecimal; empty in check mode when it does not exist yet.
  returned: success
  type: str
size:
  description: Size of the archive in bytes.
  returned: when the archive exists
  type: int
wheels:
  description: Names of the files in it.
  returned: when the archive exists
  type: list
  elements: str
"""

import sys
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.wheelhouse import (
    ARCHITECTURES,
    Target,
    Wheelhouse,
    WheelhouseError,
)


def main() -> None:
    """Find the archive or make it."""
    module = AnsibleModule(
        argument_spec={
            "python_version": {"type": "str", "required": True},
            "architecture": {"type": "str", "choices": list(ARCHITECTURES), "default": "x86_64"},
            "requirements": {"type": "list", "elements": "str", "required": True},
            "projects": {"type": "list", "elements": "path", "default": []},
            "cache_dir": {"type": "path", "default": "~/.cache/opennebula.flower/wheelhouse"},
        },
        supports_check_mode=True,
    )
    given = module.params
    target = Target(
        given["python_version"],
        given["architecture"],
        tuple(given["requirements"]),
        tuple(Path(project) for project in given["projects"]),
    )
    pythons = [sys.executable, f"python{given['python_version']}", "python3"]
    house = Wheelhouse(Path(given["cache_dir"]), module.run_command, pythons)
    try:
        target.check()
        if module.check_mode:
            found = house.find(target)
            missing = {"path": str(house.cache / target.name), "digest": ""}
            module.exit_json(changed=found is None, **(found or missing))
        archive, changed = house.build(target)
    except WheelhouseError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=changed, **archive)


if __name__ == "__main__":
    main()
