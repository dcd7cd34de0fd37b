# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM says about itself, in words for a sentence."""

from __future__ import annotations

DOCUMENTATION = r"""
name: vm_says
short_description: A VM and what it says in its attributes, in words
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Names a VM by id, name and, unless it is running, state, followed by those of the named attributes that it has.
  - An attribute that is V(NONE) counts as absent, because OneGate cannot empty one. With attribute names, a VM that
    has not the first of them is an empty text.
positional: _input, _attributes
options:
  _input:
    description: A VM as M(opennebula.flower.one_service_info) or M(opennebula.flower.one_vm_info) returns it.
    type: dict
    required: true
  _attributes:
    description: Names of attributes.
    type: list
    elements: str
"""

EXAMPLES = r"""
- name: Who has a problem
  ansible.builtin.debug:
    msg: "{{ service.vms | map('opennebula.flower.vm_says', 'FL_ERROR', 'FL_ERROR_TEXT') | select }}"
"""

RETURN = r"""
_value:
  description: The words, or nothing.
  type: str
  sample: "VM 5 (superlink_0_(service_7)) says FL_ERROR=tls_setup_failed"
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError


def vm_says(vm: Any, *attributes: str) -> str:
    """The words; "" where `attributes` are asked for and there is nothing to tell."""
    if not isinstance(vm, Mapping) or "id" not in vm:
        raise AnsibleFilterError("vm_says needs a VM as one_service_info or one_vm_info returns it.")
    values = vm.get("attributes") or {}
    there = [name for name in attributes if values.get(name) not in (None, "", "NONE")]
    # Whole sentences become parts of another one.
    told = [f"{name}={str(values[name]).rstrip('.')}" for name in there]
    if attributes and not (told and told[0].startswith(f"{attributes[0]}=")):
        return ""
    state = str(vm.get("state", ""))
    who = f"VM {vm['id']} ({vm.get('name', '')})" + ("" if state == "RUNNING" else f" is {state}")
    if not told:
        return who
    return f"{who}{' says ' if state == 'RUNNING' else ' and says '}{', '.join(told)}"


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"vm_says": vm_says}
