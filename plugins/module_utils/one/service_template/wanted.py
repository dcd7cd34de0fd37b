# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The body that a service template shall have: what is asked laid over what is stored, or in its place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ..data.compare import merged
from ..data.marks import MARK_KEY
from ..data.template import Template
from ..errors import OneUsageError
from .body import normalise, strict_contents
from .legacy import is_legacy

Body = dict[str, Any]

#: Keys that hold one value per name, so that merging adds to them.
_BY_NAME = frozenset({"networks", "user_inputs", "user_inputs_values"})
#: Every service template needs the first two; the others are written by the server and by the option mark.
_FIXED = frozenset({"name", "roles", "registration_time", MARK_KEY})
_OLD_NAMES = {"custom_attrs": "user_inputs", "custom_attrs_values": "user_inputs_values"}


def desired_body(
    template: Body | None,
    name: str,
    mark: str | None,
    current: Body | None = None,
    *,
    merge: bool = False,
    remove: Iterable[str] = (),
) -> Body:
    """The body to send, under its name and with its mark (kept from `current` where none is given).

    template: what is asked, its names resolved; None keeps `current`. merge: lay it over `current` instead of replacing
    that. remove: dotted paths of what goes, see `without_paths`. Raises OneUsageError for what cannot be stored.
    """
    for role in (template or {}).get("roles") or []:
        if isinstance(role, dict) and isinstance(role.get("template_contents"), dict):
            strict_contents(role["template_contents"])
    if template is None:
        result = dict(current or {})
    elif merge and current is not None:
        result = merged_body(current, template)
    else:
        result = normalise(_typed(template))
    result = without_paths(result, remove)
    result["name"] = name
    kept = (current or {}).get(MARK_KEY)
    if mark is not None:
        result[MARK_KEY] = mark
    elif kept is not None and MARK_KEY not in result:
        result[MARK_KEY] = kept
    return result


def _typed(body: Body) -> Body:
    """The body with the type of every role; a role is one of VMs unless it says otherwise."""
    roles = body.get("roles")
    if not isinstance(roles, list) or is_legacy(body):
        return dict(body)
    return {**body, "roles": [{"type": "vm", **role} if isinstance(role, dict) else role for role in roles]}


def merged_body(current: Body, wanted: Body) -> Body:
    """`current` with `wanted` laid over it: roles by their names, networks and user inputs by theirs.

    Within a role, template_contents is merged as VM templates are: CONTEXT key by key, NIC and DISK as complete lists.
    """
    asked = normalise({_OLD_NAMES.get(key, key): value for key, value in wanted.items()}, fill=False)
    if is_legacy(wanted):
        # The conversion fills in what a whole template needs, and a part of one does not mean.
        for role, given in zip(asked["roles"], wanted["roles"], strict=True):
            if "vm_template" not in given:
                del role["template_id"]
    result = normalise(current)
    for key, value in asked.items():
        if key == "roles" and isinstance(value, list):
            result[key] = _merged_roles(result.get(key) or [], value)
        elif key == "networks_values" and isinstance(value, list):
            result[key] = _merged_networks(result.get(key) or [], value)
        else:
            result[key] = _merged_value(key, result.get(key), value)
    return result


def _merged_value(key: str, stored: Any, asked: Any) -> Any:
    if key in _BY_NAME and isinstance(stored, dict) and isinstance(asked, dict):
        return {**stored, **asked}
    return asked


def _merged_roles(stored: list[Any], asked: list[Any]) -> list[Any]:
    result = list(stored)
    places = {role.get("name"): place for place, role in enumerate(result) if isinstance(role, dict)}
    for role in asked:
        place = places.get(role.get("name")) if isinstance(role, dict) else None
        if place is None:
            result += normalise(_typed({"roles": [role]}))["roles"]
        else:
            result[place] = _merged_role(result[place], role)
    return result


def _merged_role(stored: Body, asked: Body) -> Body:
    result = dict(stored)
    for key, value in asked.items():
        if key == "template_contents" and isinstance(value, dict) and isinstance(stored.get(key), dict):
            result[key] = dict(merged(Template(stored[key]), Template(value)))
        else:
            result[key] = _merged_value(key, stored.get(key), value)
    return result


def _merged_networks(stored: list[Any], asked: list[Any]) -> list[Any]:
    names = {name for item in asked if isinstance(item, dict) for name in item}
    return [item for item in stored if not (isinstance(item, dict) and names & set(item))] + asked


def without_paths(body: Body, paths: Iterable[str]) -> Body:
    """The body without what the paths name: `description`, `networks.Private`, `roles.web`, `roles.web.max_vms`.

    What is not there is no error. Raises OneUsageError for keys that a service template cannot be without.
    """
    result = body
    for path in paths:
        parts = path.split(".")
        if len(parts) == 1 and path in _FIXED:
            raise OneUsageError(f"{path} cannot be removed from a service template", hint="check remove_attributes")
        result = _without(result, parts)
    return result


def _without(value: Any, parts: list[str]) -> Any:
    first, rest = parts[0], parts[1:]
    if isinstance(value, Mapping):
        if rest and first in value:
            return {**value, first: _without(value[first], rest)}
        return {key: item for key, item in value.items() if key != first}
    if isinstance(value, list):
        # A list of roles: they go by their names.
        named = [(item.get("name") if isinstance(item, Mapping) else None, item) for item in value]
        if rest:
            return [_without(item, rest) if name == first else item for name, item in named]
        return [item for name, item in named if name != first]
    return value
