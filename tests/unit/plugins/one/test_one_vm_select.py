# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Several VMs at once: by ids, by name pattern, by labels and attributes, and exact numbers of those."""

from __future__ import annotations

from typing import Any

import pytest


def names(result: dict[str, Any]) -> list[str]:
    assert result.ok, result
    return [one["name"] for one in result["vms"]]


@pytest.fixture
def three(cloud, name, vm_template) -> list[int]:
    """The ids of <name>-0 to <name>-2, all with a label and an attribute of this test."""
    result = cloud.run(
        "one_vm", name=name, count=3, template=vm_template, labels=[f"l-{name}", "all"], attributes={"APP": name}
    )
    assert result.ok, result
    return [one["id"] for one in result["vms"]]


def test_states_of_several_vms_by_ids_in_one_call(cloud, three) -> None:
    off = cloud.converge("one_vm", ids=three[:2], state="poweroff")
    assert [one["state"] for one in off["vms"]] == ["POWEROFF"] * 2 and off["vm"] == {}
    again = cloud.run("one_vm", ids=three[:2], state="poweroff")
    assert not again["changed"] and cloud.calls.total == 1
    assert cloud.converge("one_vm", ids=three, attributes={"A": "1"}, state="running")["changed"]
    missing = cloud.run("one_vm", ids=[*three, 99999], state="running")
    assert "VM 99999 does not exist or is DONE" in missing["msg"]
    gone = cloud.converge("one_vm", ids=[*three, 99999], state="absent", hard=True)
    assert gone["changed"] and gone["vms"] == []


def test_vms_by_label_attribute_and_name(cloud, name, three) -> None:
    for params in (
        {"match_labels": [f"l-{name}"]},
        {"match_attributes": {"app": name}},
        {"match_name": f"{name}-?"},
        {"match_name": f"{name}-*", "match_labels": ["all"], "match_attributes": {"APP": None}},
    ):
        found = cloud.run("one_vm", state="present", **params)
        assert [one["id"] for one in found["vms"]] == three and not found["changed"]
        assert cloud.calls.total <= 2 and cloud.calls.writes == 0
    off = cloud.converge("one_vm", match_labels=[f"l-{name}"], state="poweroff")
    assert [one["state"] for one in off["vms"]] == ["POWEROFF"] * 3
    assert names(cloud.run("one_vm", match_attributes={"APP": "nobody"}, state="absent")) == []
    assert not cloud.run("one_vm", match_labels=["nobody-has-this"])["changed"]
    assert cloud.converge("one_vm", match_attributes={"APP": name}, state="absent")["changed"]


def test_numbers_that_other_vms_have_are_not_free(cloud, name, vm_template) -> None:
    assert cloud.run("one_vm", name=f"{name}-0", template=vm_template).ok
    wanted = {"name": name, "count": 2, "match_labels": [f"l-{name}"]}
    made = cloud.converge("one_vm", template=vm_template, **wanted)
    assert names(made) == [f"{name}-1", f"{name}-2"]


def test_a_new_name_that_another_vm_has(cloud, name, three) -> None:
    result = cloud.run("one_vm", name=f"{name}-0", new_name=f"{name}-1")
    assert f"there are VMs {name}-0 and {name}-1 (new_name) already" in result["msg"]
    assert f"id {three[0]} of oneadmin, id {three[1]} of oneadmin" in result["msg"] and cloud.calls.writes == 0


@pytest.mark.parametrize("module", ["one_vm", "one_image", "one_template"])
def test_what_does_not_exist_is_named_with_its_owner(cloud, module) -> None:
    for owner in ({"owner": "nobody"}, {}):
        result = cloud.run(module, name="none", new_name="new", **owner)
        words = {"one_vm": "VM", "one_image": "image", "one_template": "VM template"}[module] + " none"
        sentence = f"{words} does not exist, or this user may not see it"
        if owner:
            sentence = f"user nobody does not exist or has no {words} that this user may see"
        assert result["msg"].startswith(f"{sentence}; to create it give ") and cloud.calls.writes == 0


