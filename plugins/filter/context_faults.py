# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge context variables on the control machine with the very table, rules and profiles that nodes use."""

from __future__ import annotations

DOCUMENTATION = r"""
name: context_faults
short_description: What is wrong with context variables of a federation
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Checks values against the table of context variables that the node agent uses, and the Flower version against the
    versions that this collection has a profile for, so that a wrong value is told before anything is made.
  - All faults are returned at once. Values of secret variables are never shown.
positional: _input
options:
  _input:
    description: Context variables by their full name. Numbers and booleans are taken as the modules take them.
    type: dict
    required: true
  secrets:
    description: Context variables of the SuperLink that are handed over apart from the others.
    type: dict
"""

EXAMPLES = r"""
- name: Refuse wrong values
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join('; ') }}"
  vars:
    faults: "{{ {'ONEAPP_FL_LOG_LEVEL': 'LOUD'} | opennebula.flower.context_faults }}"
"""

RETURN = r"""
_value:
  description: One phrase per fault, C(NAME=value) and what was expected. Empty when all is well.
  type: list
  elements: str
  sample: ["ONEAPP_FL_LOG_LEVEL=LOUD: expected one of DEBUG, INFO, WARNING, ERROR"]
"""

from typing import Any

from ansible_collections.opennebula.flower.plugins.plugin_utils.node_package import part, texts

_ROLES = ("superlink", "supernode")
_VERSION = "ONEAPP_FLOWER_VERSION"
#: What the playbooks write into every CONTEXT themselves, and what each VM must be told by itself.
_NOT_TO_CHOOSE = {
    "TOKEN": ("YES", "must be YES: the VMs of a federation find each other through OneGate"),
    "NETWORK": ("YES", "must be YES: the VMs of a federation are reached over their network"),
    "START_SCRIPT_BASE64": ("", "is taken by the script that publishes the SSH host key; run yours by another way"),
    "ONEAPP_FL_ROLE": ("", "is not for all VMs of a federation alike; each has the role of its place"),
}


def context_faults(variables: Any, secrets: Any = None) -> list[str]:
    """Phrases about all that is wrong with `variables` (name to value), for both roles; AnsibleFilterError for a
    value that is no dictionary. `secrets` are more of them, which the SuperLink gets another way."""
    context, profiles = part("context"), part("profiles")
    given = texts(variables, "context_faults")
    hidden = texts(secrets or {}, "context_faults")
    rows = context.table()
    secret = [name for name in given if name in rows and rows[name].secret and given[name]]
    # The value is left out from here on: its place is wrong whatever it is.
    readable = {name: value for name, value in given.items() if name not in secret}
    phrases = {
        name: f"{name}: is secret and would be readable in the VM's template; give it in federation_superlink_secrets"
        for name in secret
    }
    for name, (only, reason) in _NOT_TO_CHOOSE.items():
        if readable.get(name, "").strip() not in ("", only):
            phrases[name] = f"{name}={context.shown(readable[name])}: {reason}"
    faults = context.unknown({**readable, **hidden})
    for role in _ROLES:
        known = {**readable, **hidden} if role == "superlink" else readable
        faults += context.validate(role, {**context.merge(role, {}, known), **dict.fromkeys(secret, "")})
    for fault in faults:
        phrases.setdefault(fault.name, str(fault))
    version = given.get(_VERSION, "").strip()
    if version:
        try:
            profiles.profile(context.shown(version))
        except profiles.UnknownVersionError as error:
            phrases[_VERSION] = str(error).rstrip(".")
        else:
            phrases.pop(_VERSION, None)
    return list(phrases.values())


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"context_faults": context_faults}
