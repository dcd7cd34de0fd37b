# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM templates."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

from . import common, errors, xml
from . import template as tpl
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, Record, User

if TYPE_CHECKING:
    from .core import Oned


def render(oned: Oned, record: Record, template: tpl.Template | None = None) -> str:
    """VMTEMPLATE, or the same with another template (extended)."""
    return (
        f"<VMTEMPLATE>{xml.owner(oned, record)}{xml.lock(record)}{xml.permissions(record)}"
        f"<REGTIME>{record.regtime}</REGTIME>{tpl.to_xml(record.template if template is None else template)}"
        "</VMTEMPLATE>"
    )


@method("template.allocate", STR)
def allocate(oned: Oned, user: User, text: str) -> int:
    """A new template."""
    template = common.parse(text)
    name = tpl.scalar(template, "NAME")
    template.pop("NAME", None)
    common.check_restricted(oned, user, template)
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "template", name, user.uid, errors.INTERNAL)
    return oned.create("template", user, name, template).oid


@method("template.info", INT, opt(BOOL, False), opt(BOOL, False))
def info(oned: Oned, user: User, oid: int, extended: bool, decrypt: bool) -> str:
    """VMTEMPLATE; extended: DISK and NIC with what their images and networks add."""
    from . import instantiate

    record = oned.access(user, "template", oid, USE)
    return render(oned, record, instantiate.extended(oned, user, record.template) if extended else None)


@method("templatepool.info", opt(INT, -2), opt(INT, -1), opt(INT, -1))
def pool(oned: Oned, user: User, flag: int, start: int, end: int) -> str:
    """VMTEMPLATE_POOL, newest first."""
    records = common.visible(oned, user, "template", flag, start, end)
    return common.pool_xml(oned, "VMTEMPLATE_POOL", records, render)


@method("template.update", INT, STR, opt(INT, 0))
def update(oned: Oned, user: User, oid: int, text: str, how: int) -> int:
    """Change the template."""
    common.change_template(oned, oned.access(user, "template", oid, MANAGE), text, how, user)
    return oid


@method("template.delete", INT, opt(BOOL, False))
def delete(oned: Oned, user: User, oid: int, recursive: bool) -> int:
    """Remove it, with `recursive` also its images."""
    record = oned.access(user, "template", oid, MANAGE)
    if recursive:
        from . import images, instantiate

        for disk in tpl.sections(record.template, "DISK"):
            image = instantiate.find_image(oned, user, disk)
            if image is not None:
                images.delete(oned, user, image.oid, False)
    oned.remove(record)
    return oid


@method("template.clone", INT, STR, opt(BOOL, False))
def clone(oned: Oned, user: User, oid: int, name: str, recursive: bool) -> int:
    """A copy of one's own; `recursive` (images too) is refused."""
    source = oned.access(user, "template", oid, USE)
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "template", name, user.uid, errors.INTERNAL)
    if recursive:
        raise errors.RpcFault(-500, "The sandbox does not clone a template together with its images.")
    return oned.create("template", user, name, copy.deepcopy(source.template)).oid
