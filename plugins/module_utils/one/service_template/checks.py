# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OneFlow stores without a word although it cannot work: misspelt keys of roles, parents that are no roles."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..errors import OneUsageError

#: All keys of roles that OneFlow knows, of VMs and of virtual routers.
_KEYS = frozenset(
    "name type cardinality template_id template_contents user_inputs user_inputs_values parents shutdown_action "
    "min_vms max_vms cooldown on_hold elasticity_policies scheduled_policies".split()
)
#: Those of OpenNebula 6, and the name of a VM template, which only this collection knows.
_OTHER_KEYS = frozenset("vm_template vm_template_contents custom_attrs custom_attrs_values template".split())
#: OneFlow ignores these, but Sunstone leaves them in what it stores.
_SUNSTONE_KEYS = frozenset({"vm_template_id_content", "template_id_content", "selected_vm_template_id"})
KNOWN_KEYS = _KEYS | _OTHER_KEYS
_REFERENCES = ("template", "template_id", "vm_template")


def check_keys(roles: Any, where: str) -> list[str]:
    """Refuse keys of roles that look like a misspelt one; return a warning for every other one that is not known.

    OneFlow stores any key and ignores what it does not know, so that `cardinalty: 1` makes a role without VMs. Other
    clients keep keys of their own in roles, so a key is no error by itself. where: the template or service in words.
    """
    warnings = []
    for role in roles if isinstance(roles, list) else []:
        for key in role if isinstance(role, Mapping) else ():
            if key in KNOWN_KEYS or key in _SUNSTONE_KEYS:
                continue
            sentence = f"OneFlow does not know the key {key} of role {role.get('name')} of {where}"
            meant = _meant(str(key))
            if meant:
                raise OneUsageError(sentence, hint=f"write {meant}")
            warnings.append(f"{sentence}, and ignores it")
    return warnings


def _meant(key: str) -> str | None:
    """The known key that a misspelt one is close to."""
    # Only here: right keys are the rule.
    from difflib import get_close_matches

    plain = key.lower().replace("-", "_")
    return next(iter(get_close_matches(plain, sorted(KNOWN_KEYS), 1, 0.8)), None)


def check_templates(asked: Any, body: Mapping[str, Any], where: str, hint: str) -> None:
    """Refuse roles that are asked for and would have no VM template.

    asked: the roles as given; body: the whole body as it would be stored.
    """
    names = {role.get("name") for role in asked if isinstance(role, Mapping)} if isinstance(asked, list) else set()
    for role in _roles(body):
        if role.get("name") in names and all(role.get(key) is None for key in _REFERENCES):
            raise OneUsageError(f"role {role.get('name')} of {where} has no VM template", hint=hint)


def check_parents(body: Mapping[str, Any], where: str) -> None:
    """Refuse parents that name no role of the body: a service from it would stay DEPLOYING_NETS for ever."""
    roles = _roles(body)
    names = {str(role.get("name")) for role in roles}
    for role in roles:
        parents = role.get("parents")
        unknown = [str(one) for one in parents if str(one) not in names] if isinstance(parents, list) else []
        if unknown:
            raise OneUsageError(
                f"role {role.get('name')} of {where} has the parent {', '.join(unknown)}, which is no role of it",
                hint=f"parents may name {', '.join(sorted(names - {str(role.get('name'))})) or 'nothing here'}",
            )


def _roles(body: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    roles = body.get("roles")
    return [role for role in roles if isinstance(role, Mapping)] if isinstance(roles, list) else []
