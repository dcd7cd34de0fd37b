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

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

_PACKAGE = "flower_ops"
_FOLDER = Path(__file__).resolve().parents[2] / "roles/flower_runtime/files/flower_ops" / _PACKAGE
_ROLES = ("superlink", "supernode")
_VERSION = "ONEAPP_FLOWER_VERSION"


def _part(name: str) -> Any:
    """A module of the node package, which lies in a role: nodes get it from there, and it is on no import path here."""
    if _PACKAGE not in sys.modules:
        spec = importlib.util.spec_from_file_location(
            _PACKAGE, _FOLDER / "__init__.py", submodule_search_locations=[str(_FOLDER)]
        )
        if spec is None or spec.loader is None:
            raise AnsibleFilterError(f"{_FOLDER} cannot be read; install the collection again.")
        package = importlib.util.module_from_spec(spec)
        sys.modules[_PACKAGE] = package
        spec.loader.exec_module(package)
    return importlib.import_module(f"{_PACKAGE}.{name}")


def _text(value: Any) -> str:
    """A value as nodes and VM templates get it."""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    return "" if value is None else str(value)


def context_faults(variables: Any, secrets: Any = None) -> list[str]:
    """Phrases about all that is wrong with `variables` (name to value), for both roles; AnsibleFilterError for a
    value that is no dictionary. `secrets` are more of them, which the SuperLink gets another way."""
    if not isinstance(variables, Mapping) or not isinstance(secrets or {}, Mapping):
        raise AnsibleFilterError("context_faults needs a dictionary of context variables.")
    context, profiles = _part("context"), _part("profiles")
    given = {str(name): _text(value) for name, value in variables.items()}
    rows = context.table()
    secret = [name for name in given if name in rows and rows[name].secret and given[name]]
    # The value is left out from here on: its place is wrong whatever it is.
    readable = {name: value for name, value in given.items() if name not in secret}
    phrases = {
        name: f"{name}: is secret and would be readable in the VM's template; give it in federation_superlink_secrets"
        for name in secret
    }
    hidden = {str(name): _text(value) for name, value in (secrets or {}).items()}
    faults = context.unknown({**readable, **hidden})
    for role in _ROLES:
        known = {**readable, **hidden} if role == "superlink" else readable
        faults += context.validate(role, {**context.merge(role, {}, known), **dict.fromkeys(secret, "")})
    for fault in faults:
        phrases.setdefault(fault.name, str(fault))
    version = given.get(_VERSION, "").strip()
    if version:
        try:
            profiles.profile(version)
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
