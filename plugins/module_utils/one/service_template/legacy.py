# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates in the keys of OpenNebula 6.x, rewritten to those of 7.x the way OneFlow 7.x does it on arrival."""

from __future__ import annotations

import re
from typing import Any

Body = dict[str, Any]

#: Line breaks inside square brackets do not end an attribute.
_LINES = re.compile(r"\n(?![^\[]*\])")


def is_legacy(body: Body) -> bool:
    """Whether OneFlow takes the body for a 6.x one: every role must have one of the two old keys."""
    roles = body.get("roles")
    if not isinstance(roles, list) or not roles:
        return False
    return all(isinstance(role, dict) and ("vm_template" in role or "vm_template_contents" in role) for role in roles)


def convert_legacy(body: Body) -> Body:
    """A copy of the body in 7.x keys; a body that is not a 6.x one comes back as an equal copy."""
    result = dict(body)
    if not is_legacy(body):
        return result
    result["roles"] = [_convert_role(role) for role in body["roles"]]
    for old, new in (("custom_attrs", "user_inputs"), ("custom_attrs_values", "user_inputs_values")):
        if result.get(old):
            result[new] = result.pop(old)
    return result


def _convert_role(role: Body) -> Body:
    result = dict(role)
    result["template_id"] = result.pop("vm_template", None) or 0
    result["type"] = "vm"
    text = result.pop("vm_template_contents", None)
    if text:
        result["template_contents"] = _contents(str(text))
    for old, new in (("custom_attrs", "user_inputs"), ("custom_attrs_values", "user_inputs_values")):
        value = result.pop(old, None)
        if value:
            result[new] = value
    return result


def _contents(text: str) -> Body:
    """`KEY = VALUE` lines as a mapping: vectors as lists of mappings, repeated scalars as lists, quotes dropped."""
    result: Body = {}
    for line in _LINES.split(text):
        if "=" not in line:
            continue
        key, value = (part.strip() for part in line.split("=", 1))
        value = value.replace('"', "")
        item: Any = _vector(value[1:-1]) if value.startswith("[") and value.endswith("]") else value
        if key not in result:
            result[key] = [item] if isinstance(item, dict) else item
        elif isinstance(result[key], list):
            result[key].append(item)
        else:
            result[key] = [result[key], item]
    return result


def _vector(text: str) -> Body:
    pairs = (element.split("=", 1) for element in text.split(",") if "=" in element)
    return {key.strip(): value.strip() for key, value in pairs}
