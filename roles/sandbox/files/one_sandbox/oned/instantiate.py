# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a VM template to a VM: disks, leases, context."""

from __future__ import annotations

import copy
import uuid
from typing import TYPE_CHECKING, Any

from . import common, context, encrypted, errors, images, leases, lifecycle, pci
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import USE, Record, User

if TYPE_CHECKING:
    from .core import Oned

PREFIX = "Error allocating a new virtual machine template. "
# Sections that describe the VM itself; everything else a user wrote goes to USER_TEMPLATE.
_VM_SECTIONS = frozenset(
    "BACKUP_CONFIG CONTEXT CPU CPU_COST CPU_MODEL DISK DISK_COST EMULATOR FEATURES GRAPHICS INPUT MEMORY MEMORY_COST "
    "MEMORY_MAX MEMORY_RESIZE_MODE MEMORY_SLOTS NIC NIC_ALIAS NIC_DEFAULT NUMA_NODE OS PCI RAW SNAPSHOT TEMPLATE_ID "
    "TOPOLOGY TPM VCPU VCPU_MAX VIDEO VMGROUP".split()
)
_DISK_DEFAULTS = {
    "ALLOW_ORPHANS": "NO", "CLONE_TARGET": "SYSTEM", "CLUSTER_ID": "0", "DISK_SNAPSHOT_TOTAL_SIZE": "0",
    "DISK_TYPE": "FILE", "LN_TARGET": "NONE", "PERSISTENT_SNAPSHOTS": "YES", "TM_MAD": "dummy", "TYPE": "FILE",
}  # fmt: skip
_SECURITY_RULES = [
    {"PROTOCOL": "ALL", "RULE_TYPE": rule, "SECURITY_GROUP_ID": "0", "SECURITY_GROUP_NAME": "default"}
    for rule in ("OUTBOUND", "INBOUND")
]


def _owner_id(oned: Oned, user: User, wanted: tpl.Vector, what: str) -> int:
    if wanted.get(f"{what}_UID", "").isdigit():
        return int(wanted[f"{what}_UID"])
    if wanted.get(f"{what}_UNAME"):
        record = oned.named("user", wanted[f"{what}_UNAME"])
        return record.oid if record else -1
    return user.uid


def find_image(oned: Oned, user: User, disk: tpl.Vector) -> Record | None:
    """The image a DISK names; None for a volatile disk. Raises OnedError 16384."""
    if disk.get("IMAGE_ID"):
        image = oned.find("image", int(disk["IMAGE_ID"])) if disk["IMAGE_ID"].isdigit() else None
        if image is None:
            raise OnedError(errors.ALLOCATE, f"Image with ID: {disk['IMAGE_ID']} does not exist")
        return image
    if not disk.get("IMAGE"):
        return None
    uid = _owner_id(oned, user, disk, "IMAGE")
    image = oned.named("image", disk["IMAGE"], uid)
    if image is None:
        raise OnedError(
            errors.ALLOCATE,
            f"User {uid} does not own an image with name: {disk['IMAGE']} . "
            "Set IMAGE_UNAME or IMAGE_UID of owner in DISK.",
        )
    return image


def find_network(oned: Oned, user: User, nic: tpl.Vector) -> Record | None:
    """The network a NIC names; None for a NIC that names none. Raises OnedError 16384."""
    if nic.get("NETWORK_ID"):
        vnet = oned.find("vn", int(nic["NETWORK_ID"])) if nic["NETWORK_ID"].isdigit() else None
        if vnet is None:
            raise OnedError(errors.ALLOCATE, f"Virtual network with ID: {nic['NETWORK_ID']} does not exist")
        return vnet
    if not nic.get("NETWORK"):
        return None
    uid = _owner_id(oned, user, nic, "NETWORK")
    vnet = oned.named("vn", nic["NETWORK"], uid)
    if vnet is None:
        raise OnedError(
            errors.ALLOCATE,
            f"User {uid} does not own a network with name: {nic['NETWORK']} . "
            "Set NETWORK_UNAME or NETWORK_UID of owner in NIC.",
        )
    return vnet


def disk_from(oned: Oned, image: Record, wanted: tpl.Vector, disk_id: int) -> tpl.Vector:
    """The DISK section of a VM that uses an image."""
    data = image.data
    persistent = data["persistent"]
    datastore = oned.get("datastore", data["datastore"])
    disk = {**_DISK_DEFAULTS, **wanted}
    disk.update(
        CLONE="NO" if persistent else "YES", DATASTORE=datastore.name, DATASTORE_ID=str(datastore.oid),
        DISK_ID=str(disk_id), DRIVER=data["format"], FORMAT=data["format"], IMAGE=image.name, IMAGE_ID=str(image.oid),
        IMAGE_STATE=str(data["state"]), ORIGINAL_SIZE=str(data["size"]), READONLY="NO",
        SAVE="YES" if persistent else "NO", SOURCE=data["source"],
    )  # fmt: skip
    disk.setdefault("DEV_PREFIX", tpl.scalar(image.template, "DEV_PREFIX", "sd"))
    disk.setdefault("SIZE", str(data["size"]))
    if persistent:
        disk["PERSISTENT"] = "YES"
    return disk


