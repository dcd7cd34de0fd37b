# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing what a VM is made of: size, disks, NICs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import common, context, errors, history, images, instantiate, leases, lifecycle
from . import states as st
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, Record, User

if TYPE_CHECKING:
    from .core import Oned


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


def _changed(oned: Oned, user: User, vm: Record, action: str, lcm: int) -> None:
    """Close the stay; a running VM passes through a hotplug state."""
    history.close(oned, vm, action, user)
    history.reopen(oned, vm)
    if not st.is_running(vm):
        oned.touch(vm)
        return
    lifecycle.set_state(oned, vm, st.ACTIVE, lcm)
    epoch, oid = vm.data["epoch"], vm.oid

    def back() -> None:
        with oned.transaction():
            found = oned.find("vm", oid)
            if found and found.data["epoch"] == epoch:
                lifecycle.set_state(oned, found, st.ACTIVE, st.RUNNING)

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
    _changed(oned, user, vm, "disk-attach", st.HOTPLUG)
    return oid


@method("vm.detach", INT, INT)
def detach(oned: Oned, user: User, oid: int, disk_id: int) -> int:
    """Take a disk away."""
    vm = oned.access(user, "vm", oid, MANAGE)
    disks = tpl.sections(vm.template, "DISK")
    gone = [disk for disk in disks if disk["DISK_ID"] == str(disk_id)]
    if not gone:
        raise OnedError(errors.ACTION, "VM disk does not exist")
    _changeable(oned, vm, "Could not detach disk from")
    tpl.set_sections(vm.template, "DISK", [disk for disk in disks if disk not in gone])
    for disk in gone:
        if disk.get("IMAGE_ID"):
            images.release(oned, int(disk["IMAGE_ID"]), oid)
    _changed(oned, user, vm, "disk-detach", st.HOTPLUG)
    return oid


@method("vm.attachnic", INT, STR)
def attachnic(oned: Oned, user: User, oid: int, text: str) -> int:
    """One more NIC."""
    vm = oned.access(user, "vm", oid, MANAGE)
    wanted = _only(text, "NIC")
    _changeable(oned, vm, "Could not add a new NIC to")
    nics = tpl.sections(vm.template, "NIC")
    try:
        nic = instantiate.add_nic(oned, user, oid, wanted, _next_id(nics, "NIC_ID"))
    except OnedError as error:
        raise _as_action_error(error) from None
    tpl.set_sections(vm.template, "NIC", [*nics, nic])
    _renew_context(oned, vm)
    _changed(oned, user, vm, "nic-attach", st.HOTPLUG_NIC)
    return oid


@method("vm.detachnic", INT, INT)
def detachnic(oned: Oned, user: User, oid: int, nic_id: int) -> int:
    """Take a NIC away."""
    vm = oned.access(user, "vm", oid, MANAGE)
    nics = tpl.sections(vm.template, "NIC")
    gone = [nic for nic in nics if nic["NIC_ID"] == str(nic_id)]
    if not gone:
        raise OnedError(errors.ACTION, f"Could not detach NIC with NIC_ID {nic_id}, it does not exist.")
    _changeable(oned, vm, "Could not detach NIC from")
    tpl.set_sections(vm.template, "NIC", [nic for nic in nics if nic not in gone])
    for nic in gone:
        leases.free(oned, oned.find("vn", int(nic["NETWORK_ID"])), nic["IP"], {"vm": oid})
    _renew_context(oned, vm)
    _changed(oned, user, vm, "nic-detach", st.HOTPLUG_NIC)
    return oid


@method("vm.resize", INT, STR, opt(BOOL, True))
def resize(oned: Oned, user: User, oid: int, text: str, enforce: bool) -> int:
    """Another CPU, MEMORY (MB), VCPU; `enforce` checks that the host has room."""
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
            raise OnedError(errors.ACTION, f"{name} must be a positive {kind} value.")
    free_states = (st.PENDING, st.HOLD, st.POWEROFF, st.UNDEPLOYED)
    if vm.data["deploy_id"]:
        _check_driver(oned, vm, "Could not resize")
    if not st.is_running(vm) and vm.data["state"] not in free_states:
        raise OnedError(errors.ACTION, f"Could not resize VM {oid}, wrong state {st.name_of(vm)}.")
    old = dict(vm.template)
    vm.template.update(wanted)
    _check_room(oned, vm, old, enforce)
    lifecycle.count_usage(oned, vm)
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
        vm.template = old
        lifecycle.count_usage(oned, vm)
        raise OnedError(errors.ACTION, f"Host {host.oid} does not have enough capacity to resize VM {vm.oid}.")
