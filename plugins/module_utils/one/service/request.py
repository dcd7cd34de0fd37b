# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is sent to OneFlow to start a service: values for every user input and network, and changes of roles.

OneFlow wants a value for *every* user input, also for optional ones with a default, and quietly ignores roles that
it does not know; both are settled here, before anything is sent.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..data.marks import MARK_KEY
from ..errors import OneUsageError
from ..service_template.body import normalise_role_override, values_text
from .roles import ABSENT

#: A network to its id, an int; check mode gives the name itself, a str, where an earlier task may make it.
NetworkLookup = Callable[[Any], Any]

#: What is done to roles once the service runs.
_LATER = frozenset({"state", "definition"})


def merge_template(
    body: Mapping[str, Any],
    *,
    name: str,
    mark: str | None,
    description: str | None = None,
    inputs: Mapping[str, Any],
    networks: Mapping[str, Any],
    roles: Sequence[Mapping[str, Any]],
) -> dict[str, Any]:
    """The `merge_template` for an instantiation of the service template's body.

    inputs, networks: values by name; networks as OneFlow's choices (`{"id": "0"}`). roles: `{name, …}` with what
    overrides the template's role (cardinality, user_inputs_values, template_contents, …).
    Raises OneUsageError naming every unknown role and every mandatory input or network without a value.
    """
    problems: list[str] = []
    known_roles = {str(role["name"]): role for role in body.get("roles") or []}
    result: dict[str, Any] = {"name": name}
    if mark is not None:
        result[MARK_KEY] = mark
    if description is not None:
        result["description"] = description
    values = _input_values(body.get("user_inputs"), inputs, body.get("user_inputs_values"), "", problems)
    if values:
        result["user_inputs_values"] = values
    choices = _network_choices(body.get("networks"), networks, body.get("networks_values"), problems)
    if choices:
        result["networks_values"] = [{key: choice} for key, choice in choices.items()]
    overrides = _role_overrides(known_roles, roles, problems)
    if overrides:
        result["roles"] = overrides
    if problems:
        hint = "check the name, or give definition" if any("has no role" in one for one in problems) else None
        raise OneUsageError(f"service {name} cannot be started: {'; '.join(problems)}", hint=hint)
    return result


def _role_overrides(
    known: Mapping[str, Mapping[str, Any]], roles: Sequence[Mapping[str, Any]], problems: list[str]
) -> list[dict[str, Any]]:
    asked = {
        str(role["name"]): {key: value for key, value in role.items() if key not in _LATER} for role in roles
    }
    for role in roles:
        name = str(role["name"])
        if name not in known and not role.get("definition") and role.get("state") != ABSENT:
            problems.append(f"the template has no role {name} (it has {', '.join(known) or 'none'})")
    overrides = []
    for name, role in known.items():
        override = normalise_role_override(dict(asked.get(name, {"name": name})))
        values = _input_values(
            role.get("user_inputs"),
            override.pop("user_inputs_values", None) or {},
            role.get("user_inputs_values"),
            f" of role {name}",
            problems,
        )
        if values:
            override["user_inputs_values"] = values
        if len(override) > 1:
            overrides.append(override)
    return overrides


def _input_values(
    definitions: Any, given: Mapping[str, Any], stored: Any, where: str, problems: list[str]
) -> dict[str, Any]:
    """A value for every defined input: the given one, else the template's, else the default of the definition."""
    values = dict(values_text(given))
    stored = stored if isinstance(stored, Mapping) else {}
    for name, definition in (definitions if isinstance(definitions, Mapping) else {}).items():
        if name in values:
            continue
        default = stored.get(name, _default(definition))
        if default == "" and _mandatory(definition):
            problems.append(f"user input {name}{where} needs a value")
        values[name] = str(default)
    return values


def _parts(definition: Any) -> list[str]:
    return [part.strip() for part in str(definition).split("|")]


def _default(definition: Any) -> str:
    parts = _parts(definition)
    return parts[4] if len(parts) > 4 else ""


def _mandatory(definition: Any) -> bool:
    return _parts(definition)[0] == "M"


def _network_choices(
    definitions: Any, given: Mapping[str, Any], stored: Any, problems: list[str]
) -> dict[str, dict[str, Any]]:
    known = definitions if isinstance(definitions, Mapping) else {}
    preset: dict[str, Any] = {}
    for item in stored or []:
        preset.update(item)
    for name in given:
        if name not in known:
            problems.append(f"the template has no network {name} (it has {', '.join(known) or 'none'})")
    choices: dict[str, dict[str, Any]] = {}
    for name, definition in known.items():
        choice = given.get(name) or preset.get(name) or _default_choice(definition)
        if choice is None:
            problems.append(f"network {name} needs a value")
        else:
            choices[name] = choice
    return choices


def _default_choice(definition: Any) -> dict[str, str] | None:
    """The default inside a network's text, e.g. `{"id": "0"}` from `M|network|text||id:0`."""
    kind, colon, value = _default(definition).partition(":")
    return {kind: value} if colon and value else None


def network_values(given: Any, network_id: NetworkLookup) -> dict[str, dict[str, Any]]:
    """Networks as a user gives them (a name or id, or OneFlow's own choices, as a mapping or as its list) by name."""
    merged: dict[str, Any] = {}
    if isinstance(given, Mapping):
        merged = dict(given)
    else:
        for item in given or []:
            merged.update(item)
    return {str(key): _choice(value, network_id) for key, value in merged.items()}


def _choice(value: Any, network_id: NetworkLookup) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        text = str(value)
        return {"id": text if text.isdigit() else str(network_id(value))}
    name = value.get("name")
    if name is not None and not {"id", "template_id", "reserve_from"} & set(value):
        return {"id": str(network_id(name))}
    for key in ("id", "reserve_from"):
        if not str(value.get(key, "0")).isdigit():
            value = {**value, key: network_id(value[key])}
    return dict(values_text(value))
