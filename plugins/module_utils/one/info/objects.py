# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading for the info modules: the fewest calls for what is asked, and the filters that all objects share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ..api.connection import Connection
from ..api.settings import api_argument_spec
from ..core.filters import checked_states, has_label, has_state, is_named, is_same
from ..core.objects import IMAGE, VM_TEMPLATE, Kind, State
from ..core.pools import PAGE, read_one, read_pool, read_range
from ..data.marks import mark_of
from ..data.states import IMAGE_STATES
from ..data.xml import ids, number, text, vectors
from ..image import image
from ..vm_template import resource as vm_template


def info_argument_spec(*without: str) -> dict[str, dict[str, Any]]:
    """Return the options of an info module; names in `without` are left out."""
    spec: dict[str, dict[str, Any]] = {
        **api_argument_spec(),
        "ids": {"type": "list", "elements": "int", "aliases": ["id"]},
        "name": {"type": "str"},
        "owner": {"type": "str"},
        "group": {"type": "str"},
        "labels": {"type": "list", "elements": "str", "default": []},
        "mark": {"type": "str"},
    }
    return {name: option for name, option in spec.items() if name not in without}


def states_argument_spec() -> dict[str, dict[str, Any]]:
    """Return the option `states`, for objects that have a state."""
    return {"states": {"type": "list", "elements": "str", "default": [], "aliases": ["state"]}}


# -- filters -----------------------------------------------------------------------------------------------------------


def matches(state: State, params: Mapping[str, Any]) -> bool:
    """Tell whether an object passes the filters ids, name, owner, group, labels (all of them) and mark."""
    wanted_ids, mark = params.get("ids"), params.get("mark")
    if wanted_ids is not None and state["id"] not in wanted_ids:
        return False
    if not is_named(state["name"], params.get("name")):
        return False
    if not is_same(state["owner"], params.get("owner")) or not is_same(state["group"], params.get("group")):
        return False
    if not all(has_label(state["labels"], label) for label in params.get("labels") or []):
        return False
    return mark is None or mark_of(state["attributes"]) == mark


# -- reading -----------------------------------------------------------------------------------------------------------


def read_objects(
    connection: Connection, kind: Kind, represent: Callable[[Mapping[str, Any]], State], params: Mapping[str, Any]
) -> list[State]:
    """Return the objects of a pool that pass the filters, lowest id first."""
    wanted = params.get("ids")
    bodies = read_pool(connection, kind.pool, kind.element) if wanted is None else read_ids(connection, kind, wanted)
    found = [state for state in map(represent, bodies) if matches(state, params)]
    return sorted(found, key=lambda state: int(state["id"]))


def read_ids(connection: Connection, kind: Kind, wanted: Iterable[int]) -> Sequence[Mapping[str, Any]]:
    """Return the bodies of these ids, and perhaps others, of a pool that takes (filter, start, end).

    One id, or ids close to each other, cost one call. For others the newest page is read, which is all there is in most
    clouds, and then one call per stretch of the remaining ids.
    """
    numbers = sorted(set(wanted))
    if len(numbers) == 1:
        body = read_one(connection, f"{kind.prefix}.info", numbers[0])
        return [] if body is None else [body]
    found: list[Mapping[str, Any]] = []
    stretches = _stretches(numbers)
    if len(stretches) > 1:
        found.extend(read_range(connection, kind.pool, kind.element, 0, -PAGE))
        if len(found) < PAGE:
            return found
        oldest = min(number(body, "ID") for body in found)
        stretches = _stretches([one for one in numbers if one < oldest])
    for first, last in stretches:
        found.extend(read_range(connection, kind.pool, kind.element, first, last))
    return found


def _stretches(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """First and last of as few stretches as hold the numbers, none with more than a page of ids."""
    found: list[tuple[int, int]] = []
    for one in numbers:
        if found and one - found[-1][0] < PAGE:
            found[-1] = (found[-1][0], one)
        else:
            found.append((one, one))
    return found


def read_images(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"images": [...]} for one_image_info."""
    kind, persistent = params.get("type"), params.get("persistent")
    states = checked_states(params.get("states"), IMAGE_STATES, "images")
    return {
        "images": [
            one
            for one in read_objects(connection, IMAGE, represent_image, params)
            if is_same(one["datastore"], params.get("datastore"))
            and has_state(one["state"], states)
            and kind in (None, one["type"])
            and persistent in (None, one["persistent"])
        ]
    }


def represent_image(body: Mapping[str, Any]) -> State:
    """Return an image with what only one_image_info tells: times, clones, snapshots and backups."""
    return {
        **image.represent(body),
        "fs": text(body, "FS"),
        "registered": number(body, "REGTIME"),
        "modified": number(body, "MODTIME"),
        "clones": ids(body.get("CLONES")),
        "app_clones": ids(body.get("APP_CLONES")),
        "cloning_operations": number(body, "CLONING_OPS", default=0),
        "cloned_from": _id_or_none(body, "CLONING_ID"),
        "snapshots": [
            {
                "id": number(one, "ID"),
                "name": text(one, "NAME"),
                "date": number(one, "DATE"),
                "size": number(one, "SIZE", default=0),
                "parent": _id_or_none(one, "PARENT"),
                "active": text(one, "ACTIVE") == "YES",
            }
            for one in vectors(body.get("SNAPSHOTS"), "SNAPSHOT")
        ],
        "backup_increments": [
            {
                "id": number(one, "ID"),
                "type": text(one, "TYPE"),
                "date": number(one, "DATE"),
                "size": number(one, "SIZE", default=0),
                "source": text(one, "SOURCE"),
                "parent": _id_or_none(one, "PARENT_ID"),
            }
            for one in vectors(body.get("BACKUP_INCREMENTS"), "INCREMENT")
        ],
        "backup_disks": ids(body.get("BACKUP_DISK_IDS")),
    }


def _id_or_none(body: Any, name: str) -> int | None:
    found = number(body, name)
    return None if found < 0 else found


def read_templates(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"templates": [...]} for one_template_info."""
    return {"templates": read_objects(connection, VM_TEMPLATE, vm_template.represent, params)}
