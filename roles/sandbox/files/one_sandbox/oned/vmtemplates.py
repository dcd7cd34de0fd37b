# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM templates."""

from __future__ import annotations

import contextlib
import copy
from typing import TYPE_CHECKING

from . import common, encrypted, errors, images, xml
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, Record, User

if TYPE_CHECKING:
    from .core import Oned


def render(oned: Oned, record: Record, template: tpl.Template | None = None, decrypt: bool = False) -> str:
    """VMTEMPLATE, or the same with another template (extended)."""
    content = record.template if template is None else template
    return (
        f"<VMTEMPLATE>{xml.owner(oned, record)}{xml.lock(record)}{xml.permissions(record)}"
        f"<REGTIME>{record.regtime}</REGTIME>{tpl.to_xml(content if decrypt else encrypted.hidden(oned, content))}"
        "</VMTEMPLATE>"
    )


@method("template.allocate", STR)
def allocate(oned: Oned, user: User, text: str) -> int:
    """A new template."""
    template = encrypted.plain(oned, common.parse(text))
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
    content = instantiate.extended(oned, user, record.template) if extended else None
    return render(oned, record, content, decrypt and user.is_admin)


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
    """Remove it, with `recursive` also its images; images that cannot be deleted stay, and nobody is told."""
    record = oned.access(user, "template", oid, MANAGE)
    oned.remove(record)
    if recursive:
        found = [_image(oned, user, disk) for disk in tpl.sections(record.template, "DISK")]
        for image_id in {image.oid for image in found if image is not None}:
            with contextlib.suppress(OnedError):
                images.delete(oned, user, image_id, False)
    return oid


def _image(oned: Oned, user: User, disk: tpl.Vector) -> Record | None:
    from . import instantiate

    try:
        return instantiate.find_image(oned, user, disk)
    except OnedError:
        return None


@method("template.clone", INT, STR, opt(BOOL, False))
def clone(oned: Oned, user: User, oid: int, name: str, recursive: bool) -> int:
    """A copy of one's own; `recursive`: with copies of its images."""
    source = oned.access(user, "template", oid, USE, check_lock=True)
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "template", name, user.uid, errors.INTERNAL)
    copied = oned.create("template", user, name, copy.deepcopy(source.template))
    if recursive:
        clone_images(oned, user, copied)
    return copied.oid


_REFERENCES = ("IMAGE", "IMAGE_UNAME", "IMAGE_UID", "OPENNEBULA_MANAGED")


def clone_images(oned: Oned, user: User, record: Record) -> None:
    """Replace the images of a new template by copies; if one cannot be copied, the template goes again.

    So do the copies made so far, if they are ready; the server, too, leaves behind those that are still being made.
    """
    from . import image_methods

    made: list[int] = []
    disks = tpl.sections(record.template, "DISK")
    for number, disk in enumerate(disks):
        image = _image(oned, user, disk)
        if image is None:
            continue
        try:
            made.append(image_methods.clone(oned, user, image.oid, f"{record.name}-disk-{number}", -1))
        except OnedError as error:
            oned.remove(record)
            for oid in made:
                with contextlib.suppress(OnedError):
                    images.delete(oned, user, oid, False)
            raise OnedError(errors.ACTION, f"Failed to clone images: {error.message}") from None
        for key in _REFERENCES:
            disk.pop(key, None)
        disk["IMAGE_ID"] = str(made[-1])
    oned.touch(record)
