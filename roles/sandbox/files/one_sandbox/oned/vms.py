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

# Names that updateconf knows in a section that a VM has; others it ignores.
_CONFIGURABLE = {
    "OS": "ARCH MACHINE KERNEL INITRD BOOTLOADER BOOT KERNEL_CMD ROOT SD_DISK_BUS UUID FIRMWARE FIRMWARE_FORMAT",
    "FEATURES": (
        "PAE ACPI APIC LOCALTIME HYPERV GUEST_AGENT VIRTIO_SCSI_QUEUES VIRTIO_BLK_QUEUES IOTHREADS GIC RAS "
        "MIGRATE_AUTO_CONVERGE MIGRATE_COMPRESSED"
    ),
    "INPUT": "TYPE BUS",
    "GRAPHICS": "TYPE LISTEN PASSWD KEYMAP COMMAND",
    "VIDEO": "IOMMU ATS TYPE VRAM RESOLUTION",
    "RAW": "TYPE DATA VALIDATE DATA_VMX",
    "CPU_MODEL": "MODEL FEATURES",
}
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


def _configure(vm: Record, new: tpl.Template, append: bool) -> None:
    """Change all sections but CONTEXT. Replacing drops those that are not given, except for BACKUP_CONFIG."""
    for name, keys in _CONFIGURABLE.items():
        given, old = tpl.sections(new, name), tpl.sections(vm.template, name)
        if not given:
            if not append:
                vm.template.pop(name, None)
        elif not old:
            vm.template[name] = given[0]
        else:
            known = set(keys.split())
            kept = {key: value for key, value in old[0].items() if append or key not in known}
            first = {**kept, **{key: value for key, value in given[0].items() if key in known}}
            tpl.set_sections(vm.template, name, [first, *old[1:]])
    backups, old_backups = new.get("BACKUP_CONFIG"), vm.template.get("BACKUP_CONFIG")
    if isinstance(backups, dict):
        kept = old_backups if append and isinstance(old_backups, dict) else {}
        vm.template["BACKUP_CONFIG"] = {**kept, **backups}


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
    _configure(vm, new, bool(append))
    before = vm.template.get("CONTEXT")
    if isinstance(new.get("CONTEXT"), dict):
        context.update(oned, vm, new["CONTEXT"], bool(append))
    if st.is_running(vm) and vm.template.get("CONTEXT") != before:
        # A running VM is told of its new context.
        vm_devices.transit(oned, vm, st.HOTPLUG)
    oned.touch(vm)
    return oid
