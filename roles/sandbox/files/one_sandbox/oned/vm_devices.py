# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing what a VM is made of: size, disks, NICs, PCI devices."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from . import common, context, errors, history, images, instantiate, leases, lifecycle, pci
from . import states as st
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, Record, User

if TYPE_CHECKING:
    from .core import Oned


Undo = Callable[[Record], None]
_POWERED_OFF = {
    "disk-attach": st.HOTPLUG_PROLOG_POWEROFF, "disk-detach": st.HOTPLUG_EPILOG_POWEROFF,
    "disk-resize": st.DISK_RESIZE_POWEROFF,
}  # fmt: skip
_FAULTS = {
    "disk-attach": "Error attaching new VM Disk", "disk-detach": "Error detaching VM Disk",
    "nic-attach": "Error attaching new VM NIC", "nic-detach": "Error detaching VM NIC",
    "disk-resize": "Error resizing disk", "resize": "Error resizing VM",
}  # fmt: skip


def _changeable(oned: Oned, vm: Record, what: str) -> None:
    """Raise OnedError 2048 unless the VM is RUNNING or POWEROFF, with a driver that can change a VM's devices."""
    if not st.is_running(vm) and vm.data["state"] != st.POWEROFF:
        raise OnedError(errors.ACTION, f"{what} VM {vm.oid}, wrong state {st.name_of(vm)}.")
    _check_driver(oned, vm, what)


def _check_driver(oned: Oned, vm: Record, what: str) -> None:
    driver = lifecycle.driver_of(oned, vm)
    if not getattr(driver, "hotplug", False):
        name = driver.name if driver else "unknown"
        raise OnedError(errors.ACTION, f"{what} VM {vm.oid}: the sandbox's {name} driver cannot change an existing VM.")


def _changed(oned: Oned, user: User, vm: Record, action: str, lcm: int, undo: Undo | None = None) -> None:
    """Close the stay and pass through a state of change. `undo` takes the change back if the driver cannot make it."""
    history.close(oned, vm, action, user)
    history.reopen(oned, vm)
    transit(oned, vm, lcm if st.is_running(vm) else _POWERED_OFF.get(action), _FAULTS.get(action, ""), undo)


def transit(oned: Oned, vm: Record, lcm: int | None, fault: str = "", undo: Undo | None = None) -> None:
    """Be in a state of change for a moment; None: the change needs none, because nothing runs."""
    if lcm is None:
        oned.touch(vm)
        return
    faults = getattr(lifecycle.driver_of(oned, vm), "fail_change", {})
    problem = faults.get(vm.name, "") if undo else ""
    lifecycle.set_state(oned, vm, st.ACTIVE, lcm)
    epoch, oid = vm.data["epoch"], vm.oid

    def back() -> None:
        with oned.transaction():
            found = oned.find("vm", oid)
            if found is None or found.data["epoch"] != epoch:
                return
            if problem and undo is not None:
                undo(found)
                lifecycle.set_error(oned, found, f"{fault}: {problem}")
            lifecycle.set_state(oned, found, *st.CHANGING[lcm])

    oned.worker.after(oned.options.boot_delay * 0.2, back)


def _only(text: str, name: str) -> tpl.Vector:
    found = tpl.sections(common.parse(text), name)
    if not found:
        raise OnedError(errors.INTERNAL, f"Internal error parsing {name} attribute")
    return found[0]


def _next_id(vectors: list[tpl.Vector], name: str) -> int:
    return max((int(vector[name]) for vector in vectors), default=-1) + 1


def _renew_context(oned: Oned, vm: Record) -> None:
    section = vm.template.get("CONTEXT")
    if isinstance(section, dict):
        context.refresh_network(oned, vm, section)


def _as_action_error(error: OnedError) -> OnedError:
    # The very same faults have another code here than in instantiate.
    code = errors.ACTION if error.code == errors.ALLOCATE else error.code
    return OnedError(code, error.message, error.object_id)


@method("vm.attach", INT, STR)
def attach(oned: Oned, user: User, oid: int, text: str) -> int:
    """One more disk."""
    vm = oned.access(user, "vm", oid, MANAGE)
    if history.last(vm) is None:
        raise OnedError(errors.ACTION, "VM is not running in any host")
    wanted = _only(text, "DISK")
    _changeable(oned, vm, "Could not attach a new disk to")
    disks = tpl.sections(vm.template, "DISK")
    # The context CD has number 0 in a VM without disks.
    disk_id = max(_next_id(disks, "DISK_ID"), 1 if "CONTEXT" in vm.template else 0)
    try:
        disk = instantiate.add_disk(oned, user, oid, wanted, disk_id, attach=True)
    except OnedError as error:
        raise _as_action_error(error) from None
    tpl.set_sections(vm.template, "DISK", [*disks, disk])
    _changed(oned, user, vm, "disk-attach", st.HOTPLUG, lambda found: _drop_disk(oned, found, disk_id))
    return oid


