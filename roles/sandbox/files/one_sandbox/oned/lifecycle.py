# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What happens to a VM: states, one after another, and the driver calls between them.

A transitional state has one Step: a driver call, and where it leads. A step runs on a driver thread without the core's
lock; its result counts only if the VM is still in the very state visit (`epoch`) that began it. After a restart each VM
found in a transitional state simply begins that step again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..drivers import Driver, DriverError, VmSpec
from . import context, history, images, instantiate, pci, scheduler
from . import states as st
from . import template as tpl
from .records import Record, User

if TYPE_CHECKING:
    from .core import Oned

Operation = Callable[[Driver, VmSpec, bool], str | None]


@dataclass(frozen=True)
class Step:
    """operation: the driver call. then: (state, lcm) on success, failed: on DriverError. delay: share of boot_delay."""

    operation: Operation | None
    then: tuple[int, int]
    failed: tuple[int, int]
    delay: float = 0.0
    text: str = ""


def _deploy(driver: Driver, vm: VmSpec, hard: bool) -> str:
    return driver.deploy(vm)


def _resume(driver: Driver, vm: VmSpec, hard: bool) -> None:
    driver.resume(vm)


def _poweroff(driver: Driver, vm: VmSpec, hard: bool) -> None:
    driver.poweroff(vm, hard)


def _terminate(driver: Driver, vm: VmSpec, hard: bool) -> None:
    driver.terminate(vm, hard)


_RUN, _OFF, _DONE = (st.ACTIVE, st.RUNNING), (st.POWEROFF, 0), (st.DONE, 0)
_DEPLOY, _SHUT = "Error deploying virtual machine", "Error shutting down VM"
_TRANSFER = "Error executing image transfer script"
STEPS: dict[int, Step] = {
    st.PROLOG: Step(None, (st.ACTIVE, st.BOOT), (st.ACTIVE, st.PROLOG_FAILURE), 1.0, _TRANSFER),
    st.BOOT: Step(_deploy, _RUN, (st.ACTIVE, st.BOOT_FAILURE), 0.0, _DEPLOY),
    st.BOOT_POWEROFF: Step(_resume, _RUN, _OFF, 0.2, _DEPLOY),
    st.BOOT_SUSPENDED: Step(_resume, _RUN, (st.SUSPENDED, 0), 0.2, _DEPLOY),
    st.BOOT_STOPPED: Step(_resume, _RUN, (st.ACTIVE, st.BOOT_STOPPED_FAILURE), 0.2, _DEPLOY),
    st.BOOT_UNDEPLOY: Step(_resume, _RUN, (st.ACTIVE, st.BOOT_UNDEPLOY_FAILURE), 0.2, _DEPLOY),
    st.SHUTDOWN_POWEROFF: Step(_poweroff, _OFF, _RUN, 0.2, _SHUT),
    st.SAVE_SUSPEND: Step(_poweroff, (st.SUSPENDED, 0), _RUN, 0.2, "Error saving VM state"),
    st.SAVE_STOP: Step(_poweroff, (st.ACTIVE, st.EPILOG_STOP), _RUN, 0.2, "Error saving VM state"),
    st.EPILOG_STOP: Step(None, (st.STOPPED, 0), (st.STOPPED, 0)),
    st.SHUTDOWN_UNDEPLOY: Step(_poweroff, (st.ACTIVE, st.EPILOG_UNDEPLOY), _RUN, 0.2, _SHUT),
    st.EPILOG_UNDEPLOY: Step(None, (st.UNDEPLOYED, 0), (st.UNDEPLOYED, 0)),
    st.SHUTDOWN: Step(_poweroff, (st.ACTIVE, st.EPILOG), _RUN, 0.2, _SHUT),
    st.EPILOG: Step(_terminate, _DONE, (st.ACTIVE, st.EPILOG_FAILURE), 0.0, "Error in epilog"),
    st.CLEANUP_DELETE: Step(_terminate, _DONE, _DONE),
    st.CLEANUP_RESUBMIT: Step(_terminate, (st.PENDING, 0), (st.PENDING, 0)),
}
_STAGES = {
    st.PROLOG: "prolog", st.BOOT: "boot", st.BOOT_POWEROFF: "boot", st.BOOT_SUSPENDED: "boot", st.BOOT_STOPPED: "boot",
    st.BOOT_UNDEPLOY: "boot",
}  # fmt: skip
_KEEPS_HOST = (st.ACTIVE, st.POWEROFF, st.SUSPENDED)


