# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates of OneFlow as plain data: normalised, so that two of them can be compared.

OneFlow rewrites what it is sent (keys of 6.x become those of 7.x, schema defaults are filled in, whole numbers given
as text become numbers), so what was asked and what is stored are compared only after both went through
`normalise`. Nothing in this file talks to a server.
"""

from __future__ import annotations

from typing import Any

from ansible.module_utils.parsing.convert_bool import boolean

from ..data import template as one_template
from ..data.compare import ALWAYS_LISTS
from ..errors import OneUsageError
from .legacy import convert_legacy

Body = dict[str, Any]

_SERVER_KEYS = frozenset({"registration_time"})
_ROLE_INTEGERS = ("cardinality", "template_id", "min_vms", "max_vms", "cooldown")
_BOOLEANS = ("ready_status_gate", "automatic_deletion", "on_hold")
_POLICY_INTEGERS = ("adjust", "min_adjust_step", "period_number", "period", "cooldown")
#: The schema default of a role's cardinality is 0, of `deployment` "none" and of `description` the empty string.
_BODY_DEFAULTS: Body = {"deployment": "none", "description": ""}
_ROLE_DEFAULTS: Body = {"cardinality": 0}
_DEFINITIONS = ("networks", "user_inputs")


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
        return strict_contents(contents)
    except OneUsageError:
        # Stored by somebody else with more levels than OpenNebula has: comparable, if not meaningful.
        return values_text(contents)


def strict_contents(contents: Body) -> Body:
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


def _normalise_role(role: Body, fill: bool) -> Body:
    result: Body = {**(_ROLE_DEFAULTS if fill else {}), **_booleans(role)}
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


def normalise(body: Body, *, fill: bool = True) -> Body:
    """The body as OneFlow 7.x would store it: 6.x keys converted, defaults filled (unless not), numbers as numbers."""
    result: Body = {**(_BODY_DEFAULTS if fill else {}), **_booleans(convert_legacy(body))}
    result = {key: value for key, value in result.items() if key not in _SERVER_KEYS and value is not None}
    if isinstance(result.get("roles"), list):
        result["roles"] = [
            _normalise_role(role, fill) if isinstance(role, dict) else role for role in result["roles"]
        ]
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
    for key in _DEFINITIONS:
        if isinstance(result.get(key), dict):
            result[key] = _definitions(result[key])
    return _meaningful(result)


def _definitions(texts: Body) -> Body:
    """User inputs and networks, written `M|network|text| |id:0`: blanks around the parts mean nothing."""
    return {
        key: "|".join(part.strip() for part in text.split("|")) if isinstance(text, str) else text
        for key, text in texts.items()
    }


def _comparable_role(role: Body) -> Body:
    result = dict(role)
    if isinstance(result.get("parents"), list):
        result["parents"] = sorted(str(parent) for parent in result["parents"])
    if isinstance(result.get("user_inputs"), dict):
        result["user_inputs"] = _definitions(result["user_inputs"])
    contents = result.get("template_contents")
    if isinstance(contents, dict):
        # One vector may be written as a mapping or as a list of one mapping; CONTEXT is the only attribute that
        # OneFlow needs as a mapping, all others mean the same either way.
        result["template_contents"] = {
            key: [value] if isinstance(value, dict) and key != "CONTEXT" else value for key, value in contents.items()
        }
    # Policies keep their order: OneFlow takes the first one that applies.
    return _meaningful(result)


def normalise_role_override(role: Body) -> Body:
    """A role's overrides for an instantiation: as in a template, but nothing is filled in that was not asked for."""
    result = {key: value for key, value in role.items() if value is not None}
    for key in _ROLE_INTEGERS:
        if key in result:
            result[key] = _integer(result[key])
    if "template_contents" in result:
        result["template_contents"] = strict_contents(result["template_contents"])
    return result
