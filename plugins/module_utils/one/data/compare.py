# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is, what is wanted, and what that changes: merge and replace of templates, differences, masking of secrets."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ..errors import OneUsageError
from .template import Template, Value, Vector

MASK = "********"

# A name that ends like this holds a secret. Switches such as TOKEN="YES" are not secret, see _is_secret.
_SECRET_NAME = re.compile(
    r"(PASS(WORD|WD|PHRASE)?|SECRET|TOKEN|TOKENTXT|CREDENTIALS?|CRYPTED\w*|PRIVATE_?KEY|TLS_?KEY|API_?KEY|"
    r"ACCESS_?KEY|SECRET_?KEY|AUTH_?KEY|KEY_?FILE|PSK)(_BASE64)?$",
    re.IGNORECASE,
)
_SECRET_VALUE = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")
# "-----BEGIN" in base64, as context variables of several lines are passed.
_BASE64_PEM = "LS0tLS1CRUdJTi"
# What is named like a secret but is none: a reference ($TLS_KEY, $USER[TOKEN]), the description of a user input
# (O|text64|...), the path of a key file.
_NO_SECRET = re.compile(r"\$[A-Z_][A-Z0-9_]*(\[[^\]]*\])?\Z|[MO]\|[a-z0-9-]+\||/([\w-]+/)*[\w.-]+\.(key|pem)\Z")


def merged(current: Mapping[str, Value], wanted: Mapping[str, Value]) -> Template:
    """Return current with wanted laid over it.

    A single vector (CONTEXT, OS, …) is merged key by key; DISK, NIC and other attributes given as a list, or present
    more than once, are the complete list of that name; an empty list removes the attribute.
    """
    result = Template(current)
    for name, value in wanted.items():
        known = result.get(name)
        if isinstance(value, dict) and isinstance(known, dict) and name not in ALWAYS_LISTS:
            result[name] = {**known, **value}
        elif _empty(value):
            result.pop(name, None)
        else:
            result[name] = value
    return result


def replaced(current: Mapping[str, Value], wanted: Mapping[str, Value], keep: Iterable[str] = ()) -> Template:
    """Return wanted, plus those attributes of current named in keep that wanted does not mention."""
    result = Template({name: value for name, value in wanted.items() if not _empty(value)})
    for name in keep:
        if name in current and name not in result:
            result[name] = current[name]
    return result


# NIC[NETWORK=private] or PCI[VENDOR=10de,DEVICE=2204]: those vectors of a repeated attribute that have these values.
_SOME_VECTORS = re.compile(r"(\w+)\[(.*)\]\Z", re.DOTALL)


def without(current: Mapping[str, Value], names: Iterable[str]) -> Template:
    """Return current without the named attributes.

    "CONTEXT.START_SCRIPT" removes one key of a vector (of each vector, if there are several), "NIC[NETWORK=private]"
    the vectors that have that value.
    """
    result = Template(current)
    for name in names:
        chosen = _SOME_VECTORS.match(name.strip())
        if chosen:
            top, values = chosen.group(1).upper(), _pairs(chosen.group(2))
            _keep(result, top, [one for one in _items(result.get(top)) if not _has(one, values)])
            continue
        top, dot, key = name.strip().upper().partition(".")
        if not dot:
            result.pop(top, None)
        elif any(isinstance(one, dict) and key in one for one in _items(result.get(top))):
            kept = [
                {part: text for part, text in one.items() if part != key} if isinstance(one, dict) else one
                for one in _items(result[top])
            ]
            _keep(result, top, kept)
    return result


def _items(value: Value | None) -> list[str | Vector]:
    if value is None:
        return []
    return list(value) if isinstance(value, list) else [value]


def _keep(result: Template, name: str, items: list[str | Vector]) -> None:
    if not items:
        result.pop(name, None)
    elif isinstance(result.get(name), list):
        result[name] = items
    else:
        result[name] = items[0]


