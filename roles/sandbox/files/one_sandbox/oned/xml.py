# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""XML pieces that every object shares."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.sax.saxutils import escape

from .records import PERMISSION_NAMES, Record
from .template import cdata

if TYPE_CHECKING:
    from .core import Oned

__all__ = ["cdata", "ids", "leaf", "lock", "owner", "permissions", "raw"]


def leaf(name: str, value: Any) -> str:
    """`<NAME>value</NAME>`, escaped."""
    return f"<{name}>{escape(str(value))}</{name}>"


def raw(name: str, value: Any) -> str:
    """`<NAME><![CDATA[value]]></NAME>`."""
    return f"<{name}>{cdata(value)}</{name}>"


def ids(name: str, oids: Any) -> str:
    """`<NAME><ID>1</ID>…</NAME>`."""
    return f"<{name}>{''.join(f'<ID>{oid}</ID>' for oid in oids)}</{name}>"


def owner(oned: Oned, record: Record) -> str:
    """ID to NAME."""
    return (
        f"<ID>{record.oid}</ID><UID>{record.uid}</UID><GID>{record.gid}</GID>"
        f"<UNAME>{escape(oned.user_name(record.uid))}</UNAME><GNAME>{escape(oned.group_name(record.gid))}</GNAME>"
        f"<NAME>{escape(record.name)}</NAME>"
    )


def permissions(record: Record) -> str:
    """PERMISSIONS."""
    bits = "".join(f"<{name}>{bit}</{name}>" for name, bit in zip(PERMISSION_NAMES, record.perms, strict=True))
    return f"<PERMISSIONS>{bits}</PERMISSIONS>"


def lock(record: Record) -> str:
    """LOCK, or nothing."""
    if not record.lock:
        return ""
    return (
        f"<LOCK><LOCKED>{record.lock['level']}</LOCKED><OWNER>{record.lock['owner']}</OWNER>"
        f"<TIME>{record.lock['time']}</TIME><REQ_ID>{record.lock['request']}</REQ_ID></LOCK>"
    )
