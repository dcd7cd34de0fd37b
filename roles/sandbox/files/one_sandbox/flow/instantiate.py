# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a service template and a merge_template to the body of a new service."""

from __future__ import annotations

import copy
import time
from typing import Any

from .errors import BAD_REQUEST, FlowError
from .ruby import deep_merge
from .rules import validate
from .states import ROLE, SERVICE
from .validator import ValidationError

Body = dict[str, Any]


def new_service(template: Body, merge: Any) -> Body:
    """Body of the service. Neither argument is changed. Raises FlowError (400 inputs and networks, 500 the rest)."""
    template, merge = copy.deepcopy(template), copy.deepcopy(merge or {})
    _check_inputs(template, merge)
    _check_networks(template, merge)
    _merge_nested(template, merge)
    body = deep_merge(template, merge)
    try:
        validate(body)
    except ValidationError as error:
        raise FlowError(str(error)) from None
    if any(role.get("type") == "vr" for role in body["roles"]):
        raise FlowError("Virtual router roles are not part of this cloud; use roles of type vm.")
    body["state"] = SERVICE["PENDING"]
    for role in body["roles"]:
        role.setdefault("state", ROLE["PENDING"])
    body["start_time"] = int(time.time())
    return body


def _bad(message: str) -> FlowError:
    return FlowError(message, BAD_REQUEST)


def _check_inputs(template: Body, merge: Body) -> None:
    if "custom_attrs_values" in merge:
        merge["user_inputs_values"] = merge.pop("custom_attrs_values")
    _check_values(template.get("user_inputs"), merge.get("user_inputs_values"))
    for role in template["roles"]:
        name = role["name"]
        if not isinstance(role.get("template_contents", {}), dict):
            raise _bad(
                f"Error validating template_contents object for therole {name}. The object must be a valid hash."
            )
        if role.get("user_inputs") is None:
            continue
        merged = merge.get("roles")
        if merged is None:
            raise _bad(f"The Service template specifies user inputs for the role {name} but no values have been found")
        if not isinstance(merged, list) or not merged:
            raise _bad("The role user inputs are empty or do not have a valid format")
        mine = next((item for item in merged if item.get("name") == name), None)
        if mine is None:
            continue
        if "custom_attrs_values" in mine:
            mine["user_inputs_values"] = mine.pop("custom_attrs_values")
        _check_values(role["user_inputs"], mine.get("user_inputs_values"))


def _check_values(inputs: Any, values: Any) -> None:
    if not inputs:
        return
    if values is None:
        raise _bad("The Service template specifies User Inputs but no values have been found")
    if not isinstance(inputs, dict) or not isinstance(values, dict):
        raise _bad("Wrong User Inputs or User Inputs Values format")
    if not inputs.keys() <= values.keys():
        raise _bad("Verify that every User Input have its corresponding value defined")


def _check_networks(template: Body, merge: Body) -> None:
    networks, values = template.get("networks"), merge.get("networks_values")
    if networks is not None and values is None:
        values = merge["networks_values"] = _default_networks(networks)
    if networks is not None and not isinstance(networks, dict):
        raise _bad("Wrong networks format")
    if values is not None and any(not isinstance(value, dict) for value in values):
        raise _bad("Wrong networks_values format")
    if networks and not networks.keys() <= {name for value in values or [] for name in value}:
        raise _bad("Every network key must have its value defined at networks_value")
    for item in values or []:
        for net in item.values():
            for key, value in net.items():
                if isinstance(value, str):
                    net[key] = value.replace('\\"', "")


def _default_networks(networks: Any) -> list[Body]:
    """The fifth field of a network input is its default: "M|network|text||id:0"."""
    values = []
    try:
        for name, text in networks.items():
            key, value = text.split("|")[4].strip().split(":")[:2]
            values.append({name: {key: value}})
    except (AttributeError, IndexError, ValueError):
        raise _bad("Wrong networks format") from None
    return values


def _merge_nested(template: Body, merge: Body) -> None:
    """Networks and roles are matched by name; roles that the template does not have are ignored."""
    if merge.get("networks_values"):
        networks = template.get("networks_values") or []
        for item in merge["networks_values"]:
            if not item:
                continue
            name = next(iter(item))
            place = next((index for index, net in enumerate(networks) if name in net), None)
            if place is None:
                networks.append(item)
            else:
                networks[place] = item
        template["networks_values"] = networks
        merge["networks_values"] = []
    extra = merge.get("roles") or []
    if not extra:
        return
    for index, role in enumerate(template["roles"]):
        mine = next((item for item in extra if item.get("name") == role["name"]), None)
        if mine is not None:
            template["roles"][index] = deep_merge(role, mine)
    del merge["roles"]
