# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_vm against a sandbox cloud: one VM and exact numbers, states, context, waiting, and known defects."""

from __future__ import annotations

import time
from typing import Any

import pytest


def vm(result: dict[str, Any]) -> dict[str, Any]:
    assert result.ok, result
    return result["vm"]


def test_create_keeps_the_context_of_the_template(cloud, name, vm_template) -> None:
    result = cloud.converge(
        "one_vm",
        name=name,
        template=vm_template,
        context={"GREETING": "hello"},
        attributes={"ROLE": "web"},
        labels=["x"],
        memory=128,
        permissions="640",
        mark="fed",
    )
    made = vm(result)
    assert made["state"] == "RUNNING" and made["ip"] and made["nics"][0]["network"] == "private"
    context = made["context"]
    assert (context["GREETING"], context["TOKEN"], context["NETWORK"], context["FOO"]) == ("hello", "YES", "YES", "a b")
    assert context["START_SCRIPT"] == 'echo "hi"'
    assert made["attributes"]["ROLE"] == "web" and made["attributes"]["FLOWER_FEDERATION"] == "fed"
    assert made["attributes"]["STAGE"] == "test" and made["labels"] == ["x"]
    assert made["memory"] == 128 and made["permissions"] == "640" and result["vms"] == [made]


def test_a_template_without_vcpu_is_no_problem(cloud, name, vm_template) -> None:
    assert vm(cloud.run("one_vm", name=name, template=vm_template))["vcpu"] == 1


def test_reading_by_id_costs_one_call_d25(cloud, name, vm_template) -> None:
    made = vm(cloud.run("one_vm", name=name, template=vm_template))
    again = cloud.run("one_vm", id=made["id"])
    assert not again["changed"] and vm(again)["id"] == made["id"] and cloud.calls.total == 1
    by_name = cloud.run("one_vm", name=name)
    assert not by_name["changed"] and cloud.calls.total == 2


def test_exact_count_grows_shrinks_and_terminates_the_highest_first_d26(cloud, name, vm_template) -> None:
    def names(result: dict[str, Any]) -> list[str]:
        return [one["name"] for one in result["vms"]]

    three = cloud.converge("one_vm", name=name, count=3, template=vm_template, mark="fed")
    assert names(three) == [f"{name}-0", f"{name}-1", f"{name}-2"] and three["vm"] == {}
    two = cloud.converge("one_vm", name=name, count=2, mark="fed")
    assert names(two) == [f"{name}-0", f"{name}-1"]
    assert [one["id"] for one in two["vms"]] == [one["id"] for one in three["vms"]][:2]
    assert cloud.run("one_vm", id=two["vms"][0]["id"], state="absent").ok
    refilled = cloud.converge("one_vm", name=name, count=3, template=vm_template, mark="fed")
    assert names(refilled) == [f"{name}-0", f"{name}-1", f"{name}-2"]
    none = cloud.converge("one_vm", name=name, count=0, mark="fed")
    assert none["changed"] and none["vms"] == []


def test_many_vms_are_read_in_one_call(cloud, name, vm_template) -> None:
    cloud.run("one_vm", name=name, count=12, template=vm_template)
    result = cloud.run("one_vm", name=name, count=12)
    assert len(result["vms"]) == 12 and not result["changed"] and cloud.calls.total == 2
    found = cloud.run("one_vm_info", name=f"{name}-*", states=["running"])
    assert len(found["vms"]) == 12 and cloud.calls.total == 2
    assert cloud.run("one_vm", name=name, count=0, hard=True).ok


def test_power_states(cloud, name, vm_template) -> None:
    cloud.run("one_vm", name=name, template=vm_template)
    for state, word in (
        ("poweroff", "POWEROFF"),
        ("running", "RUNNING"),
        ("suspended", "SUSPENDED"),
        ("running", "RUNNING"),
        ("stopped", "STOPPED"),
        ("running", "RUNNING"),
        ("undeployed", "UNDEPLOYED"),
        ("running", "RUNNING"),
    ):
        result = cloud.converge("one_vm", name=name, state=state)
        assert result["changed"] and vm(result)["state"] == word


def test_reboot_is_a_change_every_time(cloud, name, vm_template) -> None:
    cloud.run("one_vm", name=name, template=vm_template)
    assert cloud.run("one_vm", name=name, state="rebooted", check=True)["changed"]
    for _run in range(2):
        assert cloud.run("one_vm", name=name, state="rebooted", hard=True)["changed"]


def test_create_powered_off_and_on_hold(cloud, name, vm_template) -> None:
    off = cloud.converge("one_vm", name=f"{name}-off", template=vm_template, state="poweroff")
    assert vm(off)["state"] == "POWEROFF"
    held = cloud.converge("one_vm", name=f"{name}-hold", template=vm_template, state="hold")
    assert vm(held)["state"] == "HOLD"
    released = cloud.converge("one_vm", name=f"{name}-hold", state="running")
    assert vm(released)["state"] == "RUNNING"


def test_attributes_of_an_existing_vm(cloud, name, vm_template) -> None:
    cloud.run("one_vm", name=name, template=vm_template, attributes={"A": "1"})
    result = cloud.converge("one_vm", name=name, attributes={"B": "2"}, labels=["y"], remove_attributes=["A"])
    attributes = vm(result)["attributes"]
    assert "A" not in attributes and attributes["B"] == "2" and attributes["STAGE"] == "test"


