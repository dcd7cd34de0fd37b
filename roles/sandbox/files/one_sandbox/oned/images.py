# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Images."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from ..drivers import Driver, DriverError
from . import errors, xml
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, method, opt
from .records import ADMIN, MANAGE, Record, User

if TYPE_CHECKING:
    from .core import Oned

INIT, READY, USED, DISABLED, LOCKED, ERROR, CLONE, DELETE, USED_PERS, LOCKED_USED, LOCKED_USED_PERS = range(11)
STATE_NAMES = (
    "INIT", "READY", "USED", "DISABLED", "LOCKED", "ERROR", "CLONE", "DELETE", "USED_PERS", "LOCKED_USED",
    "LOCKED_USED_PERS",
)  # fmt: skip
TYPES = ("OS", "CDROM", "DATABLOCK", "KERNEL", "RAMDISK", "CONTEXT", "BACKUP", "FILESYSTEM")
DISKS, FILES = ("OS", "DATABLOCK", "CDROM"), ("KERNEL", "RAMDISK", "CONTEXT")


def render(oned: Oned, record: Record) -> str:
    """IMAGE."""
    data = record.data
    datastore = oned.find("datastore", data["datastore"])
    clones = clones_of(oned, record)
    return (
        f"<IMAGE>{xml.owner(oned, record)}{xml.lock(record)}{xml.permissions(record)}<TYPE>{data['type']}</TYPE>"
        f"<DISK_TYPE>0</DISK_TYPE><PERSISTENT>{int(data['persistent'])}</PERSISTENT><REGTIME>{record.regtime}</REGTIME>"
        f"<MODTIME>{data['modtime']}</MODTIME>{xml.raw('SOURCE', data['source'])}{xml.raw('PATH', data['path'])}"
        f"{xml.raw('FORMAT', data['format'])}{xml.raw('FS', data['fs'])}<SIZE>{data['size']}</SIZE>"
        f"<STATE>{data['state']}</STATE><PREV_STATE>{data['state']}</PREV_STATE>"
        f"<RUNNING_VMS>{len(data['vms'])}</RUNNING_VMS><CLONING_OPS>{len(clones)}</CLONING_OPS>"
        f"<CLONING_ID>{data.get('cloning_id', -1)}</CLONING_ID>"
        f"<TARGET_SNAPSHOT>-1</TARGET_SNAPSHOT><DATASTORE_ID>{data['datastore']}</DATASTORE_ID>"
        f"{xml.leaf('DATASTORE', datastore.name if datastore else '')}{xml.ids('VMS', data['vms'])}"
        f"{xml.ids('CLONES', clones)}<APP_CLONES></APP_CLONES>{tpl.to_xml(record.template)}"
        f"<SNAPSHOTS>{xml.raw('ALLOW_ORPHANS', 'NO')}"
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


def clones_of(oned: Oned, record: Record) -> list[int]:
    """Ids of the images that are being copied from this one just now."""
    if record.data["state"] not in (USED, CLONE):
        return []
    return [other.oid for other in oned.pools["image"].values() if other.data.get("cloning_id", -1) == record.oid]


def set_state(oned: Oned, record: Record, state: int) -> None:
    """Another state. Any but LOCKED takes away the lock that a user may have put on the image."""
    if state != LOCKED:
        record.lock = None
    record.data["state"] = state
    record.data["modtime"] = oned.now()
    oned.touch(record)


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
        copied = record.data.get("cloning_id", -1) != -1
    problem = ""
    size = int(view["SIZE"])
    try:
        # An empty data block has nothing to bring in, and the content of a copy is there already.
        if not copied and (view["PATH"] or view["TYPE"] != "DATABLOCK"):
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
            record.data["format"] = record.data["format"] or ("dummy_format" if driver.name == "dummy" else "raw")
            set_state(oned, record, _free_state(record))
        _release_source(oned, record)
        oned.image_settled(record, not problem)


def _release_source(oned: Oned, record: Record) -> None:
    """The copy is made, or given up: its source is no longer used for it."""
    source = oned.find("image", record.data.get("cloning_id", -1))
    record.data["cloning_id"] = -1
    copied = source is not None and source.data["state"] in (USED, CLONE)
    if source is not None and copied and not source.data["vms"] and not clones_of(oned, source):
        set_state(oned, source, READY)


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
    if record.data["state"] in (USED, USED_PERS) and not clones_of(oned, record):
        set_state(oned, record, _free_state(record))
    elif record.data["state"] in (LOCKED_USED, LOCKED_USED_PERS) and not record.data["vms"]:
        set_state(oned, record, LOCKED)
    oned.touch(record)


@method("image.delete", INT, opt(BOOL, False))
def delete(oned: Oned, user: User, oid: int, force: bool) -> int:
    """Remove an image that no VM uses; the object disappears when the driver is done."""
    record = oned.get("image", oid)
    copied = record.data["state"] in (LOCKED, LOCKED_USED, LOCKED_USED_PERS)
    if copied and not force:
        raise OnedError(
            errors.INTERNAL,
            "Image locked, use --force flag to remove the image. Force delete may leave some files on Datastore",
            oid,
        )
    oned.access(user, "image", oid, ADMIN if copied else MANAGE)
    if record.data["state"] == CLONE:
        count = len(clones_of(oned, record))
        raise OnedError(errors.ACTION, f"Cannot delete image. There are {count} active clone operations.")
    if record.data["vms"] or record.data["state"] in (USED, USED_PERS, LOCKED_USED, LOCKED_USED_PERS):
        raise OnedError(errors.ACTION, f"Cannot delete image. There are {len(record.data['vms'])} VMs using it.")
    _release_source(oned, record)
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