def set_state(oned: Oned, vm: Record, state: int, lcm: int = st.LCM_INIT) -> None:
    """Enter a state and begin its step, if it has one."""
    data = vm.data
    data["state"], data["lcm"] = state, lcm
    data["epoch"] += 1
    if state == st.PENDING:
        oned.pending.add(vm.oid)
        scheduler.poke(oned)
    else:
        oned.pending.discard(vm.oid)
    count_usage(oned, vm)
    if state == st.DONE:
        _finish(oned, vm)
    elif state == st.ACTIVE and lcm == st.RUNNING:
        history.mark_running(oned, vm)
    oned.touch(vm)
    if state == st.ACTIVE and lcm in STEPS:
        begin_step(oned, vm)


def count_usage(oned: Oned, vm: Record) -> None:
    """Tell the host accounting where the VM takes room."""
    entry = history.last(vm)
    on_host = entry is not None and vm.data["state"] in _KEEPS_HOST
    hid = entry["hid"] if entry is not None and on_host else None
    oned.usage.set(vm, hid)
    pci.settle(oned, vm, hid)


def _finish(oned: Oned, vm: Record) -> None:
    vm.data["etime"] = vm.data["etime"] or oned.now()
    instantiate.release_all(oned, vm.template, vm.oid)
    scheduler.poke(oned)


def begin(oned: Oned, vm: Record) -> None:
    """The first state of a new VM: PENDING, HOLD, or CLONING while one of its images is on its way."""
    waits = any(
        image is not None and image.data["state"] in (images.LOCKED_USED, images.LOCKED_USED_PERS)
        for image in _images(oned, vm)
    )
    if waits:
        set_state(oned, vm, st.CLONING)
    else:
        set_state(oned, vm, st.HOLD if vm.data["hold"] else st.PENDING)


def _images(oned: Oned, vm: Record) -> list[Record | None]:
    return [oned.find("image", int(d["IMAGE_ID"])) for d in tpl.sections(vm.template, "DISK") if d.get("IMAGE_ID")]


def image_settled(oned: Oned, vm: Record, ready: bool) -> None:
    """An image that the VM waits for arrived, or will not."""
    if vm.data["state"] != st.CLONING:
        return
    if ready:
        _refresh_disks(oned, vm)
        begin(oned, vm)
    else:
        set_state(oned, vm, st.CLONING_FAILURE)


def _refresh_disks(oned: Oned, vm: Record) -> None:
    disks = tpl.sections(vm.template, "DISK")
    for index, disk in enumerate(disks):
        image = oned.find("image", int(disk["IMAGE_ID"])) if disk.get("IMAGE_ID") else None
        if image is not None:
            fresh = instantiate.disk_from(oned, image, disk, int(disk["DISK_ID"]))
            fresh["SIZE"] = str(image.data["size"]) if disk.get("SIZE") in ("", "0") else fresh["SIZE"]
            disks[index] = fresh
    tpl.set_sections(vm.template, "DISK", disks)


def deploy(oned: Oned, vm: Record, host: Record) -> None:
    """Bring the VM to a host: the first time with a prolog, later by starting what is there."""
    before = vm.data["deploy_id"]
    vm.data["user_template"].pop("SCHED_MESSAGE", None)
    vm.template["TM_MAD_SYSTEM"] = "dummy"
    history.open_record(oned, vm, host.oid, host.name, host.data["vm_mad"], first=not before)
    if before:
        came_from = vm.data.get("came_from")
        set_state(oned, vm, st.ACTIVE, st.BOOT_STOPPED if came_from == st.STOPPED else st.BOOT_UNDEPLOY)
    else:
        set_state(oned, vm, st.ACTIVE, st.PROLOG)


def driver_of(oned: Oned, vm: Record) -> Driver | None:
    """The driver of the host where the VM is (or was last)."""
    entry = history.last(vm)
    return oned.drivers.get(entry["vm_mad"]) if entry else None


def begin_step(oned: Oned, vm: Record) -> None:
    """Schedule the step of the state the VM is in."""
    epoch, step = vm.data["epoch"], STEPS[vm.data["lcm"]]
    job = functools.partial(_run_step, oned, vm.oid, epoch)
    delay = step.delay * oned.options.boot_delay
    if step.operation is None:
        oned.worker.after(delay, job)
    else:
        oned.worker.after(delay, lambda: oned.worker.submit(("vm", vm.oid), job))


