# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of the states of OpenNebula 6.10 to 7.4, and which of them are failures.

Numbers that a newer cloud may add print as UNKNOWN(n) instead of breaking anything.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

IMAGE_STATES = (
    "INIT", "READY", "USED", "DISABLED", "LOCKED", "ERROR", "CLONE", "DELETE", "USED_PERS", "LOCKED_USED",
    "LOCKED_USED_PERS",
)  # fmt: skip
IMAGE_TYPES = ("OS", "CDROM", "DATABLOCK", "KERNEL", "RAMDISK", "CONTEXT", "BACKUP", "FILESYSTEM")
IMAGE_USABLE = frozenset({"READY", "USED", "USED_PERS", "DISABLED"})
# CLONE: a persistent image that is being copied; no VM may use it until that ends.
IMAGE_BUSY = frozenset({"INIT", "LOCKED", "LOCKED_USED", "LOCKED_USED_PERS", "CLONE"})

# Number 7 was FAILED until OpenNebula 5.
VM_STATES = (
    "INIT", "PENDING", "HOLD", "ACTIVE", "STOPPED", "SUSPENDED", "DONE", "FAILED", "POWEROFF", "UNDEPLOYED", "CLONING",
    "CLONING_FAILURE",
)  # fmt: skip

# Numbers 13, 14, 55 and 58 are no longer used by oned; old clients still name them. 71 is the last one of 7.4.
LCM_STATES = (
    "LCM_INIT", "PROLOG", "BOOT", "RUNNING", "MIGRATE", "SAVE_STOP", "SAVE_SUSPEND", "SAVE_MIGRATE", "PROLOG_MIGRATE",
    "PROLOG_RESUME", "EPILOG_STOP", "EPILOG", "SHUTDOWN", "CANCEL", "FAILURE", "CLEANUP_RESUBMIT", "UNKNOWN", "HOTPLUG",
    "SHUTDOWN_POWEROFF", "BOOT_UNKNOWN", "BOOT_POWEROFF", "BOOT_SUSPENDED", "BOOT_STOPPED", "CLEANUP_DELETE",
    "HOTPLUG_SNAPSHOT", "HOTPLUG_NIC", "HOTPLUG_SAVEAS", "HOTPLUG_SAVEAS_POWEROFF", "HOTPLUG_SAVEAS_SUSPENDED",
    "SHUTDOWN_UNDEPLOY", "EPILOG_UNDEPLOY", "PROLOG_UNDEPLOY", "BOOT_UNDEPLOY", "HOTPLUG_PROLOG_POWEROFF",
    "HOTPLUG_EPILOG_POWEROFF", "BOOT_MIGRATE", "BOOT_FAILURE", "BOOT_MIGRATE_FAILURE", "PROLOG_MIGRATE_FAILURE",
    "PROLOG_FAILURE", "EPILOG_FAILURE", "EPILOG_STOP_FAILURE", "EPILOG_UNDEPLOY_FAILURE", "PROLOG_MIGRATE_POWEROFF",
    "PROLOG_MIGRATE_POWEROFF_FAILURE", "PROLOG_MIGRATE_SUSPEND", "PROLOG_MIGRATE_SUSPEND_FAILURE",
    "BOOT_UNDEPLOY_FAILURE", "BOOT_STOPPED_FAILURE", "PROLOG_RESUME_FAILURE", "PROLOG_UNDEPLOY_FAILURE",
    "DISK_SNAPSHOT_POWEROFF", "DISK_SNAPSHOT_REVERT_POWEROFF", "DISK_SNAPSHOT_DELETE_POWEROFF",
    "DISK_SNAPSHOT_SUSPENDED", "DISK_SNAPSHOT_REVERT_SUSPENDED", "DISK_SNAPSHOT_DELETE_SUSPENDED", "DISK_SNAPSHOT",
    "DISK_SNAPSHOT_REVERT", "DISK_SNAPSHOT_DELETE", "PROLOG_MIGRATE_UNKNOWN", "PROLOG_MIGRATE_UNKNOWN_FAILURE",
    "DISK_RESIZE", "DISK_RESIZE_POWEROFF", "DISK_RESIZE_UNDEPLOYED", "HOTPLUG_NIC_POWEROFF", "HOTPLUG_RESIZE",
    "HOTPLUG_SAVEAS_UNDEPLOYED", "HOTPLUG_SAVEAS_STOPPED", "BACKUP", "BACKUP_POWEROFF", "RESTORE",
)  # fmt: skip
LCM_FAILURES = frozenset({name for name in LCM_STATES if name.endswith("FAILURE")})

