# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Documents: what OneFlow keeps its services (TYPE 100) and service templates (TYPE 101) in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import common, errors, xml
from . import template as tpl
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, Record, User

if TYPE_CHECKING:
    from .core import Oned


def render(oned: Oned, record: Record) -> str:
    """DOCUMENT."""
    return (
        f"<DOCUMENT>{xml.owner(oned, record)}<TYPE>{record.data['type']}</TYPE>{xml.lock(record)}"
        f"{xml.permissions(record)}{tpl.to_xml(record.template)}</DOCUMENT>"
    )


@method("document.allocate", STR, INT)
def allocate(oned: Oned, user: User, text: str, kind: int) -> int:
    """A new document; names may repeat."""
    template = common.parse(text)
    name = tpl.scalar(template, "NAME")
    template.pop("NAME", None)
    common.check_name(name, errors.INTERNAL)
    return oned.create("document", user, name, template, type=kind).oid


@method("document.info", INT, opt(BOOL, False))
def info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """DOCUMENT."""
    return render(oned, oned.access(user, "document", oid, USE))


@method("document.update", INT, STR, opt(INT, 0))
def update(oned: Oned, user: User, oid: int, text: str, how: int) -> int:
    """Change the template."""
    common.change_template(oned, oned.access(user, "document", oid, MANAGE), text, how, user)
    return oid


@method("document.delete", INT)
def delete(oned: Oned, user: User, oid: int) -> int:
    """Remove it."""
    oned.remove(oned.access(user, "document", oid, MANAGE))
    return oid


@method("document.clone", INT, STR)
def clone(oned: Oned, user: User, oid: int, name: str) -> int:
    """A copy under another name, owned by the caller."""
    source = oned.access(user, "document", oid, USE)
    common.check_name(name, errors.INTERNAL)
    return oned.create("document", user, name, dict(source.template), **source.data).oid


@method("documentpool.info", INT, INT, INT, INT)
def pool(oned: Oned, user: User, flag: int, start: int, end: int, kind: int) -> str:
    """DOCUMENT_POOL of one type, newest first."""
    records = common.visible(oned, user, "document", flag, start, end, lambda record: record.data["type"] == kind)
    return common.pool_xml(oned, "DOCUMENT_POOL", records, render)