def _run_step(oned: Oned, vm_id: int, epoch: int) -> None:
    with oned.lock:
        vm = oned.find("vm", vm_id)
        if vm is None or vm.data["epoch"] != epoch:
            return
        step = STEPS[vm.data["lcm"]]
        driver, view, hard = driver_of(oned, vm), spec(oned, vm), bool(vm.data["hard"])
        host, stage = (history.last(vm) or {}).get("hostname", ""), _STAGES.get(vm.data["lcm"])
    deploy_id: str | None = None
    # Hosts fail on request, see one_sandbox/faults.py.
    problem = oned.host_problem(host, stage) if stage else ""
    try:
        if step.operation is not None and not problem:
            if driver is None:
                raise DriverError("The driver of the VM's host is not part of this sandbox; start it with that driver.")
            deploy_id = step.operation(driver, view, hard)
    except DriverError as error:
        problem = str(error)
    except Exception as error:  # whatever a driver does, its VM must not hang in a transitional state
        problem = f"{type(error).__name__}: {error}"
    with oned.transaction():
        vm = oned.find("vm", vm_id)
        if vm is None or vm.data["epoch"] != epoch:
            return
        _end_step(oned, vm, step, deploy_id, problem)


def _end_step(oned: Oned, vm: Record, step: Step, deploy_id: str | None, problem: str) -> None:
    if deploy_id is not None:
        vm.data["deploy_id"] = deploy_id
    if problem:
        set_error(oned, vm, f"{step.text or 'Error'}: {problem}")
    state, lcm = step.failed if problem else step.then
    if state == st.PENDING:
        vm.data["deploy_id"] = ""
    if problem and (state, lcm) == _RUN:
        # The VM still runs: the stay that the action closed goes on.
        history.reopen(oned, vm)
    if not problem and state in (st.STOPPED, st.UNDEPLOYED):
        vm.data["came_from"] = state
    set_state(oned, vm, state, lcm)


def set_error(oned: Oned, vm: Record, text: str, name: str = "ERROR") -> None:
    """ERROR or SCHED_MESSAGE in USER_TEMPLATE, with the time before it."""
    vm.data["user_template"][name] = f"{oned.clock()} : {text}"
    oned.touch(vm)


def spec(oned: Oned, vm: Record) -> VmSpec:
    """The VM as its driver sees it."""
    disks = []
    for disk in tpl.sections(vm.template, "DISK"):
        image = oned.find("image", int(disk["IMAGE_ID"])) if disk.get("IMAGE_ID") else None
        extra = {"SOURCE": image.data["source"], "PATH": image.data["path"]} if image else {}
        disks.append({**disk, **extra})
    nics = []
    for nic in tpl.sections(vm.template, "NIC"):
        vnet = oned.find("vn", int(nic["NETWORK_ID"]))
        network = vnet.template if vnet else {}
        nics.append({
            **nic, "MASK": tpl.scalar(network, "NETWORK_MASK"),
            "NETWORK_ADDRESS": tpl.scalar(network, "NETWORK_ADDRESS"),
            "GATEWAY": nic.get("GATEWAY", tpl.scalar(network, "GATEWAY")),
        })  # fmt: skip
    section = vm.template.get("CONTEXT")
    values = dict(section) if isinstance(section, dict) else {}
    return VmSpec(
        id=vm.oid, name=vm.name, images=disks, nics=nics, context=values,
        token=oned.tokens.issue(vm.oid) if context.is_yes(values, "TOKEN") else "",
        memory_mb=int(tpl.scalar(vm.template, "MEMORY", "0")), cpu=float(tpl.scalar(vm.template, "CPU", "0")),
        vcpu=int(tpl.scalar(vm.template, "VCPU", "1")), deploy_id=vm.data["deploy_id"],
    )  # fmt: skip


def went_away(oned: Oned, vm: Record) -> None:
    """The monitor found the VM stopped or gone though nobody asked for it."""
    history.close(oned, vm, "monitor", None)
    set_state(oned, vm, st.POWEROFF)


def begin_action(oned: Oned, vm: Record, user: User, action: str, lcm: int, hard: bool = False) -> None:
    """Close the current stay and enter a transitional state."""
    vm.data["hard"] = hard
    history.close(oned, vm, action, user)
    set_state(oned, vm, st.ACTIVE, lcm)


def recover_after_restart(oned: Oned) -> None:
    """Count room again and take up interrupted steps and imports."""
    for vm in oned.pools["vm"].values():
        state, lcm = vm.data["state"], vm.data["lcm"]
        count_usage(oned, vm)
        if state != st.DONE:
            instantiate.take_again(oned, vm)
        if state == st.PENDING:
            oned.pending.add(vm.oid)
        elif state == st.ACTIVE and lcm in STEPS:
            begin_step(oned, vm)
        elif state == st.ACTIVE and lcm in st.CHANGING:
            set_state(oned, vm, *st.CHANGING[lcm])
    for image in list(oned.pools["image"].values()):
        if image.data["state"] in (images.LOCKED, images.LOCKED_USED, images.LOCKED_USED_PERS):
            images.start_import(oned, image)
        elif image.data["state"] == images.DELETE:
            images.start_delete(oned, image)