HOST_STATES = (
    "INIT", "MONITORING_MONITORED", "MONITORED", "ERROR", "DISABLED", "MONITORING_ERROR", "MONITORING_INIT",
    "MONITORING_DISABLED", "OFFLINE",
)  # fmt: skip
VNET_STATES = ("INIT", "READY", "LOCK_CREATE", "LOCK_DELETE", "DONE", "ERROR", "UPDATE_FAILURE")

SERVICE_STATES = (
    "PENDING", "DEPLOYING", "RUNNING", "UNDEPLOYING", "WARNING", "DONE", "FAILED_UNDEPLOYING", "FAILED_DEPLOYING",
    "SCALING", "FAILED_SCALING", "COOLDOWN", "DEPLOYING_NETS", "UNDEPLOYING_NETS", "FAILED_DEPLOYING_NETS",
    "FAILED_UNDEPLOYING_NETS", "HOLD",
)  # fmt: skip
SERVICE_FAILURES = frozenset({name for name in SERVICE_STATES if name.startswith("FAILED_")})

# Names of a VM's state as one word: the LCM state while ACTIVE, the state otherwise.
VM_STABLE = frozenset(
    {
        "HOLD",
        "PENDING",
        "STOPPED",
        "SUSPENDED",
        "DONE",
        "FAILED",
        "POWEROFF",
        "UNDEPLOYED",
        "CLONING_FAILURE",
        "RUNNING",
        "UNKNOWN",
    }
    | LCM_FAILURES
)
VM_FAILURES = LCM_FAILURES | {"CLONING_FAILURE", "FAILED"}
# On its way out and past the point where a guest could refuse to shut down.
VM_LEAVING = frozenset({"EPILOG", "CLEANUP_DELETE"})


def state_name(table: Sequence[str], number: Any) -> str:
    """Return the name of a state number from one of the tables above, or UNKNOWN(n)."""
    try:
        index = int(number)
    except (TypeError, ValueError):
        return f"UNKNOWN({number})"
    return table[index] if 0 <= index < len(table) else f"UNKNOWN({index})"


def vm_state_name(state: Any, lcm_state: Any) -> str:
    """Return one word for a VM's state and LCM state; an unknown LCM state of an active VM is named as LCM."""
    name = state_name(VM_STATES, state)
    if name != "ACTIVE":
        return name
    lcm = state_name(LCM_STATES, lcm_state)
    return f"LCM_{lcm}" if lcm.startswith("UNKNOWN(") else lcm


def is_unknown(state: str) -> bool:
    """Tell whether a VM is in a state that this collection has no name for, see state_name."""
    return state.startswith(("UNKNOWN(", "LCM_UNKNOWN("))


def vm_destination(state: str) -> str:
    """Return the stable state a VM in this (one-word) state is on its way to; stable states lead to themselves."""
    if (state in VM_STABLE and state != "PENDING") or is_unknown(state):
        return state
    if state == "RESTORE":
        # Disks are restored from a backup while the VM is powered off.
        return "POWEROFF"
    if state in ("SHUTDOWN", "EPILOG", "CLEANUP_DELETE"):
        return "DONE"
    # BOOT_POWEROFF and its like name where a VM comes from, all others where it goes.
    if not state.startswith("BOOT_") and state != "PROLOG_UNDEPLOY":
        for ending, goal in _GOALS:
            if state.endswith(ending):
                return goal
    return "RUNNING"


_GOALS = (
    ("_POWEROFF", "POWEROFF"),
    ("_SUSPEND", "SUSPENDED"),
    ("_SUSPENDED", "SUSPENDED"),
    ("_STOP", "STOPPED"),
    ("_STOPPED", "STOPPED"),
    ("_UNDEPLOY", "UNDEPLOYED"),
    ("_UNDEPLOYED", "UNDEPLOYED"),
)


def service_state(number: Any) -> str:
    """Return the name of the state of a OneFlow service (roles use the same numbers)."""
    return state_name(SERVICE_STATES, number)


def vm_failure(state: str, user_template: Mapping[str, Any]) -> str | None:
    """Return why a VM in this (one-word) state failed: the state and what oned wrote into ERROR; None if it did not."""
    if state not in VM_FAILURES:
        return None
    words = user_template.get("ERROR")
    return f"{state}, {words}" if isinstance(words, str) and words else state
