# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates of OneFlow as plain data: normalised, compared, and with names turned into ids.

OneFlow rewrites what it is sent (keys of 6.x become those of 7.x, schema defaults are filled in, whole numbers given
as text become numbers), so what was asked and what is stored are compared only after both went through
`normalise`. Nothing in this file talks to a server; look-ups are passed in as functions.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from . import template as one_template
from .compare import ALWAYS_LISTS
from .errors import OneUsageError
from .legacy_service import convert_legacy
from .marks import MARK_KEY

Body = dict[str, Any]
Lookup = Callable[[Any], int]

_SERVER_KEYS = frozenset({"registration_time"})
_ROLE_INTEGERS = ("cardinality", "template_id", "min_vms", "max_vms", "cooldown")
_BOOLEANS = ("ready_status_gate", "automatic_deletion", "on_hold")
_POLICY_INTEGERS = ("adjust", "min_adjust_step", "period_number", "period", "cooldown")
#: The schema default of a role's cardinality is 0, of `deployment` "none" and of `description` the empty string.
_BODY_DEFAULTS: Body = {"deployment": "none", "description": ""}
_ROLE_DEFAULTS: Body = {"cardinality": 0}


def _integer(value: Any) -> Any:
    """A whole number where the value is one in any spelling, else the value as it is (the server will refuse it)."""
    if isinstance(value, bool):
        return value
    try:
        return int(value)
    except (TypeError, ValueError):
        return value


def values_text(values: Any) -> Any:
    """Values of user inputs or networks as OpenNebula writes them: text all the way down, YES and NO for booleans.

    YAML reads `YES` as a boolean, and OneFlow would pass it on as "true", which OpenNebula does not take for YES.
    """
    if isinstance(values, dict):
        return {str(key): values_text(item) for key, item in values.items() if item is not None}
    if isinstance(values, (list, tuple)):
        return [values_text(item) for item in values]
    return one_template.scalar(values)


def _contents(contents: Any) -> Any:
    """A role's template_contents in the form of OpenNebula's template language; foreign forms stay as they are."""
    if not isinstance(contents, dict):
        return contents
    try:
        return _strict_contents(contents)
    except OneUsageError:
        # Stored by somebody else with more levels than OpenNebula has: comparable, if not meaningful.
        return values_text(contents)


def _strict_contents(contents: Body) -> Body:
    """Like `_contents`, but raises OneUsageError for what OpenNebula cannot store.

    OneFlow walks over NIC as a list and fails on a single mapping, so attributes of which there may be several are
    always lists.
    """
    return {
        name: [value] if name in ALWAYS_LISTS and isinstance(value, dict) else value
        for name, value in one_template.normalise(contents).items()
    }


def _booleans(body: Body) -> Body:
    """The switches of a body or role as booleans, also where a variable turned them into text."""
    return {
        key: boolean(value, strict=False) if key in _BOOLEANS and isinstance(value, (str, int)) else value
        for key, value in body.items()
    }


def _meaningful(body: Body) -> Body:
    """Without empty containers and switches that are off, which mean the same as nothing."""
    return {
        key: value
        for key, value in body.items()
        if value not in ({}, []) and not (key in _BOOLEANS and value is False)
    }


def _policies(policies: Any) -> Any:
    if not isinstance(policies, list):
        return policies
    return [
        {key: _integer(item) if key in _POLICY_INTEGERS else item for key, item in policy.items()}
        if isinstance(policy, dict) else policy
        for policy in policies
    ]


def _normalise_role(role: Body) -> Body:
    result: Body = {**_ROLE_DEFAULTS, **_booleans(role)}
    for key in _ROLE_INTEGERS:
        if result.get(key) is not None:
            result[key] = _integer(result[key])
    if "template_contents" in result:
        result["template_contents"] = _contents(result["template_contents"] or {})
    if "user_inputs_values" in result:
        result["user_inputs_values"] = values_text(result["user_inputs_values"] or {})
    for key in ("elasticity_policies", "scheduled_policies"):
        if key in result:
            result[key] = _policies(result[key])
    return {key: value for key, value in result.items() if value is not None}


def normalise(body: Body) -> Body:
    """The body as OneFlow 7.x would store it: 6.x keys converted, defaults filled, numbers as numbers."""
    result: Body = {**_BODY_DEFAULTS, **_booleans(convert_legacy(body))}
    result = {key: value for key, value in result.items() if key not in _SERVER_KEYS and value is not None}
    if isinstance(result.get("roles"), list):
        result["roles"] = [_normalise_role(role) if isinstance(role, dict) else role for role in result["roles"]]
    if "user_inputs_values" in result:
        result["user_inputs_values"] = values_text(result["user_inputs_values"] or {})
    return result


