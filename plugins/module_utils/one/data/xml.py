# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Answers of oned: XML to plain dictionaries, and the fields that every object has."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any
from xml.etree import ElementTree

from ..errors import OneInternalError, OneUsageError
from .template import Template

_ILLEGAL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
HINT = "check that api_url is the XML-RPC endpoint of oned, and that nothing in between changes its answers"
_OCTAL = re.compile(r"[0-7]{3}\Z")
_RIGHTS = ("U", "M", "A")
_CLASSES = ("OWNER", "GROUP", "OTHER")


def parse_xml(text: str) -> ElementTree.Element:
    """Parse an answer; control characters that a stored value may hold are dropped rather than fatal."""
    if not isinstance(text, str):
        raise OneInternalError(f"the answer is no XML but {text!r:.80}", hint=HINT)
    try:
        # Most answers have nothing to drop, and looking costs less than making a copy without it.
        return ElementTree.fromstring(_ILLEGAL.sub("", text) if _ILLEGAL.search(text) else text)
    except ElementTree.ParseError as error:
        raise OneInternalError(f"the answer is no well-formed XML ({error})", hint=HINT) from error


def to_dict(text: str) -> dict[str, Any]:
    """Return the children of the root element as nested dictionaries; leaves are strings, repeated elements lists."""
    body = _element(parse_xml(text))
    return body if isinstance(body, dict) else {}


def pool_to_dicts(text: str, element: str) -> list[dict[str, Any]]:
    """Return the members of a pool answer (e.g. element IMAGE of IMAGE_POOL), lowest id first."""
    return sorted(pool_members(text, element), key=lambda member: number(member, "ID"))


def pool_members(text: str, element: str) -> list[dict[str, Any]]:
    """Return the members of a pool answer in the order of the server. Raises OneInternalError for anything else."""
    root = parse_xml(text)
    nodes = root.findall(element)
    if not nodes and not root.tag.endswith("_POOL"):
        raise OneInternalError(f"the answer is no pool but <{root.tag}>", hint=HINT)
    members = [_element(node) for node in nodes]
    return [member for member in members if isinstance(member, dict)]


def as_list(value: Any) -> list[Any]:
    """Make one element, several and none look alike: [] for nothing, [x] for x, a list as it is."""
    if value is None or value == "":
        return []
    return list(value) if isinstance(value, (list, tuple)) else [value]


def vectors(body: Any, name: str) -> list[dict[str, str]]:
    """Return the vector attributes of that name (DISK, NIC, PCI, AR, HISTORY, …) always as a list."""
    if not isinstance(body, dict):
        return []
    return [item for item in as_list(body.get(name)) if isinstance(item, dict)]


def ids(body: Any) -> list[int]:
    """Return the numbers in an element such as <VMS><ID>1</ID><ID>2</ID></VMS>."""
    listed = as_list(body.get("ID")) if isinstance(body, dict) else []
    return [int(one) for one in listed if isinstance(one, str) and one.strip().isdigit()]


def template_of(body: dict[str, Any], element: str = "TEMPLATE") -> Template:
    """Return an object's TEMPLATE (or USER_TEMPLATE) with string leaves; an empty element is an empty template."""
    found = body.get(element)
    return Template(found) if isinstance(found, dict) else Template()


def text(body: Any, *path: str, default: str = "") -> str:
    """Return the leaf at path, or default where any step of it is missing."""
    for step in path:
        if not isinstance(body, dict):
            return default
        body = body.get(step)
    return body if isinstance(body, str) else default


def number(body: Any, *path: str, default: int = -1) -> int:
    """Return the integer leaf at path, or default."""
    try:
        return int(text(body, *path))
    except ValueError:
        return default


def permissions(body: dict[str, Any]) -> str:
    """Return PERMISSIONS as three octal digits, e.g. "640": use 4, manage 2, admin 1 for owner, group, other."""
    found = body.get("PERMISSIONS")
    digits = []
    for who in _CLASSES:
        digit = 0
        for right, weight in zip(_RIGHTS, (4, 2, 1), strict=True):
            digit += weight * number(found, f"{who}_{right}", default=0)
        digits.append(str(digit))
    return "".join(digits)


def checked_permissions(value: str | None) -> str | None:
    """Return three octal digits, or refuse; also what YAML makes of 0640 without quotes, which is the number 416."""
    if value is None:
        return None
    meant = oct(int(value))[2:] if re.match(r"[1-9][0-9]{1,2}\Z", value) else ""
    if _OCTAL.match(meant) and _nested(meant) and not (_OCTAL.match(value) and _nested(value)):
        raise OneUsageError(f"permissions {value} looks like an unquoted 0{meant}; write '{meant}' in quotes")
    if not _OCTAL.match(value):
        raise OneUsageError(f"permissions must be three octal digits in quotes, such as '640', not {value!r}")
    return value


def _nested(octal: str) -> bool:
    """Tell whether group and others have no right that the owner lacks, as in all permissions that make sense."""
    owner, *rest = (int(digit) for digit in octal)
    return all(digit & ~owner == 0 for digit in rest)


def permission_bits(octal: str) -> list[int]:
    """Return the nine 0/1 arguments of a chmod call for three octal digits."""
    return [(int(digit) >> shift) & 1 for digit in octal for shift in (2, 1, 0)]


def common_fields(body: dict[str, Any]) -> dict[str, Any]:
    """Return what every object with an owner has: id, name, owner, group, permissions."""
    return {
        "id": number(body, "ID"),
        "name": text(body, "NAME"),
        "owner": {"id": number(body, "UID"), "name": text(body, "UNAME")},
        "group": {"id": number(body, "GID"), "name": text(body, "GNAME")},
        "permissions": permissions(body),
    }


def labels_of(template: Template) -> list[str]:
    """Return LABELS as a sorted list without blanks or repetition."""
    value = template.get("LABELS", "")
    return split_labels([value if isinstance(value, str) else ""])


def split_labels(labels: Iterable[str]) -> list[str]:
    """Sort and clean labels; each given item may itself be a comma separated list."""
    return sorted({part.strip() for label in labels for part in str(label).split(",") if part.strip()})


def _element(node: ElementTree.Element) -> str | dict[str, Any]:
    if not len(node):
        return node.text or ""
    result: dict[str, Any] = {}
    for child in node:
        value = _element(child)
        if child.tag in result:
            known = result[child.tag]
            if isinstance(known, list):
                known.append(value)
            else:
                result[child.tag] = [known, value]
        else:
            result[child.tag] = value
    return result