def _pairs(text: str) -> Vector:
    """Read KEY=value,KEY=value; quotes around a value are allowed."""
    pairs = {}
    for part in text.split(","):
        key, equal, value = part.partition("=")
        if not equal or not key.strip():
            raise OneUsageError(f"remove_attributes: {text!r} should read KEY=value, or several of these with commas")
        pairs[key.strip().upper()] = value.strip().strip('"')
    return pairs


def _has(one: str | Vector, values: Vector) -> bool:
    return isinstance(one, dict) and all(one.get(key) == value for key, value in values.items())


# Attributes of which an object has any number; one element and a list of one are the same thing for them.
ALWAYS_LISTS = frozenset({"DISK", "NIC", "NIC_ALIAS", "PCI", "SCHED_ACTION", "INPUT", "AR"})


def same(left: Value | None, right: Value | None) -> bool:
    """Compare two attribute values. Lists of vectors are sets: their order and one-or-list do not matter."""
    return bool(_canonical(left) == _canonical(right))


def changed_names(before: Mapping[str, Value], after: Mapping[str, Value]) -> list[str]:
    """Return the names of attributes that differ, those gone included, sorted."""
    names = {*before, *after}
    return sorted(name for name in names if not same(before.get(name), after.get(name)))


def removed_names(before: Mapping[str, Value], after: Mapping[str, Value]) -> list[str]:
    """Return the names that are in before but no longer in after."""
    return sorted(name for name in before if name not in after and not _empty(before[name]))


def update_for(before: Mapping[str, Value], after: Mapping[str, Value]) -> tuple[Template, int] | None:
    """Return (template, type) of the one update call that leads from before to after, None when nothing differs.

    Type 1 (merge) with only the changed attributes where possible, so that what others change at the same time
    survives and restricted attributes are not sent again; type 0 (replace) with everything when something goes.
    """
    changed = changed_names(before, after)
    if not changed:
        return None
    if removed_names(before, after):
        return Template(after), 0
    return Template({name: after[name] for name in changed if name in after}), 1


def masked(value: Any, name: str = "") -> Any:
    """Return a copy in which secrets are replaced by stars, at any depth."""
    if isinstance(value, Mapping):
        return {key: masked(part, str(key)) for key, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(part, name) for part in value]
    return MASK if _is_secret(name, value) else value


def difference(before: Any, after: Any, header: str = "") -> dict[str, Any]:
    """Return Ansible's diff structure with secrets masked; a changed secret stays visible as changed."""
    left, right = _masked_pair(before, after, "")
    result: dict[str, Any] = {"before": left if left is not None else {}, "after": right if right is not None else {}}
    if header:
        result["before_header"] = result["after_header"] = header
    return result


def _masked_pair(before: Any, after: Any, name: str) -> tuple[Any, Any]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        left, right = {}, {}
        for key in [*before, *(key for key in after if key not in before)]:
            old, new = _masked_pair(before.get(key), after.get(key), str(key))
            if key in before:
                left[key] = old
            if key in after:
                right[key] = new
        return left, right
    if _is_secret(name, before) and _is_secret(name, after) and before != after:
        return f"{MASK} (old)", f"{MASK} (new)"
    return masked(before, name), masked(after, name)


def _is_secret(name: str, value: Any) -> bool:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or value.upper() in ("", "YES", "NO", "TRUE", "FALSE"):
        return False
    if _NO_SECRET.match(value):
        return False
    return bool(_SECRET_NAME.search(name) or _SECRET_VALUE.search(value) or _hidden_pem(value))


def _hidden_pem(value: str) -> bool:
    if not value.startswith(_BASE64_PEM):
        return False
    try:
        return b"PRIVATE" in base64.b64decode(value[:64])
    except ValueError:
        return False


def _canonical(value: Value | None) -> Any:
    shaped = [
        tuple(sorted(item.items())) if isinstance(item, dict) else item for item in _items(value) if not _empty(item)
    ]
    return sorted(shaped, key=repr)


def _empty(value: Value | Vector | None) -> bool:
    return value is None or value == {} or value == []
