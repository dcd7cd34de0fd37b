# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What several kinds of objects have in common: rename, chmod, chown, lock, update, pools, names."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from . import encrypted, errors
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import ADMIN, KINDS, MANAGE, USE, Record, User, allowed

if TYPE_CHECKING:
    from .core import Oned

Render = Callable[["Oned", Record], str]
_REQUESTS = itertools.count(1)


def parse(text: str, prefix: str = "") -> tpl.Template:
    """A client's template. Raises OnedError 8192 with the server's wording."""
    try:
        return tpl.parse(text)
    except tpl.TemplateError as error:
        raise OnedError(errors.INTERNAL, f"{prefix}{error}") from None


def check_name(name: str, code: int, prefix: str = "") -> None:
    """Raise OnedError `code` for a name that no object may have."""
    if not name:
        raise OnedError(code, f"{prefix}Invalid NAME, it cannot be empty")
    if len(name) > 128:
        raise OnedError(code, f"{prefix}Invalid NAME, max length is 128 chars")


def check_free(oned: Oned, kind: str, name: str, uid: int | None, code: int, prefix: str = "") -> None:
    """Raise OnedError `code` when that owner has an object of that name."""
    other = oned.named(kind, name, uid)
    if other:
        raise OnedError(code, f"{prefix}NAME is already taken by {KINDS[kind].tag} {other.oid}.")


def check_restricted(oned: Oned, user: User, template: tpl.Template) -> None:
    """Raise OnedError 512 when an ordinary user's template has an attribute reserved for administrators."""
    if user.is_admin:
        return
    for path in oned.options.restricted:
        section, _separator, name = path.partition("/")
        restricted = any(name in vector for vector in tpl.sections(template, section)) if name else section in template
        if restricted:
            raise OnedError(
                errors.AUTHORIZATION,
                f"User [{user.uid}] : VM Template includes a restricted attribute {name or section}.",
            )


def visible(
    oned: Oned, user: User, kind: str, flag: int, start: int, end: int, chosen: Callable[[Record], bool] | None = None
) -> list[Record]:
    """The records of a pool call, newest first.

    flag: -4 primary group, -3 own, -2 all, -1 own and groups, else that user's. start/end: ids from start to end
    (-1 = open), or, with end below -1, a page of -end objects from offset start.
    """
    records: Iterable[Record] = (oned.pools[kind][oid] for oid in sorted(oned.pools[kind], reverse=True))
    if flag < -4:
        raise OnedError(errors.XML_RPC_API, "Incorrect filter_flag")
    if flag == -4:
        records = (r for r in records if r.gid == user.gid)
    elif flag == -3:
        records = (r for r in records if r.uid == user.uid)
    elif flag == -1:
        records = (r for r in records if r.uid == user.uid or r.gid in user.groups)
    elif flag >= 0:
        records = (r for r in records if r.uid == flag)
    records = (r for r in records if allowed(user, r, USE))
    if chosen:
        records = (r for r in records if chosen(r))
    if end < -1:
        # A negative offset is no offset: the database behind a real server takes it so.
        offset = max(start, 0)
        return list(itertools.islice(records, offset, offset - end))
    if start >= 0:
        records = (r for r in records if r.oid >= start and (end < 0 or r.oid <= end))
    return list(records)


def pool_xml(oned: Oned, tag: str, records: Iterable[Record], render: Render) -> str:
    """`<TAG>…</TAG>`."""
    return f"<{tag}>{''.join(render(oned, record) for record in records)}</{tag}>"


def change_template(oned: Oned, record: Record, text: str, kind_of_update: int, user: User) -> None:
    """`update`: 0 replaces the template, 1 merges into it. NAME in it is ignored."""
    if kind_of_update not in (0, 1):
        raise OnedError(errors.XML_RPC_API, "Wrong update type")
    new = encrypted.plain(oned, parse(text, "Cannot update template. "))
    new.pop("NAME", None)
    check_restricted(oned, user, new)
    record.template = new if kind_of_update == 0 else tpl.merge(record.template, new)
    oned.touch(record)


def rename(oned: Oned, user: User, kind: str, oid: int, name: str) -> int:
    """Rename; onto a name the owner has already: OnedError 2048."""
    record = oned.access(user, kind, oid, MANAGE)
    if record.name == name:
        return oid
    meta = KINDS[kind]
    other = oned.named(kind, name, record.uid) if meta.unique_names else None
    if other:
        raise OnedError(
            errors.ACTION,
            f"{meta.label} cannot be renamed to {name} because it collides with {meta.label} {other.oid}",
        )
    check_name(name, errors.ACTION)
    record.name = name
    oned.touch(record)
    return oid


