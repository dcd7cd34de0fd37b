# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Owner, group and permissions of OneFlow's documents, and proof that the server changed what it says it changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from ..core.runner import Plan
from ..data.xml import checked_permissions
from ..errors import OneAuthorizationError, OneError, OneTakenError

if TYPE_CHECKING:
    from ..core.lookups import Lookups

View = dict[str, Any]


class Access(NamedTuple):
    """What a task asks of a document's owner, group (name or id) and permissions (octal); None leaves it as it is."""

    owner: str | None
    group: str | None
    permissions: str | None

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> Access:
        """The options owner, group and permissions of a module."""
        return cls(params.get("owner"), params.get("group"), checked_permissions(params.get("permissions")))

    def predicted(self, view: View | None, lookups: Lookups) -> View:
        """The fields owner, group and permissions as they shall be; view: the document before, None for a new one.

        Names become ids here, while planning: an unknown user must fail before anything is written.
        """
        nobody = {"id": None, "name": None}
        before = view or {"owner": nobody, "group": nobody, "permissions": None}
        return {
            "owner": _wanted(self.owner, before["owner"], lookups.user),
            "group": _wanted(self.group, before["group"], lookups.group),
            "permissions": self.permissions or before["permissions"],
        }


def _wanted(wanted: str | None, current: Mapping[str, Any], lookup: Callable[[Any], int]) -> dict[str, Any]:
    if wanted is None or wanted in (current["name"], str(current["id"])):
        return dict(current)
    return {"id": lookup(wanted), "name": wanted}


def plan_access(
    plan: Plan[Any],
    what: str,
    before: View,
    after: View,
    act: Callable[[str, dict[str, Any]], Any],
    owned: Sequence[View] = (),
) -> None:
    """Add chmod and chown where they differ. Last of all: afterwards the user may have no rights left.

    act: does an action of OneFlow and makes sure of it. owned: what has to have the same owner and group too.
    """
    if after["permissions"] not in (None, before["permissions"]):
        octet = after["permissions"]
        plan.add(f"set permissions of {what} to {octet}", lambda: act("chmod", {"octet": octet}))
    ids = {key: after[key]["id"] for key in ("owner", "group")}
    differing = [
        key
        for key in ("owner", "group")
        if ids[key] is not None and any(one[key]["id"] != ids[key] for one in (before, *owned))
    ]
    if differing:
        told = ", ".join(f"{key} {after[key]['name']}" for key in differing)
        # Both ids, always: OneFlow takes a missing group of a service template for group 0.
        both = {f"{key}_id": ids[key] if key in differing else -1 for key in ("owner", "group")}
        plan.add(f"give {what} to {told}", lambda: act("chown", both))


def verify(what: str, found: View, wanted: View) -> None:
    """Raise unless the document as read has the name, owner, group and permissions that were written."""
    for key in ("permissions", "owner", "group"):
        expected, is_now = (view.get(key) for view in (wanted, found))
        if isinstance(expected, Mapping) and isinstance(is_now, Mapping):
            same, expected, is_now = expected["id"] in (None, is_now["id"]), expected["name"], is_now["name"]
        else:
            same = expected in (None, is_now)
        if not same:
            raise OneAuthorizationError(
                f"the {key} of {what} stayed {is_now} instead of {expected}, although OneFlow reported success"
            )
    if wanted.get("name") not in (None, found["name"]):
        raise OneError(
            f"{what} is still named {found['name']}, although OneFlow reported success",
            hint=f"check that this user may manage it and that {wanted['name']} is valid",
        )


def first_of_its_name(
    documents: Sequence[Mapping[str, Any]],
    mine: Mapping[str, Any],
    mark_of: Callable[[Mapping[str, Any]], str | None],
    known: frozenset[int],
    owner: str | None,
) -> Mapping[str, Any] | None:
    """The document that another run made for the same purpose just before `mine`, None where mine was the first.

    OneFlow lets names repeat, and the lowest id wins: every run sees all documents with lower ids than its own.
    known: ids that were there before this run began, which are no rivals. owner: to whom the other may be given.
    """
    rivals = [
        document
        for document in documents
        if int(document["ID"]) < int(mine["ID"])
        and int(document["ID"]) not in known
        and document["NAME"] == mine["NAME"]
        and (document["UNAME"] in (mine["UNAME"], owner) or str(document["UID"]) == owner)
        and mark_of(document) == mark_of(mine)
    ]
    return min(rivals, key=lambda document: int(document["ID"])) if rivals else None


def taken_back(kind: str, name: str, mine: Any, other: Any) -> OneTakenError:
    """What to raise after removing a duplicate: the runner looks again and goes on with the other; the text warns."""
    return OneTakenError(
        f"another run made {kind} {name} (id {other}) at the same time; the one made here (id {mine}) was removed, and "
        "the other is used"
    )
