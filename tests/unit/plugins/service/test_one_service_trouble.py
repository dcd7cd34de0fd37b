# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module one_service on the sandbox cloud: what goes wrong, recovery, and removal from any state."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.vms import read_vms
from flow_cloud import Cloud

MODULE = "one_service"


@pytest.fixture(autouse=True)
def no_faults_left(cloud: Cloud) -> Iterator[None]:
    yield
    cloud.sandbox.drivers["dummy"].fail_deploy.clear()


def break_deploys(cloud: Cloud, text: str = "qemu said no") -> None:
    cloud.sandbox.drivers["dummy"].fail_deploy["*"] = text


def vm_states(cloud: Cloud, ids: list[int]) -> set[str]:
    return {vm["state"] for vm in read_vms(cloud.connection, ids)}


def test_a_failed_vm_ends_the_wait_with_its_own_words(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    break_deploys(cloud)
    for wait_for in ("vms", "running"):
        start = time.monotonic()
        text = cloud.fails(MODULE, name=name, template=name, wait_for=wait_for, wait_timeout=60)
        assert time.monotonic() - start < 20
        assert "qemu said no" in text and "VM " in text
        assert "use state recovered to try again or state absent" in text
    cloud.in_state(name, "FAILED_DEPLOYING")
    cloud.sandbox.calls.reset()
    text = cloud.fails(MODULE, name=name, template=name, roles=[{"name": "supernode", "cardinality": 3}])
    assert "the service is FAILED_DEPLOYING" in text and "use state recovered" in text
    assert cloud.sandbox.calls.writes == 0


def test_recover_after_the_cause_is_gone(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    break_deploys(cloud)
    cloud.fails(MODULE, name=name, template=name, wait_for="running", wait_timeout=60)
    cloud.in_state(name, "FAILED_DEPLOYING")
    cloud.sandbox.drivers["dummy"].fail_deploy.clear()
    predicted, writes = cloud.writes(MODULE, check=True, name=name, state="recovered")
    assert predicted["changed"] and writes == 0
    result = cloud.ok(MODULE, name=name, state="recovered")
    assert result["changed"] and result["service"]["state"] == "RUNNING"
    assert result["steps"] == [f"recover service {name} (id {result['service']['id']}) from FAILED_DEPLOYING"]
    again, writes = cloud.writes(MODULE, name=name, state="recovered")
    assert not again["changed"] and writes == 0


def test_recovery_that_fails_again_says_so(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False, nodes=1)
    break_deploys(cloud)
    cloud.fails(MODULE, name=name, template=name, wait_timeout=60)
    cloud.in_state(name, "FAILED_DEPLOYING")
    break_deploys(cloud, "still broken")
    assert "still broken" in cloud.fails(MODULE, name=name, state="recovered", wait_timeout=60)


def test_no_room_is_told_when_time_is_up(cloud: Cloud) -> None:
    name = cloud.name()
    cloud.vm_template(f"{name}-vm", MEMORY="99999999")
    role = {"name": "big", "template": f"{name}-vm", "cardinality": 1}
    cloud.ok("one_service_template", name=name, template={"roles": [role]})
    for wait_for in ("vms", "running"):
        text = cloud.fails(MODULE, name=name, template=name, wait_for=wait_for, wait_timeout=2)
        assert "is PENDING (no capacity: " in text, text
    assert cloud.ok(MODULE, name=name, state="absent")["changed"]


def test_the_gate_is_named_when_time_is_up(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=True)
    text = cloud.fails(MODULE, name=name, template=name, wait_timeout=1)
    assert "the service is DEPLOYING" in text and "has not said READY=YES" in text
    text = cloud.fails(MODULE, name=name, wait_for="vms", wait_timeout=1)
    assert "role supernode: 0 of 2 VMs are up" in text


def test_a_vm_that_says_that_it_is_hopeless_ends_the_wait_at_once(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=True)
    cloud.ok(MODULE, name=name, template=name, wait_for="vms", wait_roles=["superlink"])
    [superlink] = cloud.service(name)["roles"]["superlink"]["vms"]
    cloud.update_vm(superlink, STAGE="2", FL_ERROR="broken")
    for hopeless in ({"FL_ERROR": "other"}, {"STAGE": ["1"], "OTHER": "broken"}):
        assert "READY=YES" in cloud.fails(MODULE, name=name, wait_hopeless=hopeless, wait_timeout=1)
    for hopeless in ({"FL_ERROR": "broken"}, {"STAGE": [1, 2]}):
        start = time.monotonic()
        text = cloud.fails(MODULE, name=name, wait_hopeless=hopeless, wait_timeout=60)
        assert time.monotonic() - start < 20
        assert f"VM {superlink} (superlink_0_" in text and f"has {next(iter(hopeless))}=" in text


@pytest.mark.parametrize("kind", ["running", "deploying", "failed", "warning", "undeploying"])
def test_removal_from_any_state(cloud: Cloud, kind: str) -> None:
    name = cloud.federation(cloud.name(), gate=kind == "deploying")
    if kind == "failed":
        break_deploys(cloud)
        cloud.run(MODULE, name=name, template=name, wait_timeout=60)
        cloud.in_state(name, "FAILED_DEPLOYING")
        cloud.sandbox.drivers["dummy"].fail_deploy.clear()
    elif kind == "deploying":
        cloud.ok(MODULE, name=name, template=name, wait_for="vms", wait_roles=["superlink"])
    else:
        cloud.ok(MODULE, name=name, template=name)
    service = cloud.service(name)
    ids = [vm["id"] for vm in service["vms"]]
    assert ids
    if kind == "warning":
        cloud.connection.call("one.vm.action", "poweroff", ids[-1])
        cloud.in_state(name, "WARNING")
    if kind == "undeploying":
        cloud.flow.delete_service(service["id"])
    else:
        predicted, writes = cloud.writes(MODULE, check=True, name=name, state="absent")
        assert predicted["changed"] and writes == 0
    result = cloud.ok(MODULE, name=name, state="absent")
    assert result["changed"] is (kind != "undeploying")
    assert result["service"] == {} and result["hosts"] == []
    assert cloud.ok("one_service_info", name=name)["services"] == []
    assert vm_states(cloud, ids) <= {"DONE"}
    again, writes = cloud.writes(MODULE, name=name, state="absent")
    assert not again["changed"] and writes == 0


def test_a_name_is_used_again_while_its_old_service_goes(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False, nodes=1)
    old = cloud.ok(MODULE, name=name, template=name)["service"]
    cloud.flow.delete_service(old["id"])
    result = cloud.ok(MODULE, name=name, template=name)
    assert result["changed"] and result["service"]["id"] != old["id"]
    assert vm_states(cloud, [vm["id"] for vm in old["vms"]]) <= {"DONE"}


def test_a_lost_vm_is_replaced(cloud: Cloud) -> None:
    """OneFlow lowers the cardinality when a VM is terminated behind its back; the asked number brings it back."""
    name = cloud.federation(cloud.name(), gate=False)
    roles = [{"name": "supernode", "cardinality": 2}]
    service = cloud.ok(MODULE, name=name, template=name, roles=roles)["service"]
    cloud.connection.call("one.vm.action", "terminate-hard", service["roles"]["supernode"]["vms"][0])
    cloud.wait(lambda: cloud.service(name)["roles"]["supernode"]["cardinality"] == 1, "the smaller cardinality")
    cloud.in_state(name, "RUNNING")
    result = cloud.ok(MODULE, name=name, roles=roles)
    assert result["changed"] and len(result["hosts"]) == 3


def test_without_waiting_removal_returns_at_once(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False, nodes=1)
    cloud.ok(MODULE, name=name, template=name)
    assert cloud.ok(MODULE, name=name, state="absent", wait=False)["changed"]
    cloud.wait(lambda: not cloud.ok("one_service_info", name=name)["services"], "the end of the service")


def test_a_role_of_the_second_wave_that_fails_ends_the_wait_at_once(cloud: Cloud) -> None:
    """OneFlow leaves the service DEPLOYING for ever then; only the role is FAILED_DEPLOYING."""
    name = cloud.name()
    good = cloud.vm_template(f"{name}-vm")
    bad = cloud.vm_template(f"{name}-bad", DISK=[{"IMAGE_ID": "77777"}])
    roles = [
        {"name": "first", "template_id": good, "cardinality": 1},
        {"name": "second", "template_id": bad, "cardinality": 1, "parents": ["first"]},
    ]
    cloud.ok("one_service_template", name=name, template={"deployment": "straight", "roles": roles})
    text = cloud.fails(MODULE, name=name, template=name)
    assert "the service is DEPLOYING with role second FAILED_DEPLOYING" in text
    assert "Image with ID: 77777 does not exist" in text
    assert "use state recovered" in cloud.fails(MODULE, name=name, description="x")
    again = cloud.fails(MODULE, name=name, state="recovered")
    assert "DEPLOYING with role second FAILED_DEPLOYING" in again and "already done: recover" in again
    cloud.connection.call("one.template.update", bad, "CPU=0.1\nMEMORY=64\nNIC=[NETWORK=private]", 0)
    recovered = cloud.converge(MODULE, name=name, state="recovered")
    assert recovered["service"]["state"] == "RUNNING" and len(recovered["hosts"]) == 2
    assert recovered["diff"]["before"]["state"] == "DEPLOYING with role second FAILED_DEPLOYING"
    assert recovered["diff"]["after"]["state"] == "DEPLOYING"


def test_a_service_with_a_failed_role_can_be_removed(cloud: Cloud) -> None:
    name = cloud.name()
    good = cloud.vm_template(f"{name}-vm")
    roles = [
        {"name": "first", "template_id": good, "cardinality": 1},
        {"name": "second", "template_id": 77777, "cardinality": 1, "parents": ["first"]},
    ]
    cloud.ok("one_service_template", name=name, template={"deployment": "straight", "roles": roles})
    cloud.fails(MODULE, name=name, template=name)
    assert cloud.converge(MODULE, name=name, state="absent")["changed"]
    assert cloud.vms_of_services(name) == []