def test_d22_context_of_an_existing_vm_keeps_the_network(cloud, name, vm_template) -> None:
    before = vm(cloud.run("one_vm", name=name, template=vm_template))
    assert vm(cloud.run("one_vm", name=name, state="poweroff"))["state"] == "POWEROFF"
    result = cloud.converge("one_vm", name=name, state="present", context={"FOO": "new", "BAR": "x"})
    after = vm(result)["context"]
    assert after["FOO"] == "new" and after["BAR"] == "x"
    assert {key: value for key, value in after.items() if key.startswith("ETH0") or key in ("NETWORK", "TOKEN")} == {
        key: value for key, value in before["context"].items() if key.startswith("ETH0") or key in ("NETWORK", "TOKEN")
    }


def test_resize(cloud, name, vm_template) -> None:
    cloud.run("one_vm", name=name, template=vm_template)
    cloud.run("one_vm", name=name, state="poweroff")
    result = cloud.converge("one_vm", name=name, state="poweroff", cpu=0.2, vcpu=2, memory=96)
    assert (vm(result)["cpu"], vm(result)["vcpu"], vm(result)["memory"]) == (0.2, 2, 96)


def test_rename(cloud, name, vm_template) -> None:
    cloud.run("one_vm", name=name, template=vm_template)
    result = cloud.converge("one_vm", name=name, new_name=f"{name}-new")
    assert vm(result)["name"] == f"{name}-new"


def test_absent_is_no_change_for_a_vm_that_is_done(cloud, name, vm_template) -> None:
    number = vm(cloud.run("one_vm", name=name, template=vm_template))["id"]
    gone = cloud.converge("one_vm", id=number, state="absent")
    assert gone["changed"] and gone["vms"] == []
    info = cloud.run("one_vm_info", id=number)["vms"]
    assert [one["state"] for one in info] == ["DONE"]
    assert "does not exist or is DONE" in cloud.run("one_vm", id=number)["msg"]


def test_absent_right_after_creation_waits_for_a_state_that_allows_it(cloud, name, vm_template) -> None:
    assert cloud.run("one_vm", name=name, template=vm_template, wait=False).ok
    result = cloud.run("one_vm", name=name, state="absent")
    assert result.ok and result["changed"], result


def test_d23_d24_a_failed_boot_ends_the_wait_at_once_with_the_reason(cloud, name, vm_template) -> None:
    cloud.driver.fail_deploy[name] = "no such kernel"
    start = time.monotonic()
    result = cloud.run("one_vm", name=name, template=vm_template, wait_timeout=60)
    assert not result.ok and time.monotonic() - start < 20
    assert "BOOT_FAILURE" in result["msg"] and "no such kernel" in result["msg"]
    assert result["steps"] == [f"create VM {name}"]
    again = cloud.run("one_vm", name=name, template=vm_template)
    assert not again.ok and "cannot be brought to running" in again["msg"] and "state=absent" in again["msg"]
    assert cloud.run("one_vm", name=name, state="absent").ok


def test_a_vm_that_cannot_be_placed_is_reported_with_the_words_of_the_scheduler(cloud, name, vm_template) -> None:
    result = cloud.run("one_vm", name=name, template=vm_template, memory=10**9, wait_timeout=2)
    assert not result.ok and "PENDING" in result["msg"], result
    assert "scheduler:" in result["msg"], result["msg"]
    assert cloud.run("one_vm", name=name, state="absent").ok


def test_foreign_vms_are_left_alone(cloud, name, vm_template) -> None:
    cloud.run("one_vm", name=name, template=vm_template, mark="theirs")
    for params in ({"attributes": {"A": "1"}}, {"state": "absent"}, {"state": "poweroff"}):
        result = cloud.run("one_vm", name=name, mark="mine", **params)
        assert "belongs to federation theirs" in result["msg"] and cloud.calls.writes == 0


def test_ambiguous_vm_names_are_refused(cloud, name, vm_template) -> None:
    first = vm(cloud.run("one_vm", name=name, template=vm_template))
    cloud.run("one_vm", name=f"{name}-x", template=vm_template)
    cloud.run("one_vm", name=f"{name}-x", new_name=name)
    template = first["template_id"]
    cloud.admin.call("one.template.instantiate", template, name, False, "", False)
    result = cloud.run("one_vm", name=name)
    assert "not unique" in result["msg"] and f"id {first['id']}" in result["msg"]


def test_templates_of_two_owners(cloud, name, vm_template) -> None:
    alice = cloud.user("alice")
    cloud.run("one_template", api=alice, name=vm_template, template={"CPU": 1, "MEMORY": 32}, owner="alice")
    result = cloud.run("one_vm", name=name, template=vm_template)
    assert "not unique" in result["msg"] and cloud.calls.writes == 0
    assert vm(cloud.run("one_vm", name=name, template=vm_template, template_owner="oneadmin"))["ip"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "give template"),
        ({"template": "nope"}, "VM template nope does not exist"),
        ({"template": "0", "count": -1}, "negative"),
        ({"template": "0", "attributes": {"CONTEXT": {"A": "b"}}}, "use the option context"),
    ],
)
def test_refusals_name_the_option(cloud, name, params, words) -> None:
    result = cloud.run("one_vm", name=name, **params)
    assert words in result["msg"] and cloud.calls.writes == 0


def test_template_zero_is_a_template(cloud, name) -> None:
    cloud.run("one_template", name=name, template={"CPU": 0.1, "MEMORY": 16})
    assert cloud.run("one_vm", name=name, template="0", check=True).ok


def test_check_mode_of_a_whole_play_goes_on_without_the_template(cloud, name) -> None:
    result = cloud.run("one_vm", check=True, name=name, count=2, template=f"{name}-template", context={"A": "b"})
    assert result.ok and result["changed"] and len(result["vms"]) == 2
    assert "unless an earlier task makes it" in str(result["warnings"])
    real = cloud.run("one_vm", name=name, template=f"{name}-template")
    assert not real.ok and "does not exist" in real["msg"] and cloud.calls.writes == 0
