# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""States of services, roles and VMs, and the sets of them that decide what is allowed."""

from __future__ import annotations

SERVICE_STATES = (
    "PENDING", "DEPLOYING", "RUNNING", "UNDEPLOYING", "WARNING", "DONE", "FAILED_UNDEPLOYING", "FAILED_DEPLOYING",
    "SCALING", "FAILED_SCALING", "COOLDOWN", "DEPLOYING_NETS", "UNDEPLOYING_NETS", "FAILED_DEPLOYING_NETS",
    "FAILED_UNDEPLOYING_NETS", "HOLD",
)  # fmt: skip
SERVICE = {name: number for number, name in enumerate(SERVICE_STATES)}

# Roles share the numbers of services up to COOLDOWN; their HOLD is 11.
ROLE_STATES = (*SERVICE_STATES[:11], "HOLD")
ROLE = {name: number for number, name in enumerate(ROLE_STATES)}

TRANSIENT = {"DEPLOYING", "UNDEPLOYING", "SCALING", "COOLDOWN", "DEPLOYING_NETS", "UNDEPLOYING_NETS"}
FAILED = {
    "FAILED_DEPLOYING", "FAILED_UNDEPLOYING", "FAILED_SCALING", "FAILED_DEPLOYING_NETS", "FAILED_UNDEPLOYING_NETS",
}  # fmt: skip
RECOVER_DEPLOY = {"FAILED_DEPLOYING", "DEPLOYING", "PENDING"}
RECOVER_UNDEPLOY = {"FAILED_UNDEPLOYING", "UNDEPLOYING", "FAILED_UNDEPLOYING_NETS"}
RECOVER_SCALE = {"FAILED_SCALING", "SCALING"}
RECOVER_DEPLOY_NETS = {"DEPLOYING_NETS", "FAILED_DEPLOYING_NETS"}
RECOVER_UNDEPLOY_NETS = {"UNDEPLOYING_NETS", "FAILED_UNDEPLOYING_NETS"}

SCHEDULE_ACTIONS = {
    "terminate", "terminate-hard", "undeploy", "undeploy-hard", "hold", "release", "stop", "suspend", "resume",
    "reboot", "reboot-hard", "poweroff", "poweroff-hard", "snapshot-create", "snapshot-revert", "snapshot-delete",
    "disk-snapshot-create", "disk-snapshot-revert", "disk-snapshot-delete",
}  # fmt: skip

VM_HOLD, VM_ACTIVE, VM_DONE = 2, 3, 6
LCM_RUNNING, LCM_UNKNOWN = 3, 16
# STOPPED, SUSPENDED, POWEROFF, UNDEPLOYED: a wait for RUNNING ends there too; the watchdog then warns.
VM_PARKED = {4, 5, 8, 9}
VM_POWEROFF = 8
# BOOT_FAILURE, BOOT_MIGRATE_FAILURE, PROLOG_MIGRATE_FAILURE, PROLOG_FAILURE, EPILOG_FAILURE, EPILOG_STOP_FAILURE,
# EPILOG_UNDEPLOY_FAILURE, PROLOG_MIGRATE_{POWEROFF,SUSPEND}_FAILURE, BOOT_{UNDEPLOY,STOPPED}_FAILURE,
# PROLOG_RESUME_FAILURE, PROLOG_UNDEPLOY_FAILURE, PROLOG_MIGRATE_UNKNOWN_FAILURE
LCM_FAILURES = {36, 37, 38, 39, 40, 41, 42, 44, 45, 46, 47, 48, 49, 61}


def vm_failed(state: int, lcm_state: int) -> bool:
    """Is an ACTIVE VM in one of the *_FAILURE states?"""
    return state == VM_ACTIVE and lcm_state in LCM_FAILURES
