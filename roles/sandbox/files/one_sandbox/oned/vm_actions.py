# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one.vm.action, deploy and recover."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..drivers import DriverError
from . import common, errors, history, lifecycle, scheduler
from . import states as st
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import ADMIN, MANAGE, Record, User

if TYPE_CHECKING:
    from .core import Oned

Action = Callable[["Oned", User, Record], bool]


def _to(lcm: int, name: str, hard: bool, from_states: tuple[int, ...] = (), again: int = -1) -> Action:
    """An action of RUNNING VMs (or those in from_states); `again`: a hard one may overtake the soft one there."""

    def act(oned: Oned, user: User, vm: Record) -> bool:
        state, now = vm.data["state"], vm.data["lcm"]
        ready = st.is_running(vm) or (state == st.ACTIVE and now == st.UNKNOWN) or state in from_states
        overtakes = hard and state == st.ACTIVE and now == again
        if not ready and not overtakes:
            return False
        lifecycle.begin_action(oned, vm, user, name, lcm, hard)
        return True

    return act


def _resume(oned: Oned, user: User, vm: Record) -> bool:
    state = vm.data["state"]
    if state in (st.STOPPED, st.UNDEPLOYED):
        lifecycle.set_state(oned, vm, st.PENDING)
    elif state in (st.POWEROFF, st.SUSPENDED):
        history.reopen(oned, vm)
        lifecycle.set_state(oned, vm, st.ACTIVE, st.BOOT_POWEROFF if state == st.POWEROFF else st.BOOT_SUSPENDED)
    elif state == st.ACTIVE and vm.data["lcm"] == st.UNKNOWN:
        lifecycle.set_state(oned, vm, st.ACTIVE, st.BOOT_POWEROFF)
    else:
        return False
    return True


def _hold(oned: Oned, user: User, vm: Record) -> bool:
    if vm.data["state"] != st.PENDING:
        return False
    lifecycle.set_state(oned, vm, st.HOLD)
    return True


def _release(oned: Oned, user: User, vm: Record) -> bool:
    if vm.data["state"] != st.HOLD:
        return False
    lifecycle.set_state(oned, vm, st.PENDING)
    return True


def _reboot(hard: bool) -> Action:
    def act(oned: Oned, user: User, vm: Record) -> bool:
        if not st.is_running(vm):
            return False
        driver, view, epoch = lifecycle.driver_of(oned, vm), lifecycle.spec(oned, vm), vm.data["epoch"]

        def job() -> None:
            try:
                if driver is not None:
                    driver.reboot(view, hard)
            except DriverError as error:
                with oned.transaction():
                    if vm.data["epoch"] == epoch:
                        lifecycle.set_error(oned, vm, f"Error rebooting VM: {error}")

        oned.worker.submit(("vm", vm.oid), job)
        return True

    return act


def terminate(oned: Oned, user: User, vm: Record, hard: bool) -> bool:
    """End a VM from wherever it is. False: not from this state."""
    state, lcm, name = vm.data["state"], vm.data["lcm"], "terminate-hard" if hard else "terminate"
    if state == st.DONE:
        return True
    if state in (st.INIT, st.PENDING, st.HOLD, st.CLONING, st.CLONING_FAILURE) and not vm.data["deploy_id"]:
        history.close(oned, vm, name, user)
        lifecycle.set_state(oned, vm, st.DONE)
    elif state == st.ACTIVE and lcm in st.FAILURES:
        # Whatever failed, the machine is cleaned up and gone: the end of a failed VM cannot fail again.
        lifecycle.begin_action(oned, vm, user, "delete", st.CLEANUP_DELETE, True)
    elif state != st.ACTIVE:
        lifecycle.begin_action(oned, vm, user, name, st.EPILOG, True)
    elif lcm in (st.RUNNING, st.UNKNOWN) or (hard and lcm == st.SHUTDOWN):
        # A hard end needs no shutdown in order before it.
        lifecycle.begin_action(oned, vm, user, name, st.EPILOG if hard else st.SHUTDOWN, hard)
    else:
        return False
    return True


ACTIONS: dict[str, Action] = {
    "terminate": functools.partial(terminate, hard=False),
    "terminate-hard": functools.partial(terminate, hard=True),
    "hold": _hold,
    "release": _release,
    "resume": _resume,
    "reboot": _reboot(False),
    "reboot-hard": _reboot(True),
    "poweroff": _to(st.SHUTDOWN_POWEROFF, "poweroff", False),
    "poweroff-hard": _to(st.SHUTDOWN_POWEROFF, "poweroff-hard", True, again=st.SHUTDOWN_POWEROFF),
    "suspend": _to(st.SAVE_SUSPEND, "suspend", False),
    "stop": _to(st.SAVE_STOP, "stop", False, (st.SUSPENDED,)),
    "undeploy": _to(st.SHUTDOWN_UNDEPLOY, "undeploy", False, (st.POWEROFF,)),
    "undeploy-hard": _to(st.SHUTDOWN_UNDEPLOY, "undeploy-hard", True, (st.POWEROFF,), again=st.SHUTDOWN_UNDEPLOY),
}


