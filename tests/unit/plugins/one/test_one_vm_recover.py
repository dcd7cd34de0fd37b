# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that failed, hang or are locked: recovering, ending, waiting for them."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from typing import Any
from unittest import mock

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data import states
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm.vm import represent


@pytest.fixture
def failed(cloud, name, vm_template) -> Iterator[dict[str, Any]]:
    """A VM in BOOT_FAILURE, whose next boot works."""
    cloud.driver.fail_deploy[name] = "no such kernel"
    result = cloud.run("one_vm", name=name, template=vm_template)
    assert "no such kernel" in result["msg"]
    cloud.driver.fail_deploy.clear()
    found = cloud.run("one_vm_info", name=name)["vms"]
    assert found[0]["state"] == "BOOT_FAILURE"
    yield found[0]
    cloud.run("one_vm", id=found[0]["id"], state="absent", hard=True)


@pytest.fixture
def hanging(cloud, name, vm_template) -> Iterator[tuple[int, threading.Event]]:
    """The id of a VM whose boot neither works nor fails, and what lets it go on."""
    go = threading.Event()
    with mock.patch.object(cloud.driver, "deploy", side_effect=lambda vm: go.wait(60) and f"{vm.name}:late"):
        made = cloud.run("one_vm", name=name, template=vm_template, wait=False)["vm"]["id"]
        deadline = time.monotonic() + 10
        while cloud.run("one_vm_info", ids=[made])["vms"][0]["state"] != "BOOT":
            assert time.monotonic() < deadline
        yield made, go
        go.set()


@pytest.mark.parametrize("how", ["retry", "delete-recreate", "success"])
def test_a_failed_vm_is_recovered(cloud, failed, how) -> None:
    result = cloud.converge("one_vm", id=failed["id"], state="recovered", recover=how)
    assert result["vm"]["state"] == "RUNNING" and result["steps"] == [f"recover VM {failed['name']} ({how})"]
    assert result["diff"]["after"][failed["name"]]["state"] == "RUNNING"


def test_a_recovery_that_fails_again_says_so_at_once(cloud, failed) -> None:
    cloud.driver.fail_deploy[failed["name"]] = "still no kernel"
    start = time.monotonic()
    result = cloud.run("one_vm", id=failed["id"], state="recovered", wait_timeout=60)
    cloud.driver.fail_deploy.clear()
    assert not result.ok and "still no kernel" in result["msg"] and time.monotonic() - start < 20


def test_recovery_leaves_healthy_vms_alone(cloud, name, vm_template) -> None:
    made = cloud.run("one_vm", name=name, template=vm_template)["vm"]
    assert not cloud.run("one_vm", id=made["id"], state="recovered")["changed"] and cloud.calls.total == 1
    assert not cloud.run("one_vm", id=made["id"], state="recovered", recover="failure", hard=True)["changed"]
    missing = cloud.run("one_vm", name=f"{name}-x", state="recovered")
    assert "may not see it; there is nothing to recover" in missing["msg"]


def test_giving_up_a_boot_that_hangs_needs_hard(cloud, hanging) -> None:
    vm_id, go = hanging
    assert not cloud.run("one_vm", id=vm_id, state="recovered", recover="failure")["changed"]
    result = cloud.run("one_vm", id=vm_id, state="recovered", recover="failure", hard=True)
    assert result.ok and result["changed"] and result["vm"]["state"] == "BOOT_FAILURE", result
    assert not cloud.run("one_vm", id=vm_id, state="recovered", recover="failure", hard=True)["changed"]
    go.set()
    assert cloud.run("one_vm", id=vm_id, state="absent").ok


def test_a_vm_that_hangs_is_ended_with_hard(cloud, hanging) -> None:
    vm_id, _go = hanging
    soft = cloud.run("one_vm", id=vm_id, state="absent", wait_timeout=1)
    assert not soft.ok and "is BOOT" in soft["msg"]
    assert cloud.run("one_vm", id=vm_id, state="absent", hard=True, wait_timeout=1, check=True)["changed"]
    result = cloud.run("one_vm", id=vm_id, state="absent", hard=True, wait=False)
    assert result.ok and result["changed"], result


@pytest.mark.parametrize("hard", [False, True])
def test_absent_gets_rid_of_a_failed_vm(cloud, failed, hard) -> None:
    gone = cloud.converge("one_vm", id=failed["id"], state="absent", hard=hard)
    assert gone["changed"]
    assert [one["state"] for one in cloud.run("one_vm_info", ids=[failed["id"]])["vms"]] == ["DONE"]


def test_a_vm_that_waits_for_an_image_that_never_comes(cloud, name, vm_template) -> None:
    cloud.driver.imports_go.clear()
    cloud.driver.fail_image["/broken"] = "not a disk"
    image = cloud.admin.call("one.image.allocate", f'NAME="{name}"\nTYPE="OS"\nPATH="/broken"', 1)
    made = cloud.run("one_vm", name=name, template=vm_template, disks=[{"IMAGE_ID": image}], wait=False)
    cloud.driver.imports_go.set()
    result = cloud.run("one_vm", id=made["vm"]["id"], wait_timeout=30)
    cloud.driver.fail_image.clear()
    assert not result.ok and "CLONING_FAILURE" in result["msg"], result
    assert cloud.run("one_vm", name=name, state="absent").ok


def test_users_without_administration_rights_are_told(cloud, name, failed) -> None:
    alice = cloud.user("alice")
    assert cloud.run("one_vm", id=failed["id"], owner="alice", group="users", state="present").ok
    refused = cloud.run("one_vm", api=alice, id=failed["id"], state="recovered")
    assert "ADMIN" in refused["msg"] and "ask its owner or an administrator" in refused["msg"]
    assert cloud.run("one_vm", api=alice, id=failed["id"], state="absent").ok


