# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""New images: what oned asks of them, in its order, and what it makes of what it is given."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from . import capacity, common, errors, images
from . import template as tpl
from .errors import OnedError
from .images import FILES, LOCKED, READY, TYPES
from .methods import BOOL, INT, STR, method, opt
from .records import USE, User

if TYPE_CHECKING:
    from .core import Oned

_PREFIX = "Error allocating a new image. "
_NOT_IN_TEMPLATE = (
    "NAME", "TYPE", "PATH", "SOURCE", "SIZE", "PERSISTENT", "FORMAT", "FS", "DRIVER", "TM_MAD",
)  # fmt: skip


@method("image.allocate", STR, INT, opt(BOOL, False))
def allocate(oned: Oned, user: User, text: str, datastore: int, no_check: bool) -> int:
    """Register an image; it is LOCKED until the driver has brought it in."""
    template = common.parse(text)
    kind_of_store = oned.get("datastore", datastore).data["type"]
    if kind_of_store == 1:
        raise OnedError(errors.ALLOCATE, "New images can only be allocated in a files or image datastore.")
    name = tpl.scalar(template, "NAME")
    given = tpl.scalar(template, "TYPE", "OS").upper() or "OS"
    kind = given if given in TYPES else "OS"
    path, source = tpl.scalar(template, "PATH"), tpl.scalar(template, "SOURCE")
    size = _size(template, kind, path, source)
    _check_room(oned, datastore, size, no_check)
    oned.access(user, "datastore", datastore, USE)
    common.check_name(name, errors.ALLOCATE, _PREFIX)
    _check_store(kind, kind_of_store)
    common.check_free(oned, "image", name, user.uid, errors.ALLOCATE, _PREFIX)
    if given != kind:
        raise OnedError(errors.ALLOCATE, f"{_PREFIX}Unknown type {given}")
    kept = {key: value for key, value in template.items() if key not in _NOT_IN_TEMPLATE}
    if kind in ("OS", "DATABLOCK"):
        kept.setdefault("DEV_PREFIX", "sd")
    else:
        kept.pop("DEV_PREFIX", None)
    record = oned.create(
        "image", user, name, kept, type=TYPES.index(kind),
        persistent=kind not in ("CDROM", *FILES) and tpl.scalar(template, "PERSISTENT").upper() == "YES",
        source=source, path=path, format=_format(template, kind, path, source), fs=tpl.scalar(template, "FS"),
        size=size, state=READY if source else LOCKED, datastore=datastore, vms=[], modtime=oned.now(), cloning_id=-1,
    )  # fmt: skip
    if not source:
        images.start_import(oned, record)
    return record.oid


def _check_store(kind: str, store: int) -> None:
    if kind in FILES and store != 2:
        raise OnedError(
            errors.ALLOCATE,
            f"{_PREFIX}IMAGES of type KERNEL, RAMDISK and CONTEXT cannot be registered in an IMAGE_DS datastore",
        )
    if kind not in FILES and store != 0:
        raise OnedError(
            errors.ALLOCATE,
            f"{_PREFIX}Only IMAGES of type KERNEL, RAMDISK and CONTEXT can be registered in a FILE_DS datastore",
        )


def _size(template: tpl.Template, kind: str, path: str, source: str) -> int:
    text = tpl.scalar(template, "SIZE")
    problem = ""
    if source or (not path and kind in ("OS", "DATABLOCK")):
        problem = "" if text.isdigit() else "Wrong number or missing SIZE attribute."
    elif not path:
        problem = f"Either PATH or SOURCE are required for {kind}"
        if kind == "FILESYSTEM":
            problem = "Missing PATH attribute."
    if problem or (text and not text.isdigit()):
        raise OnedError(errors.INTERNAL, f"Cannot parse image SIZE: {problem or text}")
    if text:
        return int(text)
    return os.path.getsize(path) // 1048576 + 1 if path and os.path.isfile(path) else 0


def _format(template: tpl.Template, kind: str, path: str, source: str) -> str:
    wanted = tpl.scalar(template, "FORMAT")
    if source:
        if path or not wanted:
            text = "PATH and SOURCE cannot be both set." if path else "SOURCE needs FORMAT to be set."
            raise OnedError(errors.ALLOCATE, f"{_PREFIX}{text}")
        return wanted
    if path:
        # The driver finds out what the file is.
        return ""
    return "dir" if kind == "FILESYSTEM" else wanted or "raw"


def _check_room(oned: Oned, datastore: int, size: int, no_check: bool) -> None:
    total = oned.get("datastore", datastore).data["total"]
    if not no_check and size > total - capacity.datastore_used(oned, datastore):
        raise OnedError(errors.ACTION, "Not enough space in datastore")