@pytest.mark.parametrize("module", ["one_vm", "one_image", "one_template"])
def test_names_that_no_second_run_finds_are_refused(cloud, module) -> None:
    empty = ({"name": " "}, "name"), ({"name": "", "state": "absent"}, "name"), ({"id": 0, "new_name": ""}, "new_name")
    for params, option in empty:
        result = cloud.run(module, **params)
        assert not result.ok and result["msg"] == f"{option} must not be empty" and cloud.calls.total == 0
    assert "name must not begin or end with a blank" in cloud.run(module, name=" a")["msg"] and cloud.calls.total == 0


def test_a_filter_never_means_a_foreign_vm(cloud, name, vm_template) -> None:
    for index, mark in enumerate(("mine", "theirs")):
        assert cloud.run("one_vm", name=f"{name}-{index}", template=vm_template, labels=[name], mark=mark).ok
    result = cloud.converge("one_vm", match_labels=[name], state="absent", mark="mine")
    assert result["steps"] == [f"terminate VM {name}-0"]
    assert names(cloud.run("one_vm", match_labels=[name], owner="alice", state="present")) == []
    assert names(cloud.run("one_vm", match_labels=[name], state="present")) == [f"{name}-1"]


def test_exact_count_by_label_and_attribute(cloud, name, vm_template) -> None:
    assert cloud.run("one_vm", name=f"{name}-old", template=vm_template, labels=[name]).ok
    params = {"name": name, "match_labels": [name], "template": vm_template}
    grown = cloud.converge("one_vm", count=3, **params)
    assert names(grown) == [f"{name}-0", f"{name}-1", f"{name}-old"]
    assert all(name in one["labels"] for one in grown["vms"])
    less = cloud.converge("one_vm", count=2, **params)
    assert names(less) == [f"{name}-0", f"{name}-1"], "those without a number go first"
    by_attribute = {"name": f"{name}-a", "match_attributes": {"TEAM": name, "ANY": None}, "template": vm_template}
    made = cloud.converge("one_vm", count=2, attributes={"ANY": "x"}, **by_attribute)
    assert [one["attributes"]["TEAM"] for one in made["vms"]] == [name] * 2
    assert names(cloud.converge("one_vm", count=0, **by_attribute)) == []
    assert names(cloud.converge("one_vm", count=0, **params)) == []


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"match_labels": ["a"], "name": "x"}, "needs count"),
        ({"match_labels": []}, "must not all be empty"),
        ({"match_labels": ["a"], "name": "x", "count": 1, "labels": ["b"]}, "labels must contain them"),
        ({"match_attributes": {"A": None}, "name": "x", "count": 1}, "A is not among attributes"),
        ({"match_attributes": {"A": 1}, "name": "x", "count": 1, "attributes": {"A": 2}}, "A is not among attributes"),
        ({"match_name": "y-*", "name": "x", "count": 1}, "would not be found by match_name"),
        ({"ids": [1], "name": "x"}, "mutually exclusive"),
        ({"ids": [1], "match_labels": ["x"]}, "mutually exclusive"),
        ({"count": 1, "match_labels": ["x"]}, "missing parameter(s) required by 'count'"),
        ({}, "one of the following is required"),
    ],
)
def test_refusals(cloud, params, words) -> None:
    result = cloud.run("one_vm", **params)
    assert not result.ok and words in result["msg"], result
    assert cloud.calls.writes == 0


def test_two_vms_of_one_name_are_told_apart(cloud, name, vm_template) -> None:
    first = cloud.run("one_vm", name=name, template=vm_template)["vm"]
    second = cloud.admin.call("one.template.instantiate", first["template_id"], name, False, "", False)
    assert cloud.run("one_vm", id=second, state="running").ok
    result = cloud.converge("one_vm", ids=[first["id"], second], attributes={"A": "1"})
    assert set(result["diff"]["after"]) == {f"{name} (id {first['id']})", f"{name} (id {second})"}


def test_a_vm_on_its_way_out_does_not_count(cloud, name, vm_template) -> None:
    first = cloud.run("one_vm", name=name, template=vm_template)["vm"]
    assert cloud.run("one_vm", name=name, state="absent", wait=False, hard=True).ok
    second = cloud.run("one_vm", name=name, template=vm_template)
    assert second.ok and second["vm"]["id"] != first["id"]
    assert names(cloud.run("one_vm", name=name)) == [name]
