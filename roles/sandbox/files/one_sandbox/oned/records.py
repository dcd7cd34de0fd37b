# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The objects oned keeps, and who may do what with them."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from .template import Template

ONEADMIN_GROUP = 0
NO_GROUP_RIGHTS = [1, 1, 0, 0, 0, 0, 0, 0, 0]
PERMISSION_NAMES = (
    "OWNER_U", "OWNER_M", "OWNER_A", "GROUP_U", "GROUP_M", "GROUP_A", "OTHER_U", "OTHER_M", "OTHER_A",
)  # fmt: skip
USE, MANAGE, ADMIN = 0, 1, 2
RIGHT_NAMES = ("USE", "MANAGE", "ADMIN")


@dataclass(frozen=True)
class User:
    """Who is calling. groups includes the primary group gid."""

    uid: int
    gid: int
    name: str
    group: str
    groups: tuple[int, ...] = ()

    @property
    def is_admin(self) -> bool:
        """oneadmin, or a member of the group oneadmin."""
        return self.uid == 0 or ONEADMIN_GROUP in self.groups


@dataclass(frozen=True)
class Session:
    """An authenticated session inside the process; over the network a session is the text `user:password`."""

    user: User


@dataclass(frozen=True)
class Kind:
    """One sort of object. tag: in messages about rights and names; label: in "Error getting …"; xml: root element."""

    key: str
    tag: str
    label: str
    xml: str
    unique_names: bool = True
    first_id: int = 0
    # Kinds that members of ordinary groups may use whatever the object's own permissions are (default ACL rules).
    open_rights: tuple[int, ...] = ()


KINDS: dict[str, Kind] = {
    kind.key: kind
    for kind in (
        Kind("user", "USER", "user", "USER"),
        Kind("group", "GROUP", "group", "GROUP", first_id=100),
        Kind("cluster", "CLUSTER", "cluster", "CLUSTER", first_id=100, open_rights=(USE,)),
        Kind("datastore", "DATASTORE", "datastore", "DATASTORE", first_id=100, open_rights=(USE,)),
        Kind("host", "HOST", "host", "HOST", open_rights=(MANAGE,)),
        Kind("vn", "NET", "virtual network", "VNET", open_rights=(USE,)),
        Kind("image", "IMAGE", "image", "IMAGE"),
        Kind("template", "TEMPLATE", "virtual machine template", "VMTEMPLATE"),
        Kind("vm", "VM", "virtual machine", "VM", unique_names=False),
        Kind("document", "DOCUMENT", "document", "DOCUMENT", unique_names=False),
    )
}


@dataclass
class Record:
    """One object. `data` holds what is special to its kind and is plain JSON, as is everything else here."""

    kind: str
    oid: int
    uid: int
    gid: int
    name: str
    perms: list[int] = field(default_factory=lambda: list(NO_GROUP_RIGHTS))
    lock: dict[str, int] | None = None
    regtime: int = field(default_factory=lambda: int(time.time()))
    template: Template = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)

    @property
    def meta(self) -> Kind:
        """Names and rules of the object's kind."""
        return KINDS[self.kind]

    def as_dict(self) -> dict[str, Any]:
        """For the store, without what VMs hold: that follows from the VMs, and grows with each of them."""
        result = dict(self.__dict__)
        if self.kind == "image":
            result["data"] = {**self.data, "vms": []}
        elif self.kind == "vn":
            result["data"] = {**self.data, "ranges": [_without_vms(ar) for ar in self.data["ranges"]]}
        return result


def _without_vms(ar: dict[str, Any]) -> dict[str, Any]:
    return {**ar, "leases": {offset: holder for offset, holder in ar["leases"].items() if "vm" not in holder}}


def allowed(user: User, record: Record, right: int) -> bool:
    """Whether `user` has `right` (USE, MANAGE, ADMIN) on the object, locks aside."""
    if user.is_admin or right in record.meta.open_rights:
        return True
    owner = record.uid == user.uid and record.perms[right]
    group = record.gid in user.groups and record.perms[3 + right]
    return bool(owner or group or record.perms[6 + right])


def lock_blocks(record: Record, right: int) -> bool:
    """Whether the object's lock forbids an action: level 1 blocks USE, MANAGE and ADMIN, 2 the last two, 3 ADMIN."""
    return record.lock is not None and right >= record.lock["level"] - 1