def comparable(body: Body) -> Body:
    """`normalise` without what has no meaning: order of roles and parents, empty containers, spelling of lists.

    Roles become a mapping by name, so that a difference names the role it is in.
    """
    result = normalise(body)
    roles = result.get("roles") or []
    result["roles"] = {str(role.get("name")): _comparable_role(role) for role in roles if isinstance(role, dict)}
    networks = result.get("networks_values")
    if isinstance(networks, list):
        merged: Body = {}
        for item in networks:
            if isinstance(item, dict):
                merged.update(item)
        result["networks_values"] = {key: values_text(value) for key, value in merged.items()}
    return _meaningful(result)


def _comparable_role(role: Body) -> Body:
    result = dict(role)
    if isinstance(result.get("parents"), list):
        result["parents"] = sorted(str(parent) for parent in result["parents"])
    contents = result.get("template_contents")
    if isinstance(contents, dict):
        # One vector may be written as a mapping or as a list of one mapping; CONTEXT is the only attribute that
        # OneFlow needs as a mapping, all others mean the same either way.
        result["template_contents"] = {
            key: [value] if isinstance(value, dict) and key != "CONTEXT" else value for key, value in contents.items()
        }
    for key in ("elasticity_policies", "scheduled_policies"):
        if isinstance(result.get(key), list):
            result[key] = sorted(result[key], key=lambda item: json.dumps(item, sort_keys=True, default=str))
    return _meaningful(result)


def resolve_names(body: Body, vm_template_id: Lookup, network_id: Lookup) -> Body:
    """The body with a role's `template` (a VM template's name or id) and networks' names replaced by ids.

    A network of the service may be given as OneFlow's own text (`M|network|text||id:0`), as the name of a virtual
    network, or as a mapping with one of `id`, `name`, `template_id`, `reserve_from` and optionally `description`
    and `mandatory`. The look-ups raise when nothing or more than one object has the name.
    """
    result = dict(body)
    if isinstance(result.get("roles"), list):
        result["roles"] = [_resolve_role(role, vm_template_id) for role in result["roles"]]
    if isinstance(result.get("networks"), dict):
        result["networks"] = {
            str(key): _network_text(str(key), value, network_id) for key, value in result["networks"].items()
        }
    return result


def _resolve_role(role: Any, vm_template_id: Lookup) -> Any:
    if not isinstance(role, dict):
        return role
    result = dict(role)
    result.setdefault("type", "vm")
    reference = result.pop("template", None)
    if reference is None:
        reference = result.get("template_id")
    if reference is not None:
        number = _integer(reference)
        result["template_id"] = number if isinstance(number, int) else vm_template_id(reference)
    return result


def _network_text(key: str, value: Any, network_id: Lookup) -> Any:
    if isinstance(value, str):
        if "|" in value:
            return value
        value = {"name": value}
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"id": value}
    if not isinstance(value, dict):
        return value
    flag = "O" if value.get("mandatory") is False else "M"
    return f"{flag}|network|{value.get('description') or key}||{_network_choice(value, network_id)}"


def _network_choice(value: Body, network_id: Lookup) -> str:
    for kind in ("template_id", "reserve_from"):
        if value.get(kind) is not None:
            return f"{kind}:{value[kind]}"
    if value.get("id") is not None:
        return f"id:{value['id']}"
    return f"id:{network_id(value.get('name'))}"


def desired_body(template: Body, name: str, mark: str | None, current: Body | None = None) -> Body:
    """The body to send: the asked template under its name, with the mark (kept from `current` where none is given)."""
    for role in template.get("roles") or []:
        if isinstance(role, dict) and isinstance(role.get("template_contents"), dict):
            _strict_contents(role["template_contents"])
    result = normalise(template)
    result["name"] = name
    kept = (current or {}).get(MARK_KEY)
    if mark is not None:
        result[MARK_KEY] = mark
    elif kept is not None and MARK_KEY not in result:
        result[MARK_KEY] = kept
    return result


def normalise_role_override(role: Body) -> Body:
    """A role's overrides for an instantiation: as in a template, but nothing is filled in that was not asked for."""
    result = {key: value for key, value in role.items() if value is not None}
    for key in _ROLE_INTEGERS:
        if key in result:
            result[key] = _integer(result[key])
    if "template_contents" in result:
        result["template_contents"] = _strict_contents(result["template_contents"])
    return result