def chmod(oned: Oned, user: User, kind: str, oid: int, bits: tuple[int, ...]) -> int:
    """Change permission bits; -1 keeps one. To change one of the three ADMIN bits takes ADMIN rights."""
    record = oned.get(kind, oid)
    if any(bit not in (-1, 0, 1) for bit in bits):
        raise OnedError(errors.INTERNAL, "New permissions must be -1, 0 or 1")
    admin_bits = any(bits[index] not in (-1, record.perms[index]) for index in (2, 5, 8))
    oned.access(user, kind, oid, ADMIN if admin_bits else MANAGE)
    record.perms = [old if bit == -1 else bit for old, bit in zip(record.perms, bits, strict=True)]
    oned.touch(record)
    return oid


def chown(oned: Oned, user: User, kind: str, oid: int, uid: int, gid: int) -> int:
    """Change owner and group; -1 keeps one."""
    if uid > -1:
        oned.get("user", uid)
    if gid > -1:
        oned.get("group", gid)
    record = oned.access(user, kind, oid, MANAGE)
    if uid not in (-1, record.uid) and not user.is_admin:
        raise oned.denied(user, "MANAGE", "USER", uid)
    if gid not in (-1, record.gid, *user.groups) and not user.is_admin:
        raise oned.denied(user, "USE", "GROUP", gid)
    if uid not in (-1, record.uid) and KINDS[kind].unique_names:
        check_free(oned, kind, record.name, uid, errors.INTERNAL)
    record.uid = uid if uid > -1 else record.uid
    record.gid = gid if gid > -1 else record.gid
    oned.touch(record)
    return oid


def lock(oned: Oned, user: User, kind: str, oid: int, level: int, test: bool) -> int:
    """Lock at level 1 (USE), 2 (MANAGE), 3 (ADMIN) or 4 (ALL, kept as USE)."""
    record = oned.access(user, kind, oid, MANAGE, check_lock=False)
    if not 1 <= level <= 4:
        raise OnedError(errors.ACTION, "Wrong lock level specified")
    if test and record.lock:
        raise OnedError(errors.ACTION, str(record.lock["time"]))
    if record.lock and record.lock["owner"] != user.uid and not user.is_admin:
        raise OnedError(errors.ACTION, "Error trying to lock the resource.")
    kept = 1 if level == 4 else level
    record.lock = {"level": kept, "owner": user.uid, "time": oned.now(), "request": next(_REQUESTS)}
    oned.touch(record)
    return oid


def unlock(oned: Oned, user: User, kind: str, oid: int) -> int:
    """Take the lock away. Ordinary users are refused where there is none, too: it is not theirs."""
    record = oned.access(user, kind, oid, MANAGE, check_lock=False)
    if not user.is_admin and (record.lock is None or record.lock["owner"] != user.uid):
        raise OnedError(errors.ACTION, "Cannot unlock: Lock is owned by another user")
    record.lock = None
    oned.touch(record)
    return oid


def _register(kind: str) -> None:
    @method(f"{kind}.rename", INT, STR)
    def _rename(oned: Oned, user: User, oid: int, name: str) -> int:
        return rename(oned, user, kind, oid, name)

    if kind in ("cluster", "host"):
        return

    @method(f"{kind}.chmod", INT, *[INT] * 9)
    def _chmod(oned: Oned, user: User, oid: int, *bits: int) -> int:
        return chmod(oned, user, kind, oid, bits)

    @method(f"{kind}.chown", INT, INT, INT)
    def _chown(oned: Oned, user: User, oid: int, uid: int, gid: int) -> int:
        return chown(oned, user, kind, oid, uid, gid)

    if kind == "datastore":
        return

    @method(f"{kind}.lock", INT, INT, opt(BOOL, False))
    def _lock(oned: Oned, user: User, oid: int, level: int, test: bool) -> int:
        return lock(oned, user, kind, oid, level, test)

    @method(f"{kind}.unlock", INT)
    def _unlock(oned: Oned, user: User, oid: int) -> int:
        return unlock(oned, user, kind, oid)


for _kind in ("image", "template", "vm", "vn", "document", "datastore", "cluster", "host"):
    _register(_kind)
