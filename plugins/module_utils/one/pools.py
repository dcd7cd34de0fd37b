# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find objects: pools in pages, one object by id or name, and a clear refusal where a name means several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .connection import Connection
from .errors import OneNotFoundError, OneUsageError
from .xml import number, pool_to_dicts, text, to_dict

PAGE = 500
ALL_VISIBLE = -2
MINE = -3


def read_pool(
    connection: Connection,
    method: str,
    element: str,
    *extra: Any,
    who: int = ALL_VISIBLE,
    page: int = PAGE,
) -> list[dict[str, Any]]:
    """Return all members of a pool that takes (filter, start, end, …), `page` objects per call, lowest id first."""
    found: list[dict[str, Any]] = []
    while True:
        # A negative end asks for that many objects from the offset `start`.
        part = pool_to_dicts(connection.call(method, who, len(found), -page, *extra), element)
        found.extend(part)
        if len(part) < page:
            return sorted(found, key=lambda body: number(body, "ID"))


def read_one(connection: Connection, method: str, object_id: int, *extra: Any) -> dict[str, Any] | None:
    """Return one object by id (0 is an id like any other), or None where it does not exist."""
    try:
        return to_dict(connection.call(method, object_id, *extra))
    except OneNotFoundError:
        return None


def pick(
    bodies: Sequence[dict[str, Any]],
    kind: str,
    name: str,
    owner: str | None = None,
) -> dict[str, Any] | None:
    """Return the only object of that name (of that owner, if given), None if there is none.

    Names are unique per owner only, so several is an error that lists them: guessing would change a stranger's object.
    """
    matches = [body for body in bodies if text(body, "NAME") == name and owner in (None, text(body, "UNAME"))]
    if len(matches) > 1:
        listed = ", ".join(f"id {number(body, 'ID')} of {text(body, 'UNAME')}" for body in matches)
        raise OneUsageError(
            f"{kind} name {name} is not unique: {listed}", hint="give the id, or the owner where the owners differ"
        )
    return matches[0] if matches else None


def resolve(
    reference: str | int,
    kind: str,
    by_name: Callable[[], Sequence[dict[str, Any]]],
    owner: str | None = None,
) -> int:
    """Return the id for what a user wrote: a number is an id, anything else a name looked up in the pool.

    Raises OneUsageError where the name does not exist or means several objects.
    """
    if isinstance(reference, int) or reference.strip().isdigit():
        return int(reference)
    body = pick(by_name(), kind, reference.strip(), owner)
    if body is None:
        raise OneUsageError(f"{kind} {reference} does not exist, or this user may not see it", hint="check the name")
    return number(body, "ID")


def user_id(connection: Connection, name: str) -> int:
    """Return the id of a user by name or number."""
    return resolve(name, "user", lambda: pool_to_dicts(connection.call("one.userpool.info"), "USER"))


def group_id(connection: Connection, name: str) -> int:
    """Return the id of a group by name or number."""
    return resolve(name, "group", lambda: pool_to_dicts(connection.call("one.grouppool.info"), "GROUP"))


def datastore_id(connection: Connection, reference: str) -> int:
    """Return the id of a datastore by name or number."""
    return resolve(
        reference, "datastore", lambda: pool_to_dicts(connection.call("one.datastorepool.info"), "DATASTORE")
    )
