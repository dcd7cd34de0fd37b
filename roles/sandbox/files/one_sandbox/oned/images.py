# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, Any

from ..drivers import Driver, DriverError
from . import capacity, common, errors, xml
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, Record, User

if TYPE_CHECKING:
    from .core import Oned

INIT, READY, USED, DISABLED, LOCKED, ERROR, CLONE, DELETE, USED_PERS, LOCKED_USED, LOCKED_USED_PERS = range(11)
STATE_NAMES = (
    "INIT", "READY", "USED", "DISABLED", "LOCKED", "ERROR", "CLONE", "DELETE", "USED_PERS", "LOCKED_USED",
    "LOCKED_USED_PERS",
)  # fmt: skip
TYPES = ("OS", "CDROM", "DATABLOCK", "KERNEL", "RAMDISK", "CONTEXT")
_PREFIX = "Error allocating a new image. "
_NOT_IN_TEMPLATE = ("NAME", "TYPE", "PATH", "SOURCE", "SIZE", "PERSISTENT", "FORMAT", "FS", "DISK_TYPE")


def render(oned: Oned, record: Record) -> str:
    """IMAGE."""
    data = record.data
    datastore = oned.find("datastore", data["datastore"])
    return (
        f"<IMAGE>{xml.owner(oned, record)}{xml.lock(record)}{xml.permissions(record)}<TYPE>{data['type']}</TYPE>"
        f"<DISK_TYPE>0</DISK_TYPE><PERSISTENT>{int(data['persistent'])}</PERSISTENT><REGTIME>{record.regtime}</REGTIME>"
        f"<MODTIME>{data['modtime']}</MODTIME>{xml.raw('SOURCE', data['source'])}{xml.raw('PATH', data['path'])}"
        f"{xml.raw('FORMAT', data['format'])}{xml.raw('FS', data['fs'])}<SIZE>{data['size']}</SIZE>"
        f"<STATE>{data['state']}</STATE><PREV_STATE>{data['state']}</PREV_STATE>"
        f"<RUNNING_VMS>{len(data['vms'])}</RUNNING_VMS><CLONING_OPS>0</CLONING_OPS><CLONING_ID>-1</CLONING_ID>"
        f"<TARGET_SNAPSHOT>-1</TARGET_SNAPSHOT><DATASTORE_ID>{data['datastore']}</DATASTORE_ID>"
        f"{xml.leaf('DATASTORE', datastore.name if datastore else '')}{xml.ids('VMS', data['vms'])}<CLONES></CLONES>"
        f"<APP_CLONES></APP_CLONES>{tpl.to_xml(record.template)}<SNAPSHOTS>{xml.raw('ALLOW_ORPHANS', 'NO')}"
        f"{xml.raw('CURRENT_BASE', -1)}{xml.raw('NEXT_SNAPSHOT', 0)}</SNAPSHOTS><BACKUP_INCREMENTS></BACKUP_INCREMENTS>"
        "<BACKUP_DISK_IDS></BACKUP_DISK_IDS></IMAGE>"
    )


def driver_view(record: Record) -> dict[str, Any]:
    """The image as drivers see it."""
    data = record.data
    return {
        "ID": record.oid, "NAME": record.name, "TYPE": TYPES[data["type"]], "PATH": data["path"],
        "SOURCE": data["source"], "SIZE": data["size"],
    }  # fmt: skip


def set_state(oned: Oned, record: Record, state: int) -> None:
    """Another state."""
    record.data["state"] = state
    record.data["modtime"] = oned.now()
    oned.touch(record)


