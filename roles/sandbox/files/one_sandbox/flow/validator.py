# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Checks a document against a schema, filling in defaults and turning "1" into 1, with the server's wording.

Keys that the schema does not know are kept: a service template may carry labels and marks of its own.
"""

from __future__ import annotations

import re
from typing import Any

from .ruby import compact
from .schema import SERVICE, VM_ROLE, VR_ROLE, Schema


class ValidationError(ValueError):
    """The document is not valid; the message is the server's."""


def check_schema(document: Any, schema: Schema | None = None) -> Any:
    """Validate in place, as a service unless told otherwise, and return the document. Raises ValidationError."""
    return _check(document, SERVICE if schema is None else schema, "")


def check_role(role: dict[str, Any]) -> None:
    """Validate one role by its type ("vm" when absent). Raises ValidationError."""
    kind = role.get("type", "vm")
    if kind == "vm":
        check_schema(role, VM_ROLE)
    elif kind == "vr":
        check_schema(role, VR_ROLE)
    else:
        raise ValidationError(f'Unsupported role type "{role["type"]}"')


def _check(value: Any, schema: Schema, key: str) -> Any:
    kind = schema["type"]
    if kind == "object":
        return _object(value, schema, key)
    if kind == "array":
        return _array(value, schema, key)
    if kind == "integer":
        return _integer(value, schema, key)
    if kind == "boolean":
        if not isinstance(value, bool):
            raise ValidationError(f"KEY: '{key}' is not allowed in {_symbols(schema)};")
        return value
    return _string(value, schema, key)


def _object(value: Any, schema: Schema, key: str) -> Any:
    if not isinstance(value, dict):
        raise ValidationError(f"KEY: '{key}' must be an Object;")
    for name, rule in schema["properties"].items():
        # null and false count as absent, as the server tests for truth.
        if value.get(name) is not None and value[name] is not False:
            value[name] = _check(value[name], rule, name)
        elif rule.get("required"):
            raise ValidationError(f"Mandatory document key '{name} ({rule['type']})' is missing from {compact(value)}")
        elif "default" in rule:
            value[name] = rule["default"]
    return value


def _array(value: Any, schema: Schema, key: str) -> Any:
    if not isinstance(value, list):
        raise ValidationError(f"KEY: '{key}' must be an Array;")
    if not schema["items"]:
        return value
    return [_check(item, schema["items"], key) for item in value]


def _integer(value: Any, schema: Schema, key: str) -> int:
    if isinstance(value, float):
        number = int(value)
    elif isinstance(value, int) and not isinstance(value, bool):
        number = value
    elif isinstance(value, str) and re.fullmatch(r"\s*[-+]?\d+(_\d+)*\s*", value):
        number = int(value)
    else:
        raise ValidationError(f"KEY: '{key}' must be an Integer;")
    minimum = schema.get("minimum")
    if minimum is not None and number < minimum:
        raise ValidationError(f"KEY: '{key}' must be greater than or equal to {minimum};")
    return number


def _string(value: Any, schema: Schema, key: str) -> str:
    if not isinstance(value, str):
        raise ValidationError(f"KEY: '{key}' must be a String;")
    if "enum" in schema and value not in schema["enum"]:
        raise ValidationError(f"KEY: '{key}' must be one of {', '.join(schema['enum'])};")
    if "regex" in schema and not re.search(schema["regex"], value, re.ASCII | re.MULTILINE):
        raise ValidationError(f"KEY: '{key}' must match regexp /{schema['regex']}/;")
    return value


def _symbols(schema: Schema) -> str:
    """A schema as Ruby shows it."""
    shown = {name: f":{item}" if name == "type" else str(item).lower() for name, item in schema.items()}
    return "{" + ", ".join(f":{name}=>{item}" for name, item in shown.items()) + "}"