def _drop_disk(oned: Oned, vm: Record, disk_id: int) -> None:
    disks = tpl.sections(vm.template, "DISK")
    for disk in disks:
        if disk["DISK_ID"] == str(disk_id) and disk.get("IMAGE_ID"):
            images.release(oned, int(disk["IMAGE_ID"]), vm.oid)
    tpl.set_sections(vm.template, "DISK", [disk for disk in disks if disk["DISK_ID"] != str(disk_id)])


@method("vm.detach", INT, INT)
def detach(oned: Oned, user: User, oid: int, disk_id: int) -> int:
    """Take a disk away."""
    vm = oned.access(user, "vm", oid, MANAGE)
    _changeable(oned, vm, "Could not detach disk from")
    _disk(vm, disk_id)
    if getattr(lifecycle.driver_of(oned, vm), "fail_change", {}).get(vm.name):
        _changed(oned, user, vm, "disk-detach", st.HOTPLUG, lambda found: None)
        return oid
    _drop_disk(oned, vm, disk_id)
    _changed(oned, user, vm, "disk-detach", st.HOTPLUG)
    return oid


def _disk(vm: Record, disk_id: int) -> tpl.Vector:
    for disk in tpl.sections(vm.template, "DISK"):
        if disk["DISK_ID"] == str(disk_id):
            return disk
    raise OnedError(errors.ACTION, "VM disk does not exist")


@method("vm.diskresize", INT, INT, STR)
def diskresize(oned: Oned, user: User, oid: int, disk_id: int, text: str) -> int:
    """A larger disk; size in MB."""
    if not text.strip().isdigit():
        raise OnedError(errors.ACTION, "Disk SIZE is not a valid integer")
    vm = oned.access(user, "vm", oid, MANAGE)
    old = _disk(vm, disk_id).get("SIZE", "0")
    if int(text) <= int(old):
        raise OnedError(errors.ACTION, "New disk size has to be greater than current one")
    state = vm.data["state"]
    if not st.is_running(vm) and state not in (st.POWEROFF, st.UNDEPLOYED):
        raise OnedError(errors.ACTION, f"Could not resize disk for VM {oid}, wrong state {st.name_of(vm)}.")
    _check_driver(oned, vm, "Could not resize disk for")

    def give(found: Record, size: str) -> None:
        disks = tpl.sections(found.template, "DISK")
        for disk in disks:
            if disk["DISK_ID"] == str(disk_id):
                disk["SIZE"] = size
        tpl.set_sections(found.template, "DISK", disks)

    give(vm, text.strip())
    if state == st.UNDEPLOYED:
        transit(oned, vm, st.DISK_RESIZE_UNDEPLOYED)
    else:
        _changed(oned, user, vm, "disk-resize", st.DISK_RESIZE, lambda found: give(found, old))
    return oid


@method("vm.attachnic", INT, STR)
def attachnic(oned: Oned, user: User, oid: int, text: str) -> int:
    """One more NIC."""
    vm = oned.access(user, "vm", oid, MANAGE)
    wanted = _only(text, "NIC")
    _changeable(oned, vm, "Could not add a new NIC to")
    nics = tpl.sections(vm.template, "NIC")
    nic_id = _next_id(nics, "NIC_ID")
    try:
        nic = instantiate.add_nic(oned, user, oid, wanted, nic_id)
    except OnedError as error:
        raise _as_action_error(error) from None
    tpl.set_sections(vm.template, "NIC", [*nics, nic])
    _renew_context(oned, vm)
    _changed(oned, user, vm, "nic-attach", st.HOTPLUG_NIC, lambda found: _drop_nic(oned, found, nic_id))
    return oid


def _drop_nic(oned: Oned, vm: Record, nic_id: int) -> None:
    nics = tpl.sections(vm.template, "NIC")
    for nic in nics:
        if nic["NIC_ID"] == str(nic_id):
            leases.free(oned, oned.find("vn", int(nic["NETWORK_ID"])), nic["IP"], {"vm": vm.oid})
    tpl.set_sections(vm.template, "NIC", [nic for nic in nics if nic["NIC_ID"] != str(nic_id)])
    _renew_context(oned, vm)


@method("vm.detachnic", INT, INT)
def detachnic(oned: Oned, user: User, oid: int, nic_id: int) -> int:
    """Take a NIC away."""
    vm = oned.access(user, "vm", oid, MANAGE)
    _changeable(oned, vm, "Could not detach NIC from")
    if all(nic["NIC_ID"] != str(nic_id) for nic in tpl.sections(vm.template, "NIC")):
        raise OnedError(errors.ACTION, f"Could not detach NIC with NIC_ID {nic_id}, it does not exist.")
    _drop_nic(oned, vm, nic_id)
    _changed(oned, user, vm, "nic-detach", st.HOTPLUG_NIC)
    return oid