def extended(oned: Oned, user: User, template: tpl.Template) -> tpl.Template:
    """A template with what its images and networks add; what cannot be found stays as it is."""
    result = copy.deepcopy(template)
    disks, nics = tpl.sections(result, "DISK"), tpl.sections(result, "NIC")
    for index, disk in enumerate(disks):
        try:
            image = find_image(oned, user, disk)
        except OnedError:
            continue
        if image is not None:
            disks[index] = disk_from(oned, image, disk, index)
    for nic in nics:
        try:
            vnet = find_network(oned, user, nic)
        except OnedError:
            continue
        if vnet is not None:
            nic.update(NETWORK=vnet.name, NETWORK_ID=str(vnet.oid))
    tpl.set_sections(result, "DISK", disks)
    tpl.set_sections(result, "NIC", nics)
    return result


def add_disk(oned: Oned, user: User, vm_id: int, wanted: tpl.Vector, disk_id: int, attach: bool = False) -> tpl.Vector:
    """Acquire the image of a disk, or make a volatile one. Raises OnedError."""
    image = find_image(oned, user, wanted)
    target = f"{wanted.get('DEV_PREFIX', 'sd')}{chr(ord('a') + disk_id - (1 if attach else 0))}"
    if image is None:
        if not wanted.get("SIZE", "").isdigit():
            raise OnedError(errors.ALLOCATE, "Wrong or missing SIZE of a volatile disk")
        disk = {"FORMAT": "raw", "TYPE": "fs", **wanted, "DISK_ID": str(disk_id)}
        disk.setdefault("TARGET", target)
        return disk
    oned.authorize(user, image, USE)
    images.check_usable(image, attach)
    images.acquire(oned, image, vm_id, attach)
    disk = disk_from(oned, image, wanted, disk_id)
    disk.setdefault("TARGET", target)
    disk["TM_MAD_SYSTEM"] = "dummy"
    return disk


def add_nic(oned: Oned, user: User, vm_id: int, wanted: tpl.Vector, nic_id: int) -> tpl.Vector:
    """Take a lease. Raises OnedError."""
    vnet = find_network(oned, user, wanted)
    if vnet is None:
        raise OnedError(errors.ALLOCATE, "NIC has no NETWORK nor NETWORK_ID.")
    oned.authorize(user, vnet, USE)
    lease = leases.allocate(oned, vnet, {"vm": vm_id}, wanted.get("IP", ""))
    if lease is None:
        raise OnedError(errors.ALLOCATE, f"Cannot get IP/MAC lease from virtual network {vnet.oid}.")
    return leases.nic_from(vnet, *lease, nic_id, vm_id, wanted)


def release_all(oned: Oned, template: tpl.Template, vm_id: int) -> None:
    """Give back images and leases of a VM."""
    for disk in tpl.sections(template, "DISK"):
        if disk.get("IMAGE_ID"):
            images.release(oned, int(disk["IMAGE_ID"]), vm_id)
    for nic in tpl.sections(template, "NIC"):
        if nic.get("NETWORK_ID") and nic.get("IP"):
            leases.free(oned, oned.find("vn", int(nic["NETWORK_ID"])), nic["IP"], {"vm": vm_id})


def take_again(oned: Oned, vm: Record) -> None:
    """After a restart: what the VM holds, which images and networks do not store."""
    for disk in tpl.sections(vm.template, "DISK"):
        image = oned.find("image", int(disk["IMAGE_ID"])) if disk.get("IMAGE_ID") else None
        if image is not None:
            image.data["vms"].append(vm.oid)
    for nic in tpl.sections(vm.template, "NIC"):
        vnet = oned.find("vn", int(nic["NETWORK_ID"]))
        if vnet is not None:
            leases.restore(vnet, int(nic["AR_ID"]), nic["IP"], vm.oid)


def _check_numbers(template: tpl.Template) -> None:
    for name, kind, text in (
        ("CPU", float, "CPU attribute must be a positive float or integer value."),
        ("VCPU", int, "VCPU attribute must be a positive integer value."),
        ("MEMORY", int, "MEMORY attribute must be a positive integer value."),
    ):
        value = tpl.scalar(template, name)
        if name == "VCPU" and not value:
            continue
        try:
            right = kind(value) > 0
        except ValueError:
            right = False
        if not right:
            raise OnedError(errors.ALLOCATE, PREFIX + text)


@method("template.instantiate", INT, opt(STR, ""), opt(BOOL, False), opt(STR, ""), opt(BOOL, False))
def instantiate(oned: Oned, user: User, oid: int, name: str, hold: bool, extra: str, persistent: bool) -> int:
    """A VM from a template. What `extra` names replaces all sections of that name."""
    record = oned.access(user, "template", oid, USE, check_lock=True)
    added = encrypted.plain(oned, common.parse(extra)) if extra.strip() else {}
    common.check_restricted(oned, user, added)
    if persistent:
        record = _private_copy(oned, user, record, name or f"{record.name}-copy", added)
        added = {"CLONING_TEMPLATE_ID": str(oid)}
        oid = record.oid
    template = tpl.merge(copy.deepcopy(record.template), added)
    name = name or tpl.scalar(template, "NAME") or f"{record.name}-{oned.next_id('vm')}"
    for key in ("NAME", "TEMPLATE_NAME"):
        template.pop(key, None)
    template["TEMPLATE_ID"] = str(oid)
    return make_vm(oned, user, name, template, hold).oid