def test_lock(cloud, name, vm_template) -> None:
    made = cloud.converge("one_vm", name=name, template=vm_template, lock="manage")["vm"]
    assert made["lock"] == "manage"
    changed = cloud.converge("one_vm", id=made["id"], lock="manage", attributes={"A": "1"})
    assert [step.split()[0] for step in changed["steps"]] == ["unlock", "update", "lock"]
    alice = cloud.user("alice")
    assert cloud.run("one_vm", id=made["id"], owner="alice", lock="use").ok
    refused = cloud.run("one_vm", api=alice, id=made["id"], attributes={"A": "2"})
    assert "it is locked (level use); lock: none unlocks it first, if this user may manage it" in refused["msg"]
    for state in ("poweroff", "absent"):
        refused = cloud.run("one_vm", api=alice, id=made["id"], state=state)
        assert "it is locked (level use)" in refused["msg"], refused
    free = cloud.converge("one_vm", id=made["id"], lock="none", attributes={"A": "2"})
    assert free["steps"][0].startswith("unlock") and free["vm"]["lock"] == "none"
    assert cloud.run("one_vm", id=made["id"], lock="all")["vm"]["lock"] == "use"
    assert not cloud.run("one_vm", id=made["id"], lock="all")["changed"]
    assert cloud.converge("one_vm", id=made["id"], lock="none", state="absent")["changed"]


# The numbers of VirtualMachine.h of OpenNebula 7.4.
NUMBERS = {
    "LCM_INIT": 0, "PROLOG": 1, "BOOT": 2, "RUNNING": 3, "CLEANUP_RESUBMIT": 15, "UNKNOWN": 16, "HOTPLUG": 17,
    "HOTPLUG_NIC": 25, "SHUTDOWN_UNDEPLOY": 29, "BOOT_UNDEPLOY": 32, "HOTPLUG_PROLOG_POWEROFF": 33, "BOOT_FAILURE": 36,
    "PROLOG_FAILURE": 39, "EPILOG_UNDEPLOY_FAILURE": 42, "PROLOG_MIGRATE_SUSPEND_FAILURE": 46,
    "PROLOG_UNDEPLOY_FAILURE": 50, "DISK_SNAPSHOT": 57, "DISK_SNAPSHOT_DELETE": 59,
    "PROLOG_MIGRATE_UNKNOWN_FAILURE": 61, "DISK_RESIZE_UNDEPLOYED": 64, "HOTPLUG_RESIZE": 66,
    "HOTPLUG_SAVEAS_STOPPED": 68, "BACKUP": 69, "BACKUP_POWEROFF": 70, "RESTORE": 71,
}  # fmt: skip


def test_d23_the_table_of_states_is_complete() -> None:
    assert {name: states.LCM_STATES.index(name) for name in NUMBERS} == NUMBERS
    assert len(states.LCM_STATES) == 72 and len(states.VM_STATES) == 12
    assert states.vm_state_name("3", "72") == "LCM_UNKNOWN(72)" and states.vm_state_name("12", "0") == "UNKNOWN(12)"
    assert states.vm_destination("RESTORE") == states.vm_destination("DISK_RESIZE_POWEROFF") == "POWEROFF"
    assert states.vm_destination("PROLOG_MIGRATE_SUSPEND") == "SUSPENDED"
    assert states.vm_destination("LCM_UNKNOWN(72)") == "LCM_UNKNOWN(72)"


@pytest.mark.parametrize("body", [{}, {"ID": "0", "STATE": "99", "TEMPLATE": "", "USER_TEMPLATE": ""}])
def test_a_vm_of_which_little_is_known_is_no_reason_to_crash(body) -> None:
    state = represent(body)
    assert state["state"].startswith("UNKNOWN(") and state["nics"] == [] and state["ip"] == ""
    assert state["vcpu"] == 1 and state["context"] == {} and state["labels"] == []


def test_12361_8489_vms_without_nic_address_and_context(cloud, name) -> None:
    assert cloud.run("one_template", name=name, template={"CPU": 0.1, "MEMORY": 16}).ok
    made = cloud.converge("one_vm", name=name, template=name)["vm"]
    assert made["nics"] == [] and made["ip"] == "" and made["context"] == {} and made["vcpu"] == 1
    refused = cloud.run("one_vm", name=name, context={"A": "b"})
    assert "does not have context" in refused["msg"]
    nic = {"NIC_ID": "0", "NETWORK": "n", "NETWORK_ID": "0", "MAC": "02:00"}
    assert represent({"ID": "1", "STATE": "3", "LCM_STATE": "3", "TEMPLATE": {"NIC": nic}})["ip"] == ""
    assert cloud.converge("one_vm", name=name, state="absent")["changed"]


def test_an_unknown_state_is_left_to_the_cloud(cloud, name, vm_template) -> None:
    made = cloud.run("one_vm", name=name, template=vm_template)["vm"]
    record = cloud.sandbox.oned.pools["vm"][made["id"]]
    with cloud.sandbox.oned.transaction():
        record.data["lcm"] = 99
        cloud.sandbox.oned.touch(record)
    assert cloud.run("one_vm", id=made["id"], state="present")["vm"]["state"] == "LCM_UNKNOWN(99)"
    stuck = cloud.run("one_vm", id=made["id"], state="poweroff", wait_timeout=1)
    assert "is LCM_UNKNOWN(99) and cannot be brought to poweroff" in stuck["msg"]
    assert "wrong state 99" in cloud.run("one_vm", id=made["id"], state="absent", wait_timeout=1)["msg"]
    assert cloud.run("one_vm", id=made["id"], state="recovered", recover="delete-recreate", hard=True).ok