def _for_pci(oned: Oned, user: User, oid: int) -> tuple[Record, Record | None]:
    """The VM, and the host whose devices it has while it is powered off."""
    vm = oned.access(user, "vm", oid, MANAGE)
    if vm.data["state"] not in (st.POWEROFF, st.UNDEPLOYED):
        raise OnedError(errors.ACTION, "VM in wrong state, it has to be in poweroff")
    entry = history.last(vm)
    if entry is None:
        raise OnedError(errors.ACTION, "Could not find host information")
    return vm, oned.find("host", entry["hid"]) if vm.data["state"] == st.POWEROFF else None


@method("vm.attachpci", INT, STR)
def attachpci(oned: Oned, user: User, oid: int, text: str) -> int:
    """One more PCI device of the host."""
    found = tpl.sections(common.parse(text), "PCI")
    if not found:
        raise OnedError(errors.ACTION, "PCI attribute not found")
    if found[0].get("TYPE") == "NIC":
        raise OnedError(errors.ACTION, "Use one.vm.attachnic to attach this PCI device")
    try:
        (wanted,) = pci.check({"PCI": found[0]})
    except OnedError as error:
        raise _as_action_error(error) from None
    vm, host = _for_pci(oned, user, oid)
    present = tpl.sections(vm.template, "PCI")
    wanted["PCI_ID"] = str(_next_id(present, "PCI_ID"))
    if host is not None and not pci.add(oned, host, vm, wanted):
        raise OnedError(errors.ACTION, "Cannot assign PCI device in host. Check address and free devices")
    tpl.set_sections(vm.template, "PCI", [*present, wanted])
    if host is not None:
        history.close(oned, vm, "pci-attach", user)
        history.reopen(oned, vm)
    oned.touch(vm)
    return oid


@method("vm.detachpci", INT, INT)
def detachpci(oned: Oned, user: User, oid: int, pci_id: int) -> int:
    """Give a PCI device back to the host."""
    vm, host = _for_pci(oned, user, oid)
    present = tpl.sections(vm.template, "PCI")
    gone = [vector for vector in present if vector["PCI_ID"] == str(pci_id)]
    if not gone:
        raise OnedError(errors.ACTION, "PCI device not found")
    tpl.set_sections(vm.template, "PCI", [vector for vector in present if vector not in gone])
    if host is not None:
        pci.give_back(oned, host, vm, gone[0])
        history.close(oned, vm, "pci-detach", user)
        history.reopen(oned, vm)
    oned.touch(vm)
    return oid


@method("vm.resize", INT, STR, opt(BOOL, True))
def resize(oned: Oned, user: User, oid: int, text: str, enforce: bool) -> int:
    """Another CPU, MEMORY (MB), VCPU; `enforce` checks that the host has room, as it always does for ordinary users."""
    vm = oned.access(user, "vm", oid, MANAGE)
    new = common.parse(text)
    wanted = {name: tpl.scalar(new, name) for name in ("CPU", "MEMORY", "VCPU") if tpl.scalar(new, name)}
    for name, value in wanted.items():
        try:
            right = (float(value) if name == "CPU" else int(value)) > 0
        except ValueError:
            right = False
        if not right:
            kind = "float or integer" if name == "CPU" else "integer"
            raise OnedError(errors.INTERNAL, f"{name} must be a positive {kind} value.")
    free_states = (st.PENDING, st.HOLD, st.POWEROFF, st.UNDEPLOYED, st.CLONING, st.CLONING_FAILURE)
    running = st.is_running(vm)
    if not running and vm.data["state"] not in free_states:
        raise OnedError(errors.ACTION, f"Cannot resize a VM in state {st.name_of(vm)}")
    driver = lifecycle.driver_of(oned, vm)
    if running and not getattr(driver, "live_resize", False):
        raise OnedError(errors.ACTION, f"Hotplug resize not supported by driver {driver.name if driver else ''}")
    if vm.data["deploy_id"]:
        _check_driver(oned, vm, "Could not resize")
    old = {name: vm.template[name] for name in wanted if name in vm.template}
    if running and old == wanted:
        return oid
    vm.template.update(wanted)
    _check_room(oned, vm, old, enforce or not user.is_admin)

    def undo(found: Record) -> None:
        for name in wanted:
            found.template.pop(name, None)
        found.template.update(old)

    if running or vm.data["state"] == st.POWEROFF:
        _changed(oned, user, vm, "resize", st.HOTPLUG_RESIZE, undo)
    oned.touch(vm)
    return oid


def _check_room(oned: Oned, vm: Record, old: tpl.Template, enforce: bool) -> None:
    entry = history.last(vm)
    host = oned.find("host", entry["hid"]) if entry else None
    lifecycle.count_usage(oned, vm)
    if host is None or not enforce:
        return
    cpu, memory = oned.usage.used(host.oid)
    if cpu > host.data["cpu"] or memory > host.data["memory"]:
        vm.template.update(old)
        lifecycle.count_usage(oned, vm)
        raise OnedError(errors.ACTION, f"Host {host.oid} does not have enough capacity to resize VM {vm.oid}.")
