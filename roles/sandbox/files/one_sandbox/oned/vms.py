# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs: reading them, changing their attributes and configuration."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import common, context, errors, vm_devices, vmxml
from . import states as st
from . import template as tpl
from .errors import OnedError
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, Record, User, allowed

if TYPE_CHECKING:
    from .core import Oned

_CONFIGURABLE = ("OS", "FEATURES", "INPUT", "GRAPHICS", "VIDEO", "RAW", "CPU_MODEL", "BACKUP_CONFIG")
_UPDATABLE = (st.PENDING, st.HOLD, st.POWEROFF, st.UNDEPLOYED, st.CLONING, st.CLONING_FAILURE)
_UPDATABLE_LCM = (
    st.LCM_INIT, st.PROLOG, st.RUNNING, st.EPILOG, st.SHUTDOWN, st.CLEANUP_RESUBMIT, st.SHUTDOWN_POWEROFF,
    st.CLEANUP_DELETE, st.SHUTDOWN_UNDEPLOY, st.EPILOG_UNDEPLOY, st.BOOT_FAILURE, st.EPILOG_FAILURE,
    st.BOOT_UNDEPLOY_FAILURE,
)  # fmt: skip


@method("vm.info", INT, opt(BOOL, False))
def info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """VM with its whole history; administrators may have it decrypted."""
    return vmxml.full(oned, oned.access(user, "vm", oid, USE), all_history=True, clear=decrypt and user.is_admin)


def _selected(oned: Oned, user: User, flag: int, start: int, end: int, state: int, search: str) -> list[Record]:
    if search.strip():
        raise OnedError(errors.INTERNAL, "JSON query search is not supported by the SQL backend")

    def chosen(vm: Record) -> bool:
        now = vm.data["state"]
        return state == -2 or (state == -1 and now != st.DONE) or bool(now == state)

    return common.visible(oned, user, "vm", flag, start, end, chosen)


@method("vmpool.info", opt(INT, -2), opt(INT, -1), opt(INT, -1), opt(INT, -1), opt(STR, ""))
def pool(oned: Oned, user: User, flag: int, start: int, end: int, state: int, search: str) -> str:
    """VM_POOL with reduced bodies, newest first. state: -2 any, -1 all but DONE, else that STATE."""
    return common.pool_xml(oned, "VM_POOL", _selected(oned, user, flag, start, end, state, search), vmxml.reduced)


@method("vmpool.infoextended", opt(INT, -2), opt(INT, -1), opt(INT, -1), opt(INT, -1), opt(STR, ""))
def pool_extended(oned: Oned, user: User, flag: int, start: int, end: int, state: int, search: str) -> str:
    """VM_POOL with full bodies, of the history only the latest record."""
    return common.pool_xml(oned, "VM_POOL", _selected(oned, user, flag, start, end, state, search), vmxml.full)


@method("vmpool.infoset", STR, opt(BOOL, False))
def infoset(oned: Oned, user: User, text: str, extended: bool) -> str:
    """VM_POOL of the ids in "1,2,3", newest first; those that do not exist are left out."""
    ids = sorted({int(part) for part in text.split(",") if part.strip().isdigit()}, reverse=True)
    records = [vm for vm in (oned.find("vm", oid) for oid in ids) if vm is not None and allowed(user, vm, USE)]
    return common.pool_xml(oned, "VM_POOL", records, vmxml.full if extended else vmxml.reduced)


@method("vm.update", INT, STR, opt(INT, 0))
def update(oned: Oned, user: User, oid: int, text: str, how: int) -> int:
    """Change USER_TEMPLATE, in any state."""
    vm = oned.access(user, "vm", oid, MANAGE)
    if how not in (0, 1):
        raise OnedError(errors.XML_RPC_API, "Wrong update type")
    new = common.parse(text, "Cannot update template. ")
    new.pop("NAME", None)
    vm.data["user_template"] = new if how == 0 else tpl.merge(vm.data["user_template"], new)
    oned.touch(vm)
    return oid


@method("vm.updateconf", INT, STR, opt(INT, 0))
def updateconf(oned: Oned, user: User, oid: int, text: str, append: int) -> int:
    """Replace (0) or add to (1) CONTEXT, OS, GRAPHICS …; other names are ignored."""
    if append not in (0, 1):
        raise OnedError(errors.XML_RPC_API, "Wrong update type")
    new = common.parse(text)
    vm = oned.access(user, "vm", oid, MANAGE)
    state, lcm = vm.data["state"], vm.data["lcm"]
    if state not in _UPDATABLE and not (state == st.ACTIVE and lcm in _UPDATABLE_LCM):
        raise OnedError(errors.INTERNAL, f"configuration cannot be updated in state {st.name_of(vm)}")
    for name in _CONFIGURABLE:
        if isinstance(new.get(name), dict):
            old = vm.template.get(name)
            vm.template[name] = {**old, **new[name]} if append and isinstance(old, dict) else new[name]
    before = vm.template.get("CONTEXT")
    if isinstance(new.get("CONTEXT"), dict):
        context.update(oned, vm, new["CONTEXT"], bool(append))
    if st.is_running(vm) and vm.template.get("CONTEXT") != before:
        # A running VM is told of its new context.
        vm_devices.transit(oned, vm, st.HOTPLUG)
    oned.touch(vm)
    return oid