@method("image.allocate", STR, INT, opt(BOOL, False))
def allocate(oned: Oned, user: User, text: str, datastore: int, no_check: bool) -> int:
    """Register an image; it is LOCKED until the driver has brought it in."""
    template = common.parse(text)
    oned.access(user, "datastore", datastore, USE)
    name = tpl.scalar(template, "NAME")
    kind = tpl.scalar(template, "TYPE", "OS").upper() or "OS"
    path = tpl.scalar(template, "PATH")
    size = _size(template, path)
    if oned.get("datastore", datastore).data["type"] == 1:
        raise OnedError(errors.ALLOCATE, "New images can only be allocated in a files or image datastore.")
    _check_room(oned, datastore, size, no_check)
    if kind not in TYPES:
        raise OnedError(errors.ALLOCATE, f"{_PREFIX}Unknown type {kind}")
    common.check_name(name, errors.ALLOCATE, _PREFIX)
    common.check_free(oned, "image", name, user.uid, errors.ALLOCATE, _PREFIX)
    if not path and not tpl.scalar(template, "SOURCE") and kind != "DATABLOCK":
        raise OnedError(errors.ALLOCATE, f"{_PREFIX}No PATH in template.")
    kept = {key: value for key, value in template.items() if key not in _NOT_IN_TEMPLATE}
    kept.setdefault("DEV_PREFIX", "sd")
    record = oned.create(
        "image", user, name, kept, type=TYPES.index(kind),
        persistent=tpl.scalar(template, "PERSISTENT").upper() == "YES",
        source=tpl.scalar(template, "SOURCE"), path=path, format=tpl.scalar(template, "FORMAT", "raw"),
        fs=tpl.scalar(template, "FS"), size=size, state=LOCKED, datastore=datastore, vms=[], modtime=oned.now(),
    )  # fmt: skip
    start_import(oned, record)
    return record.oid


def _size(template: tpl.Template, path: str) -> int:
    text = tpl.scalar(template, "SIZE")
    if text:
        if not text.isdigit():
            raise OnedError(errors.INTERNAL, f"Cannot parse image SIZE: {text}")
        return int(text)
    if not path and not tpl.scalar(template, "SOURCE") and tpl.scalar(template, "TYPE").upper() == "DATABLOCK":
        raise OnedError(errors.INTERNAL, "Cannot determine image SIZE.")
    return os.path.getsize(path) // 1048576 + 1 if path and os.path.isfile(path) else 0


def _check_room(oned: Oned, datastore: int, size: int, no_check: bool) -> None:
    total = oned.get("datastore", datastore).data["total"]
    if not no_check and size > total - capacity.datastore_used(oned, datastore):
        raise OnedError(errors.ACTION, "Not enough space in datastore")


def start_import(oned: Oned, record: Record) -> None:
    """Let the driver of host 0 bring the image in; images are shared by all hosts of a sandbox."""
    driver = image_driver(oned)
    job = functools.partial(_import, oned, driver, record.oid)
    oned.worker.after(oned.options.image_delay, lambda: oned.worker.submit(("image", record.oid), job))


def image_driver(oned: Oned) -> Driver:
    """Images belong to the driver that really has some: docker, where there is one."""
    return oned.drivers.get("docker") or oned.drivers["dummy"]


def _import(oned: Oned, driver: Driver, oid: int) -> None:
    with oned.lock:
        record = oned.find("image", oid)
        if record is None or record.data["state"] not in (LOCKED, LOCKED_USED, LOCKED_USED_PERS):
            return
        view = driver_view(record)
    problem = ""
    size = int(view["SIZE"])
    try:
        # An empty data block has nothing to bring in.
        if view["PATH"] or view["TYPE"] != "DATABLOCK":
            size = driver.import_image(view)
    except DriverError as error:
        problem = str(error)
    with oned.transaction():
        record = oned.find("image", oid)
        if record is None:
            return
        if problem:
            record.template["ERROR"] = f"{oned.clock()} : Error copying image in the datastore: {problem}"
            set_state(oned, record, ERROR)
        else:
            record.data["size"] = size
            record.data["source"] = view["SOURCE"] or "dummy_path"
            record.data["format"] = "dummy_format" if driver.name == "dummy" and view["PATH"] else record.data["format"]
            set_state(oned, record, _free_state(record))
        oned.image_settled(record, not problem)


