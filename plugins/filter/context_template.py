# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTEXT of a VM template, made from the table of context variables."""

from __future__ import annotations

DOCUMENTATION = r"""
name: context_template
short_description: CONTEXT of a VM template for context variables
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Gives what the CONTEXT of a VM template holds for a SuperLink or a SuperNode, with what OpenNebula's own
    contextualization needs (C(TOKEN), C(NETWORK), C(SSH_PUBLIC_KEY)).
  - Empty variables, and those that the role does not know, are left out. Secrets are refused, because whoever may see
    the template may read them.
  - OpenNebula replaces C($NAME) in a CONTEXT by what stands in the VM template, so a value with C($) in it is refused.
    With O(references) that is put to use; the template then needs C(USER_INPUTS), as
    P(opennebula.flower.context_user_inputs#filter) makes them. In a service that is not needed, because OneFlow puts
    references to its own inputs into CONTEXT by itself.
positional: _input, role
options:
  _input:
    description: Context variables by name.
    type: dict
    required: true
  role:
    description: What the VM will be.
    type: str
    choices: [superlink, supernode]
    required: true
  references:
    description: Whether CONTEXT refers to the inputs of the template instead of holding the values.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A VM template for a SuperNode of another site
  opennebula.flower.one_template:
    name: foreign-supernode
    template:
      CPU: "1"
      MEMORY: "2048"
      CONTEXT: "{{ {'ONEAPP_FL_SUPERLINK_ADDRESS': '203.0.113.7:9092'}
        | opennebula.flower.context_template('supernode') | combine({'ONEAPP_FL_ROLE': 'supernode'}) }}"
"""

RETURN = r"""
_value:
  description: Text by name of the variable.
  type: dict
  sample: {"TOKEN": "YES", "NETWORK": "YES", "ONEAPP_FL_LOG_LEVEL": "DEBUG"}
"""

from typing import Any

from ansible_collections.opennebula.flower.plugins.plugin_utils.context_inputs import context
from ansible_collections.opennebula.flower.plugins.plugin_utils.node_package import texts


def context_template(variables: Any, role: str, references: bool = False) -> dict[str, str]:
    """Values, or references to inputs, by name for a VM of the role; AnsibleFilterError for what cannot stand there."""
    return context(texts(variables, "context_template"), role, references)


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"context_template": context_template}