def _private_copy(oned: Oned, user: User, source: Record, name: str, added: tpl.Template) -> Record:
    """A copy of a VM template with copies of its images, which are persistent."""
    from . import vmtemplates

    made = oned.get("template", vmtemplates.clone(oned, user, source.oid, name, False))
    made.template = tpl.merge(made.template, added)
    vmtemplates.clone_images(oned, user, made)
    for disk in tpl.sections(made.template, "DISK"):
        image = oned.find("image", int(disk["IMAGE_ID"])) if disk.get("IMAGE_ID") else None
        if image is not None:
            image.data["persistent"] = True
            oned.touch(image)
    return made


@method("vm.allocate", STR, opt(BOOL, False))
def vm_allocate(oned: Oned, user: User, text: str, hold: bool) -> int:
    """A VM without a stored template."""
    template = common.parse(text)
    common.check_restricted(oned, user, template)
    name = tpl.scalar(template, "NAME") or f"one-{oned.next_id('vm')}"
    template.pop("NAME", None)
    return make_vm(oned, user, name, template, hold).oid


def make_vm(oned: Oned, user: User, name: str, template: tpl.Template, hold: bool) -> Record:
    """Check everything, then create. Raises OnedError and leaves nothing behind."""
    _check_numbers(template)
    try:
        devices = pci.check(template)
    except OnedError as error:
        raise OnedError(error.code, PREFIX + error.message) from None
    vm_id = oned.next_id("vm")
    taken: tpl.Template = {}
    try:
        disks = _disks(oned, user, vm_id, template, taken)
        nics = _nics(oned, user, vm_id, template, taken)
        context.check(oned, template)
    except BaseException:
        release_all(oned, taken, vm_id)
        raise
    own = {key: value for key, value in template.items() if key in _VM_SECTIONS and key not in ("DISK", "NIC")}
    rest = {key: value for key, value in template.items() if key not in _VM_SECTIONS}
    own.update(_automatic(user, vm_id, own, bool(nics)))
    tpl.set_sections(own, "DISK", disks)
    tpl.set_sections(own, "NIC", nics)
    tpl.set_sections(own, "PCI", devices)
    vm = oned.create(
        "vm", user, name, own, state=0, lcm=0, stime=oned.now(), etime=0, deploy_id="", user_template=rest,
        history=[], epoch=0, hard=False, hold=hold,
    )  # fmt: skip
    if isinstance(own.get("CONTEXT"), dict):
        own["CONTEXT"] = context.build(oned, vm, own["CONTEXT"])
    lifecycle.begin(oned, vm)
    return vm


def _automatic(user: User, vm_id: int, own: tpl.Template, networked: bool) -> tpl.Template:
    os_section = own.get("OS") if isinstance(own.get("OS"), dict) else {}
    result: dict[str, Any] = {
        "AUTOMATIC_DS_REQUIREMENTS": '("CLUSTERS/ID" @> 0)',
        "AUTOMATIC_REQUIREMENTS": "(CLUSTER_ID = 0) & !(PIN_POLICY = PINNED)",
        "CREATED_BY": str(user.uid),
        "OS": {**(os_section or {}), "UUID": str(uuid.uuid4())},
        "VMID": str(vm_id),
    }
    if networked:
        result["AUTOMATIC_NIC_REQUIREMENTS"] = '("CLUSTERS/ID" @> 0)'
        result["SECURITY_GROUP_RULE"] = copy.deepcopy(_SECURITY_RULES)
    return result


def _disks(oned: Oned, user: User, vm_id: int, template: tpl.Template, taken: tpl.Template) -> list[tpl.Vector]:
    result: list[tpl.Vector] = []
    for index, wanted in enumerate(tpl.sections(template, "DISK")):
        try:
            result.append(add_disk(oned, user, vm_id, wanted, index))
        except OnedError as error:
            if error.code != errors.ALLOCATE:
                raise
            raise OnedError(error.code, f"{PREFIX}DISK {index}: {error.message}") from None
        tpl.set_sections(taken, "DISK", result)
    return result


def _nics(oned: Oned, user: User, vm_id: int, template: tpl.Template, taken: tpl.Template) -> list[tpl.Vector]:
    result: list[tpl.Vector] = []
    for index, wanted in enumerate(tpl.sections(template, "NIC")):
        try:
            result.append(add_nic(oned, user, vm_id, wanted, index))
        except OnedError as error:
            if error.code != errors.ALLOCATE:
                raise
            raise OnedError(error.code, PREFIX + error.message) from None
        tpl.set_sections(taken, "NIC", result)
    return result
