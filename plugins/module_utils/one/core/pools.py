# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Find objects: pools in pages, one object by id or name, and a clear refusal where a name means several."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..api.connection import Connection
from ..data.xml import HINT, number, pool_members, text, to_dict
from ..errors import OneInternalError, OneNotFoundError, OneUsageError
from .filters import is_owned

PAGE = 500
_RESTARTS = 3
ALL_VISIBLE = -2


def read_pool(
    connection: Connection,
    method: str,
    element: str,
    *extra: Any,
    who: int = ALL_VISIBLE,
    page: int = PAGE,
) -> list[dict[str, Any]]:
    """Return all members of a pool that takes (filter, start, end, …), `page` objects per call, lowest id first.

    Pages are counted from the start of the list, so whatever others delete meanwhile shifts the rest, and objects
    would be missed: each page therefore begins with the last object of the one before, and where that is gone, the pool
    is read again. No object comes twice, and a server that ignores the range costs one call.
    """
    found: dict[int, dict[str, Any]] = {}
    for _attempt in range(_RESTARTS):
        found.clear()
        if _read_pages(connection, method, element, extra, who, page, found):
            break
    return [found[key] for key in sorted(found)]


def read_whole_pool(connection: Connection, method: str, element: str) -> list[dict[str, Any]]:
    """Return all members of a pool that has no pages: users, groups, hosts, datastores, clusters, zones."""
    return _members(connection, method, element)


def read_range(connection: Connection, method: str, element: str, start: int, end: int) -> list[dict[str, Any]]:
    """Return what a pool has from id `start` to id `end`; with an `end` below -1 that many from the newest on."""
    return _members(connection, method, element, ALL_VISIBLE, start, end)


def _read_pages(
    connection: Connection,
    method: str,
    element: str,
    extra: tuple[Any, ...],
    who: int,
    page: int,
    found: dict[int, dict[str, Any]],
) -> bool:
    """Fill `found` by id. False where the list moved under the reader, so that objects may be missing."""
    # A negative end asks for that many objects from the offset `start`.
    part = _members(connection, method, element, who, 0, -page, *extra)
    size = page
    while True:
        known = len(found)
        found.update((number(body, "ID"), body) for body in part)
        # Less than a page, nothing new, or more than was asked for: this was the end.
        if len(part) != size or len(found) == known:
            return True
        last = number(part[-1], "ID")
        size = page + 1
        part = _members(connection, method, element, who, len(found) - 1, -size, *extra)
        if all(number(body, "ID") != last for body in part):
            return False


def _members(connection: Connection, method: str, element: str, *args: Any) -> list[dict[str, Any]]:
    """The members of one answer in the order of the server; what is no pool is said with the call that brought it."""
    try:
        return pool_members(connection.call(method, *args), element)
    except OneInternalError as error:
        raise _named(error, connection, method) from error


def _named(error: OneInternalError, connection: Connection, method: str) -> OneInternalError:
    error.method = error.method or method
    error.endpoint = error.endpoint or connection.settings.api_url
    return error


def read_one(connection: Connection, method: str, object_id: int, *extra: Any) -> dict[str, Any] | None:
    """Return one object by id (0 is an id like any other), or None where it does not exist."""
    try:
        body = to_dict(connection.call(method, object_id, *extra))
        if not text(body, "ID"):
            raise OneInternalError("the answer is no object", hint=HINT)
        return body
    except OneNotFoundError:
        return None
    except OneInternalError as error:
        raise _named(error, connection, method) from error


def pick(
    bodies: Sequence[dict[str, Any]],
    kind: str,
    name: str,
    owner: str | None = None,
) -> dict[str, Any] | None:
    """Return the only object of that name (of that owner, by name or id, if given), None if there is none.

    Names are unique per owner only, so several is an error that lists them: guessing would change a stranger's object.
    """
    matches = [body for body in bodies if text(body, "NAME") == name and is_owned(body, owner)]
    if len(matches) > 1:
        listed = ", ".join(f"id {number(body, 'ID')} of {text(body, 'UNAME')}" for body in matches)
        raise OneUsageError(
            f"{kind} name {name} is not unique: {listed}", hint="give the id, or the owner where the owners differ"
        )
    return matches[0] if matches else None


def unknown_name(kind: str, name: str, owner: str | None) -> str:
    """Return the sentence, without its end, for an object of that name (and owner, if given) that was not found."""
    if owner:
        return f"user {owner} does not exist or has no {kind} {name} that this user may see"
    return f"{kind} {name} does not exist, or this user may not see it"


def checked_name(name: str | None, option: str = "name") -> str | None:
    """Return the name, or refuse one that no second run finds: for an empty one OpenNebula makes up another."""
    if name is not None and not name.strip():
        raise OneUsageError(f"{option} must not be empty")
    if name is not None and name != name.strip():
        raise OneUsageError(f"{option} must not begin or end with a blank, as {name!r} does")
    return name


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
        raise OneUsageError(unknown_name(kind, str(reference), owner), hint="check the name")
    return number(body, "ID")


def user_id(connection: Connection, name: str) -> int:
    """Return the id of a user by name or number."""
    return resolve(name, "user", lambda: read_whole_pool(connection, "one.userpool.info", "USER"))


def group_id(connection: Connection, name: str) -> int:
    """Return the id of a group by name or number."""
    return resolve(name, "group", lambda: read_whole_pool(connection, "one.grouppool.info", "GROUP"))


def datastore_id(connection: Connection, reference: str) -> int:
    """Return the id of a datastore by name or number."""
    return resolve(
        reference, "datastore", lambda: read_whole_pool(connection, "one.datastorepool.info", "DATASTORE")
    )
