# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""User inputs of OneFlow services and VM templates, made from the table of context variables."""

from __future__ import annotations

DOCUMENTATION = r"""
name: context_user_inputs
short_description: User inputs of a service template for context variables
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Turns the table of context variables into C(user_inputs) as OneFlow and VM templates know them, so that a person can
    start a service with other values in Sunstone or with C(oneflow-template instantiate).
  - OneFlow puts the value of every input into the VM template and a reference to it into its CONTEXT by itself.
    Values of the service go to the VMs of all its roles, those of a role win over them. A variable that a VM's role
    does not know is ignored there, so that V(all) on the service is enough.
  - Sunstone asks for inputs of the service as they stand in the service template, but for those of a role as they
    stand in C(USER_INPUTS) of the role's VM template; OneFlow's server looks into the service template for both.
  - Left out are variables of OpenNebula's own contextualization and those that have no effect in this version.
positional: _input, level
options:
  _input:
    description:
      - Context variables by name; they become the defaults of the inputs. Empty values mean the table's default.
    type: dict
    required: true
  level:
    description:
      - Which inputs. V(service) are those that must be equal on all VMs, V(superlink) and V(supernode) those of that
        role, V(all) all of them.
    type: str
    choices: [all, service, superlink, supernode]
    default: all
  choices:
    description:
      - By name, what may be chosen where that is less than the table allows, such as the frameworks that an image
        holds. The input becomes a list.
    type: dict
    default: {}
  secrets:
    description:
      - Whether to ask for the SuperLink's own certificate and its key as well. They are then readable in the service
        for whoever may use it.
    type: bool
    default: false
"""

EXAMPLES = r"""
- name: A service template that asks
  opennebula.flower.one_service_template:
    name: flower
    template:
      user_inputs: "{{ {'ONEAPP_FL_LOG_LEVEL': 'DEBUG'} | opennebula.flower.context_user_inputs(
        choices={'ONEAPP_FL_FRAMEWORK': ['sklearn'], 'ONEAPP_FLOWER_VERSION': ['1.34.0']}) }}"
      roles:
        - name: superlink
          template: flower-superlink
"""

RETURN = r"""
_value:
  description: C(O|type|text|options|default) by name of the variable.
  type: dict
  sample: {"ONEAPP_FL_LOG_LEVEL": "O|list|Least severe message that is logged|DEBUG,INFO,WARNING,ERROR|DEBUG"}
"""

from collections.abc import Mapping
from typing import Any

from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.plugin_utils.context_inputs import inputs
from ansible_collections.opennebula.flower.plugins.plugin_utils.node_package import texts


def context_user_inputs(
    variables: Any, level: str = "all", choices: Any = None, secrets: bool = False
) -> dict[str, str]:
    """`O|type|text|options|default` by name for the variables of a level; AnsibleFilterError for values, names or
    choices that the table does not have."""
    narrower = choices or {}
    if not isinstance(narrower, Mapping):
        raise AnsibleFilterError("context_user_inputs needs a dictionary of choices: a list by name of the variable.")
    return inputs(
        texts(variables, "context_user_inputs"),
        level,
        {str(name): [str(value) for value in values] for name, values in narrower.items()},
        secrets,
    )


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"context_user_inputs": context_user_inputs}
