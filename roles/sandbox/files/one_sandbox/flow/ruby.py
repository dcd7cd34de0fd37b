# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text and data the way the Ruby server makes them: JSON layout, deep merge, hash to template text."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

from ..oned.template import xml_to_dict

# Stands for an empty CDATA section while XML is read; a private use character that no answer holds.
_EMPTY = "\ue000"


def pretty(value: Any, indent: str = "") -> str:
    """JSON as `JSON.pretty_generate` lays it out (an empty object or array takes two or three lines)."""
    inner = indent + "  "
    if isinstance(value, dict):
        lines = [f"{inner}{_leaf(str(key))}: {pretty(item, inner)}" for key, item in value.items()]
        return "{\n" + ",\n".join(lines) + ("\n" if lines else "") + indent + "}" if indent or lines else "{}"
    if isinstance(value, list):
        if not value:
            return "[\n\n" + indent + "]"
        return "[\n" + ",\n".join(inner + pretty(item, inner) for item in value) + "\n" + indent + "]"
    return _leaf(value)


def compact(value: Any) -> str:
    """JSON as `to_json` writes it."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _leaf(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


class JsonError(ValueError):
    """The text is not JSON; the message is that of Ruby's parser."""


def load_json(text: str) -> Any:
    """Parse JSON. Raises JsonError."""
    try:
        return json.loads(text)
    except ValueError:
        raise JsonError(f"unexpected token at '{text}'") from None


def xml_to_hash(xml: str) -> dict[str, Any]:
    """An XML answer as `to_hash` makes it: an element without anything is {}, one with an empty CDATA section is ""."""
    return {key: _hash(value) for key, value in xml_to_dict(xml.replace("<![CDATA[]]>", _EMPTY)).items()}


def _hash(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _hash(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hash(item) for item in value]
    return {"": {}, _EMPTY: ""}.get(value, value)


def to_int(value: Any) -> int:
    """`to_i`: leading digits, else 0."""
    if isinstance(value, (int, float)):
        return int(value)
    match = re.match(r"\s*[-+]?\d+", str(value or ""))
    return int(match.group()) if match else 0


def deep_merge(base: dict[str, Any], other: dict[str, Any], merge_lists: bool = True) -> dict[str, Any]:
    """Objects are merged, lists joined (or replaced), everything else replaced. Neither argument is changed."""
    result = copy.deepcopy(base)
    for key, value in other.items():
        current = result.get(key)
        if isinstance(value, dict) and isinstance(current, dict):
            result[key] = deep_merge(current, value, merge_lists)
        elif isinstance(value, list) and isinstance(current, list) and merge_lists:
            joined = current + copy.deepcopy(value)
            if all(isinstance(item, dict) for item in joined):
                joined = [item for index, item in enumerate(joined) if item not in joined[:index]]
            result[key] = joined
        else:
            result[key] = copy.deepcopy(value)
    return result


def to_raw(content: dict[str, Any]) -> str:
    """A nested object as template text.

    Only double quotes are escaped, and a value with line breaks inside a vector gets a comma at each of them: the
    server does the same, so a START_SCRIPT of several lines must travel as START_SCRIPT_BASE64.
    """
    text = ""
    for key, value in content.items():
        if isinstance(value, dict):
            lines = to_raw(value).split("\n")
            while lines and not lines[-1]:
                lines.pop()
            text += f"{key} = [\n" + ",\n".join(lines) + "\n]\n"
        elif isinstance(value, list):
            for item in value:
                text += to_raw({key: item})
        else:
            text += f'{key} = "{ruby_string(value)}"\n'
    return text


def ruby_string(value: Any) -> str:
    """A plain value as Ruby interpolates it, double quotes escaped."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value).replace('"', '\\"')
