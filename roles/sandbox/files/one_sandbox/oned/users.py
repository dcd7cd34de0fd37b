# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Users and groups."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Any

from . import common, errors, xml
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, Param, method, opt
from .records import Record, User

if TYPE_CHECKING:
    from .core import Oned

_GROUPS = Param(list, [])


def password_hash(password: str) -> str:
    """As oned keeps it."""
    return hashlib.sha256(password.encode()).hexdigest()


def _admin(oned: Oned, user: User, action: str, tag: str, oid: int | None = None) -> None:
    if not user.is_admin:
        raise oned.denied(user, action, tag, oid)


def render_user(oned: Oned, record: Record) -> str:
    """USER (the password hash is shown to nobody)."""
    groups = sorted({record.gid, *record.data.get("groups", [])})
    return (
        f"<USER><ID>{record.oid}</ID><GID>{record.gid}</GID>{xml.ids('GROUPS', groups)}"
        f"{xml.leaf('GNAME', oned.group_name(record.gid))}{xml.leaf('NAME', record.name)}<PASSWORD></PASSWORD>"
        f"<AUTH_DRIVER>{xml.cdata('core')}</AUTH_DRIVER><ENABLED>1</ENABLED>{tpl.to_xml(record.template)}</USER>"
    )


def render_group(oned: Oned, record: Record) -> str:
    """GROUP with its members."""
    members = [u.oid for u in oned.pools["user"].values() if record.oid in (u.gid, *u.data.get("groups", []))]
    return (
        f"<GROUP><ID>{record.oid}</ID>{xml.leaf('NAME', record.name)}{tpl.to_xml(record.template)}"
        f"{xml.ids('USERS', members)}<ADMINS></ADMINS></GROUP>"
    )


@method("user.allocate", STR, STR, opt(STR, "core"), _GROUPS)
def allocate(oned: Oned, user: User, name: str, password: str, driver: str, groups: list[Any]) -> int:
    """A new user, in group users or in the groups given (the first one is the primary one)."""
    _admin(oned, user, "CREATE", "USER")
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "user", name, None, errors.INTERNAL)
    gids = [int(gid) for gid in groups] or [1]
    for gid in gids:
        oned.get("group", gid)
    record = oned.create("user", user, name, {}, password=password_hash(password), groups=gids)
    record.uid, record.gid = record.oid, gids[0]
    return record.oid


def _self_or_admin(oned: Oned, user: User, oid: int, action: str) -> Record:
    record = oned.get("user", user.uid if oid == -1 else oid)
    if record.oid != user.uid:
        _admin(oned, user, action, "USER", record.oid)
    return record


@method("user.info", opt(INT, -1), opt(BOOL, False))
def info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """USER; -1 is the caller."""
    return render_user(oned, _self_or_admin(oned, user, oid, "USE"))


@method("user.update", INT, STR, opt(INT, 0))
def update(oned: Oned, user: User, oid: int, text: str, how: int) -> int:
    """Change the user's template (SSH_PUBLIC_KEY, for instance)."""
    record = _self_or_admin(oned, user, oid, "MANAGE")
    common.change_template(oned, record, text, how, user)
    return record.oid


@method("user.passwd", INT, STR)
def passwd(oned: Oned, user: User, oid: int, password: str) -> int:
    """A new password."""
    record = _self_or_admin(oned, user, oid, "MANAGE")
    record.data["password"] = password_hash(password)
    oned.touch(record)
    return record.oid


@method("user.chgrp", INT, INT)
def chgrp(oned: Oned, user: User, oid: int, gid: int) -> int:
    """Another primary group."""
    _admin(oned, user, "MANAGE", "USER", oid)
    record = oned.get("user", oid)
    oned.get("group", gid)
    record.data["groups"] = sorted({gid, *record.data.get("groups", [])} - {record.gid})
    record.gid = gid
    oned.touch(record)
    return oid


@method("user.addgroup", INT, INT)
def addgroup(oned: Oned, user: User, oid: int, gid: int) -> int:
    """One more group."""
    _admin(oned, user, "MANAGE", "USER", oid)
    record = oned.get("user", oid)
    oned.get("group", gid)
    groups = set(record.data.get("groups", []))
    if gid in groups or gid == record.gid:
        raise OnedError(errors.ACTION, "User is already in this group")
    record.data["groups"] = sorted(groups | {gid})
    oned.touch(record)
    return oid


@method("user.delete", INT)
def delete(oned: Oned, user: User, oid: int) -> int:
    """Remove a user; his objects stay."""
    record = oned.get("user", oid)
    _admin(oned, user, "ADMIN", "USER", oid)
    if oid == 0:
        raise OnedError(errors.ACTION, "Cannot delete user. oneadmin cannot be deleted.")
    oned.remove(record)
    oned.xml_cache.clear()
    return oid


@method("userpool.info")
def user_pool(oned: Oned, user: User) -> str:
    """USER_POOL: all for administrators, oneself for others."""
    records = [r for r in oned.pools["user"].values() if user.is_admin or r.oid == user.uid]
    return common.pool_xml(oned, "USER_POOL", sorted(records, key=lambda r: r.oid), render_user)


@method("group.allocate", STR)
def group_allocate(oned: Oned, user: User, name: str) -> int:
    """A new group."""
    _admin(oned, user, "CREATE", "GROUP")
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "group", name, None, errors.INTERNAL)
    return oned.create("group", user, name, {}).oid


@method("group.info", opt(INT, -1), opt(BOOL, False))
def group_info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """GROUP; -1 is the caller's."""
    record = oned.get("group", user.gid if oid == -1 else oid)
    if record.oid not in user.groups:
        _admin(oned, user, "USE", "GROUP", record.oid)
    return render_group(oned, record)


@method("grouppool.info")
def group_pool(oned: Oned, user: User) -> str:
    """GROUP_POOL."""
    records = [r for r in oned.pools["group"].values() if user.is_admin or r.oid in user.groups]
    return common.pool_xml(oned, "GROUP_POOL", sorted(records, key=lambda r: r.oid), render_group)