@method("vm.action", STR, INT)
def action(oned: Oned, user: User, name: str, oid: int) -> int:
    """Begin an action; what it leads to is seen in the state."""
    vm = oned.access(user, "vm", oid, MANAGE)
    if name not in ACTIONS:
        raise OnedError(errors.ACTION, f'Action "{name}" is not supported')
    if not ACTIONS[name](oned, user, vm):
        reason = f"This action is not available for state {st.name_of(vm)}"
        if name.startswith("terminate"):
            reason = f"Could not terminate VM {oid}, wrong state {st.name_of(vm)}."
        raise OnedError(errors.ACTION, f'Error performing action "{name}": {reason}')
    return oid


@method("vm.deploy", INT, INT, opt(BOOL, False), opt(INT, -1), opt(STR, ""))
def deploy(oned: Oned, user: User, oid: int, hid: int, enforce: bool, datastore: int, extra: str) -> int:
    """Put a VM on a chosen host; `enforce` checks that it has room."""
    vm = oned.access(user, "vm", oid, ADMIN)
    host = oned.get("host", hid)
    if extra.strip():
        common.parse(extra)
    if vm.data["state"] not in (st.PENDING, st.HOLD, st.STOPPED, st.UNDEPLOYED):
        raise OnedError(errors.ACTION, f"Deploy action is not available for state {st.name_of(vm)}")
    if host.data["state"] == 8:
        raise OnedError(errors.ACTION, "Host is offline, cannot use it to deploy VM")
    problem = scheduler.misfit(oned, vm, host) if enforce else ""
    if problem:
        raise OnedError(errors.ACTION, f"VM [{oid}] does not fit in HOST [{hid}]. {problem}")
    lifecycle.deploy(oned, vm, host)
    return oid


@method("vm.recover", INT, INT)
def recover(oned: Oned, user: User, oid: int, operation: int) -> int:
    """0 failure, 1 success, 2 retry, 3 delete, 4 delete and submit again, 5 delete in the database only."""
    if operation not in range(6):
        raise OnedError(errors.ACTION, "Wrong recovery operation code")
    vm = oned.access(user, "vm", oid, ADMIN)
    if operation in (0, 1) and vm.data["state"] == st.CLONING_FAILURE:
        lifecycle.image_settled(oned, vm, operation == 1)
    elif operation in (0, 1, 2):
        if vm.data["state"] != st.ACTIVE:
            what = "retry" if operation == 2 else "recover operation"
            raise OnedError(errors.ACTION, f"Could not perform a {what} on VM {oid}, wrong state {st.name_of(vm)}.")
        _recover_active(oned, vm, operation)
    elif operation == 4:
        _resubmit(oned, user, vm)
    elif vm.data["state"] != st.DONE:
        history.close(oned, vm, "delete", user)
        vm.data["hard"] = True
        in_driver = operation == 3 and lifecycle.driver_of(oned, vm) is not None
        lifecycle.set_state(oned, vm, *((st.ACTIVE, st.CLEANUP_DELETE) if in_driver else (st.DONE, 0)))
    return oid


_FAILED_BOOTS = {
    st.PROLOG_FAILURE: st.PROLOG,
    st.BOOT_FAILURE: st.BOOT, st.BOOT_UNDEPLOY_FAILURE: st.BOOT_UNDEPLOY, st.BOOT_STOPPED_FAILURE: st.BOOT_STOPPED,
    st.EPILOG_FAILURE: st.EPILOG,
}  # fmt: skip


def _recover_active(oned: Oned, vm: Record, operation: int) -> None:
    lcm = vm.data["lcm"]
    if lcm in st.CHANGING or lcm == st.UNKNOWN:
        if operation != 2:
            lifecycle.set_state(oned, vm, *st.CHANGING.get(lcm, (st.ACTIVE, st.RUNNING)))
    elif operation == 2 and lcm in _FAILED_BOOTS:
        vm.data["user_template"].pop("ERROR", None)
        lifecycle.set_state(oned, vm, st.ACTIVE, _FAILED_BOOTS[lcm])
    elif operation == 1 and (lcm in lifecycle.STEPS or lcm in _FAILED_BOOTS):
        step = lifecycle.STEPS[_FAILED_BOOTS.get(lcm, lcm)]
        if step.then == (st.ACTIVE, st.RUNNING) and not vm.data["deploy_id"]:
            vm.data["deploy_id"] = f"one-{vm.oid}"
        lifecycle.set_state(oned, vm, *step.then)
    elif operation == 0 and lcm in lifecycle.STEPS:
        lifecycle.set_state(oned, vm, *lifecycle.STEPS[lcm].failed)


def _resubmit(oned: Oned, user: User, vm: Record) -> None:
    state = vm.data["state"]
    if state == st.DONE:
        raise OnedError(errors.ACTION, "Cannot delete-recreate a VM already in DONE state")
    if state in (st.INIT, st.PENDING, st.CLONING, st.CLONING_FAILURE):
        return
    vm.data["user_template"].pop("ERROR", None)
    history.close(oned, vm, "delete-recreate", user)
    vm.data["hard"] = True
    if lifecycle.driver_of(oned, vm) is None:
        lifecycle.set_state(oned, vm, st.PENDING)
    else:
        lifecycle.set_state(oned, vm, st.ACTIVE, st.CLEANUP_RESUBMIT)
