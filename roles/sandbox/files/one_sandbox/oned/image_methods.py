# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The smaller image methods."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import capacity, common, errors, images
from . import template as tpl
from .errors import OnedError
from .images import (
    CLONE,
    DISABLED,
    DISKS,
    ERROR,
    FILES,
    LOCKED,
    LOCKED_USED,
    LOCKED_USED_PERS,
    READY,
    STATE_NAMES,
    TYPES,
    USED,
    USED_PERS,
)
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, User

if TYPE_CHECKING:
    from .core import Oned


@method("image.info", INT, opt(BOOL, False))
def info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """IMAGE."""
    return images.render(oned, oned.access(user, "image", oid, USE))


@method("imagepool.info", opt(INT, -2), opt(INT, -1), opt(INT, -1))
def pool(oned: Oned, user: User, flag: int, start: int, end: int) -> str:
    """IMAGE_POOL, newest first."""
    return common.pool_xml(oned, "IMAGE_POOL", common.visible(oned, user, "image", flag, start, end), images.render)


@method("image.update", INT, STR, opt(INT, 0))
def update(oned: Oned, user: User, oid: int, text: str, how: int) -> int:
    """Change attributes."""
    record = oned.access(user, "image", oid, MANAGE)
    common.change_template(oned, record, text, how, user)
    record.data["modtime"] = oned.now()
    return oid


@method("image.persistent", INT, BOOL)
def persistent(oned: Oned, user: User, oid: int, on: bool) -> int:
    """Only an image that nobody uses can change this."""
    record = oned.access(user, "image", oid, MANAGE)
    if record.data["persistent"] == on:
        return oid
    if TYPES[record.data["type"]] in FILES:
        raise OnedError(errors.ACTION, "KERNEL, RAMDISK and CONTEXT must be non-persistent")
    if record.data["state"] in (USED, CLONE, USED_PERS, LOCKED_USED, LOCKED_USED_PERS):
        what = "persistent" if on else "non-persistent"
        raise OnedError(
            errors.INTERNAL,
            f"Could not make image {what}: Image cannot be in state {STATE_NAMES[record.data['state']]}.",
        )
    record.data["persistent"] = on
    oned.touch(record)
    return oid


@method("image.enable", INT, BOOL)
def enable(oned: Oned, user: User, oid: int, on: bool) -> int:
    """READY or DISABLED."""
    record = oned.access(user, "image", oid, MANAGE)
    if record.data["state"] not in (READY, DISABLED, ERROR):
        what = "enable" if on else "disable"
        raise OnedError(
            errors.INTERNAL, f"Could not {what} image: Image cannot be in state {STATE_NAMES[record.data['state']]}."
        )
    wanted = READY if on else DISABLED
    if record.data["state"] != wanted:
        images.set_state(oned, record, wanted)
    return oid


@method("image.chtype", INT, STR)
def chtype(oned: Oned, user: User, oid: int, kind: str) -> int:
    """Another type; disks stay disks, files stay files."""
    record = oned.access(user, "image", oid, MANAGE)
    present = TYPES[record.data["type"]]
    if present in ("BACKUP", "FILESYSTEM"):
        raise OnedError(errors.ACTION, f"Cannot change type for{present} images.")
    if kind.upper() not in TYPES:
        raise OnedError(errors.INTERNAL, f"Unknown type {kind.upper()}")
    if kind.upper() not in (FILES if present in FILES else DISKS):
        raise OnedError(
            errors.ACTION, "Cannot change image type to an incompatible type for the current datastore."
        )
    record.data["type"] = TYPES.index(kind.upper())
    oned.touch(record)
    return oid


@method("image.clone", INT, STR, opt(INT, -1))
def clone(oned: Oned, user: User, oid: int, name: str, datastore: int) -> int:
    """A copy of one's own, LOCKED until it is made."""
    source = oned.get("image", oid)
    prefix = "Error allocating a new image. "
    kind = TYPES[source.data["type"]]
    if kind not in DISKS:
        raise OnedError(errors.ACTION, f"{kind} images cannot be cloned.")
    target = oned.get("datastore", source.data["datastore"] if datastore == -1 else datastore)
    origin = oned.get("datastore", source.data["datastore"])
    if target.data["type"] != 0 or origin.data["type"] != 0:
        raise OnedError(errors.ACTION, "Clone only supported for IMAGE_DS Datastores")
    if tpl.scalar(target.template, "DS_MAD") != tpl.scalar(origin.template, "DS_MAD"):
        raise OnedError(errors.ACTION, "Clone only supported to same DS_MAD Datastores")
    if source.data["size"] > target.data["total"] - capacity.datastore_used(oned, target.oid):
        raise OnedError(errors.ACTION, "Not enough space in datastore")
    oned.authorize(user, source, USE)
    oned.authorize(user, target, USE)
    common.check_name(name, errors.ALLOCATE, prefix)
    common.check_free(oned, "image", name, user.uid, errors.ALLOCATE, prefix)
    state = source.data["state"]
    if state not in (READY, USED, CLONE):
        raise OnedError(errors.ALLOCATE, f"{prefix}Cannot clone image in state: {STATE_NAMES[state]}")
    data = {**source.data, "vms": [], "state": LOCKED, "datastore": target.oid, "modtime": oned.now()}
    data.update(path=source.data["source"], cloning_id=oid)
    record = oned.create("image", user, name, dict(source.template), **data)
    if state == READY:
        images.set_state(oned, source, CLONE if source.data["persistent"] else USED)
    oned.touch(source)
    images.start_import(oned, record)
    return record.oid