def _free_state(record: Record) -> int:
    if not record.data["vms"]:
        return READY
    return USED_PERS if record.data["persistent"] else USED


def acquire(oned: Oned, record: Record, vm_id: int, attach: bool = False) -> None:
    """A VM begins to use the image; `check_usable` came before."""
    record.data["vms"].append(vm_id)
    locked = record.data["state"] in (LOCKED, LOCKED_USED, LOCKED_USED_PERS)
    if locked:
        set_state(oned, record, LOCKED_USED_PERS if record.data["persistent"] else LOCKED_USED)
    else:
        set_state(oned, record, _free_state(record))


def check_usable(record: Record, attach: bool) -> None:
    """Raise OnedError 16384 (text without prefix) when no VM may begin to use the image now."""
    state, where = record.data["state"], f"Cannot acquire image {record.oid}"
    if TYPES[record.data["type"]] in ("KERNEL", "RAMDISK", "CONTEXT"):
        text = f"Image {record.oid} ({record.name}) of type {TYPES[record.data['type']]} cannot be used as DISK."
        raise OnedError(errors.ALLOCATE, text)
    if state in (USED_PERS, LOCKED_USED_PERS):
        raise OnedError(errors.ALLOCATE, f"{where}, it is persistent and already in use")
    if attach and state in (LOCKED, LOCKED_USED):
        raise OnedError(errors.ALLOCATE, f"{where}, it is locked")
    if state not in (READY, USED, LOCKED, LOCKED_USED):
        raise OnedError(errors.ALLOCATE, f"{where}, it is in state: {STATE_NAMES[state]}")


def release(oned: Oned, oid: int, vm_id: int) -> None:
    """A VM no longer uses the image."""
    record = oned.find("image", oid)
    if record is None or vm_id not in record.data["vms"]:
        return
    record.data["vms"].remove(vm_id)
    if record.data["state"] in (USED, USED_PERS):
        set_state(oned, record, _free_state(record))
    elif record.data["state"] in (LOCKED_USED, LOCKED_USED_PERS) and not record.data["vms"]:
        set_state(oned, record, LOCKED)
    oned.touch(record)


@method("image.delete", INT, opt(BOOL, False))
def delete(oned: Oned, user: User, oid: int, force: bool) -> int:
    """Remove an image that no VM uses; the object disappears when the driver is done."""
    record = oned.access(user, "image", oid, MANAGE)
    if record.data["state"] == LOCKED and not force:
        raise OnedError(
            errors.INTERNAL,
            "Image locked, use --force flag to remove the image. Force delete may leave some files on Datastore",
        )
    if record.data["vms"]:
        raise OnedError(errors.ACTION, f"Cannot delete image. There are {len(record.data['vms'])} VMs using it.")
    set_state(oned, record, DELETE)
    start_delete(oned, record)
    return oid


def start_delete(oned: Oned, record: Record) -> None:
    """Let the driver forget the image, then the object goes."""
    oid = record.oid
    job = functools.partial(_delete, oned, image_driver(oned), oid)
    oned.worker.after(oned.options.image_delay / 4, lambda: oned.worker.submit(("image", oid), job))


def _delete(oned: Oned, driver: Driver, oid: int) -> None:
    with oned.lock:
        record = oned.find("image", oid)
        if record is None:
            return
        view = driver_view(record)
        shared = any(
            other.oid != oid and other.data["source"] == view["SOURCE"] for other in oned.pools["image"].values()
        )
    problem = ""
    try:
        # Clones and second imports of one file share a source: the last one takes it away.
        if view["SOURCE"] and not shared:
            driver.delete_image(view)
    except DriverError as error:
        problem = str(error)
    with oned.transaction():
        record = oned.find("image", oid)
        if record is None:
            return
        if problem:
            record.template["ERROR"] = f"{oned.clock()} : Error removing image from datastore: {problem}"
            set_state(oned, record, ERROR)
        else:
            oned.remove(record)
