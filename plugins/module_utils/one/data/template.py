# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OpenNebula's template language: text to nested dictionaries and back.

Template: {"CPU": "1", "CONTEXT": {"TOKEN": "YES"}, "NIC": [{"NETWORK": "a"}, {"NETWORK": "b"}]}
 - names are upper case, values are strings,
 - a vector attribute is a dictionary of strings, and a name given more than once is a list.
Grammar and quoting follow the lexer of oned (only a double quote is escaped, by a backslash).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, TypeAlias

from ..errors import OneUsageError

Vector = dict[str, str]
Value: TypeAlias = "str | Vector | list[str | Vector]"


class Template(dict[str, Value]):
    """A parsed or normalised template; upper-case names, string leaves."""


class TemplateSyntaxError(OneUsageError):
    """Text that oned would not accept; line and column count from 1."""

    kind = "template"

    def __init__(self, text: str, line: int, column: int) -> None:
        super().__init__(f"template: {text} at line {line}, column {column}")
        self.line = line
        self.column = column


_VALID_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
# Patterns that few tasks need are texts: what is not compiled costs nothing.
BARE = r"[^=#\s,\[\]]+"
# What XML 1.0 cannot carry, and oned keeps every object as XML.
_CONTROL = "[\x00-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]"
_WHITE = " \t\n\v\f\r"


def parse(text: str) -> Template:
    """Parse template text. Raises TemplateSyntaxError with line and column."""
    # Loaded only where there is text.
    from .template_parser import Parser

    return Parser(text).template()


def render(template: Mapping[str, Any]) -> str:
    """Return template text, an attribute per line in the order given. Raises OneUsageError for what cannot be said."""
    lines: list[str] = []
    for name, value in normalise(template).items():
        for item in value if isinstance(value, list) else [value]:
            if isinstance(item, dict):
                inner = ", ".join(f"{key}={_quote(key, part)}" for key, part in item.items())
                lines.append(f"{name}=[ {inner} ]")
            else:
                lines.append(f"{name}={_quote(name, item)}")
    return "\n".join(lines)


def normalise(template: Mapping[str, Any] | str | None) -> Template:
    """Return a Template from what a user writes in YAML: text or a mapping, any case, numbers, booleans.

    Booleans become YES and NO as everywhere in OpenNebula; a null value leaves the attribute out.
    """
    if template is None:
        return Template()
    if isinstance(template, str):
        return parse(template)
    result = Template()
    for key, value in template.items():
        name = _checked_name(key)
        if value is None:
            continue
        if name in result:
            raise OneUsageError(f"template: {name} is given twice in different case")
        if isinstance(value, (list, tuple)):
            result[name] = [_leaf_or_vector(name, item) for item in value if item is not None]
        else:
            result[name] = _leaf_or_vector(name, value)
    return result


def scalar(value: Any) -> str:
    """Return the text of one leaf as OpenNebula stores it: oned trims white space, XML turns CR LF into LF."""
    if isinstance(value, bool):
        return "YES" if value else "NO"
    if isinstance(value, float) and value.is_integer() and abs(value) < 1e15:
        return str(int(value))
    return str(value).replace("\r\n", "\n").replace("\r", "\n").strip(_WHITE)


def _leaf_or_vector(name: str, value: Any) -> str | Vector:
    if isinstance(value, Mapping):
        vector: Vector = {}
        for key, part in value.items():
            if isinstance(part, (Mapping, list, tuple)):
                raise OneUsageError(f"template: {name}.{key} must be a single value; OpenNebula has no deeper levels")
            if part is not None:
                vector[_checked_name(key)] = scalar(part)
        return vector
    if isinstance(value, (list, tuple)):
        raise OneUsageError(f"template: {name} must not be a list of lists")
    return scalar(value)


def _checked_name(key: Any) -> str:
    name = str(key)
    if not _VALID_NAME.match(name):
        raise OneUsageError(f"template: {name!r} is no attribute name; use letters, digits and underscores")
    return name.upper()


def _quote(name: str, value: str) -> str:
    if "]]>" in value or re.search(_CONTROL, value):
        raise OneUsageError(
            f"template: the value of {name} holds ']]>' or a control character, which OpenNebula cannot store; "
            "pass it base64 encoded"
        )
    escaped = value.replace('"', '\\"')
    if value.endswith("\\"):
        # Inside quotes the last backslash would swallow the closing one; without them it is safe if nothing else is
        # special.
        if re.fullmatch(BARE, value):
            return escaped
        raise OneUsageError(f"template: the value of {name} ends in a backslash, which OpenNebula cannot store")
    return f'"{escaped}"'
