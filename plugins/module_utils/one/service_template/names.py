# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Service templates with names in them: VM templates of roles and virtual networks, turned into ids.

Nothing in this file talks to a server; look-ups are passed in as functions, and numbers are never looked up.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
#: A name to its id, an int; check mode gives the name itself, a str, where an earlier task may make it.
Lookup = Callable[[Any], Any]


def resolve_names(body: Body, vm_template_id: Lookup, network_id: Lookup) -> Body:
    """The body with a role's `template` (a VM template's name or id) and networks' names replaced by ids.

    A network of the service may be given as OneFlow's own text (`M|network|text||id:0`), as the name of a virtual
    network, or as a mapping with one of `id`, `name`, `template_id`, `reserve_from` and optionally `description`
    and `mandatory`. The look-ups raise when nothing or more than one object has the name.
    """
    result = dict(body)
    if isinstance(result.get("roles"), list):
        result["roles"] = [_resolve_role(role, vm_template_id) for role in result["roles"]]
    if isinstance(result.get("networks"), dict):
        result["networks"] = {
            str(key): _network_text(str(key), value, network_id) for key, value in result["networks"].items()
        }
    return result


def _resolve_role(role: Any, vm_template_id: Lookup) -> Any:
    if not isinstance(role, dict):
        return role
    result = dict(role)
    reference = result.pop("template", None)
    # A role in the keys of 6.x keeps its own: OneFlow would overwrite the new one.
    key = "vm_template" if {"vm_template", "vm_template_contents"} & set(result) else "template_id"
    if reference is None:
        reference = result.get(key)
    if reference is not None:
        result[key] = _id(reference, vm_template_id)
    return result


def _id(reference: Any, lookup: Lookup) -> int | str:
    text = str(reference).strip()
    return int(text) if text.isdigit() else lookup(text)


def _network_text(key: str, value: Any, network_id: Lookup) -> Any:
    if isinstance(value, str):
        if "|" in value:
            return _resolve_text(value, network_id)
        value = {"name": value}
    if isinstance(value, int) and not isinstance(value, bool):
        value = {"id": value}
    if not isinstance(value, dict):
        return value
    flag = "O" if value.get("mandatory") is False else "M"
    return f"{flag}|network|{value.get('description') or key}||{_network_choice(value, network_id)}"


def _network_choice(value: Body, network_id: Lookup) -> str:
    if value.get("template_id") is not None:
        return f"template_id:{value['template_id']}"
    if value.get("reserve_from") is not None:
        return f"reserve_from:{_id(value['reserve_from'], network_id)}"
    reference = value.get("name") if value.get("id") is None else value["id"]
    return f"id:{_id(reference, network_id)}" if reference not in (None, "") else ""


def _resolve_text(text: str, network_id: Lookup) -> str:
    """OneFlow's text of a network; the network in `M|network|text||id:private` may be a name too."""
    parts = text.split("|")
    kind, colon, reference = (parts[4] if len(parts) > 4 else "").strip().partition(":")
    if colon and kind in ("id", "reserve_from") and reference.strip():
        parts[4] = f"{kind}:{_id(reference, network_id)}"
    return "|".join(parts)
