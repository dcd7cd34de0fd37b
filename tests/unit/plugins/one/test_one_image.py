# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_image against a sandbox cloud: every option, and the defects that other modules have with images."""

from __future__ import annotations

import time
from typing import Any

import pytest


def body(result: dict[str, Any]) -> dict[str, Any]:
    return result["image"]


def test_create_from_size_with_everything(cloud, name) -> None:
    result = cloud.converge(
        "one_image",
        name=name,
        size=2,
        type="DATABLOCK",
        persistent=True,
        datastore="default",
        attributes={"DESCRIPTION": 'a "quoted" text', "dev_prefix": "vd"},
        labels=["b", "a"],
        permissions="640",
        mark="fed",
    )
    image = body(result)
    assert result["changed"] and image["state"] == "READY" and image["persistent"]
    assert image["attributes"]["DESCRIPTION"] == 'a "quoted" text'
    assert image["attributes"]["DEV_PREFIX"] == "vd"
    assert image["attributes"]["FLOWER_FEDERATION"] == "fed"
    assert (image["labels"], image["permissions"], image["size"]) == (["a", "b"], "640", 2)
    assert image["owner"] == {"id": 0, "name": "oneadmin"}


def test_reading_by_id_costs_one_call_and_returns_the_image_d01(cloud, image) -> None:
    by_name = body(cloud.run("one_image", name=image))
    assert cloud.calls.total == 1
    by_id = cloud.run("one_image", id=by_name["id"])
    assert cloud.calls.total == 1
    assert body(by_id) == by_name and not by_id["changed"]


def test_id_zero_is_an_id(cloud, image) -> None:
    # The first image of a cloud has id 0, whichever test made it.
    result = cloud.run("one_image", id=0)
    assert result.ok and body(result)["id"] == 0


@pytest.mark.parametrize("value", [True, False])
def test_d02_persistent_compares_persistent(cloud, name, value) -> None:
    assert cloud.run("one_image", name=name, size=1, persistent=not value).ok
    result = cloud.converge("one_image", name=name, persistent=value)
    assert result["changed"] and body(result)["persistent"] is value


def test_d03_d04_create_with_switches_in_check_mode(cloud, name) -> None:
    result = cloud.converge("one_image", name=name, size=1, persistent=True, enabled=False)
    assert body(result)["enabled"] is False and body(result)["persistent"] is True


def test_d05_absent_waits_until_it_is_gone(cloud, image) -> None:
    result = cloud.converge("one_image", name=image, state="absent")
    assert result["changed"] and body(result) == {}
    assert cloud.run("one_image_info", name=image)["images"] == []


def test_absent_of_an_image_still_being_copied_waits_for_the_copy(cloud, name) -> None:
    assert body(cloud.run("one_image", name=name, size=1, wait=False))["state"] in ("LOCKED", "READY")
    result = cloud.run("one_image", name=name, state="absent")
    assert result.ok and result["changed"], result


def test_present_waits_for_an_image_that_a_former_run_left_locked(cloud, name) -> None:
    cloud.run("one_image", name=name, size=1, wait=False)
    result = cloud.run("one_image", name=name)
    assert body(result)["state"] == "READY" and not result["changed"]


def test_d06_enabled_is_true_while_an_image_is_used(cloud, image, vm_template, name) -> None:
    disk = [{"IMAGE": image}]
    assert cloud.run("one_vm", name=name, template=vm_template, disks=disk).ok
    result = cloud.converge("one_image", name=image, enabled=True)
    assert not result["changed"] and body(result)["state"] == "USED"
    refused = cloud.run("one_image", name=image, state="absent")
    assert not refused.ok and "in use by 1 VM(s)" in refused["msg"]
    assert cloud.calls.writes == 0


def test_d07_several_changes_in_one_run(cloud, image) -> None:
    result = cloud.converge(
        "one_image", name=image, type="OS", persistent=True, attributes={"X": 1}, permissions="600", enabled=True
    )
    assert result["changed"] and len(result["steps"]) == 3
    assert body(result)["type"] == "OS"


def test_attributes_are_merged_and_removed(cloud, image) -> None:
    cloud.converge("one_image", name=image, attributes={"A": "1", "B": "2"})
    result = cloud.converge("one_image", name=image, attributes={"B": "3"}, remove_attributes=["A"])
    attributes = body(result)["attributes"]
    assert "A" not in attributes and attributes["B"] == "3" and "DEV_PREFIX" in attributes


def test_rename_twice_is_one_change(cloud, image) -> None:
    result = cloud.converge("one_image", name=image, new_name=f"{image}-new")
    assert result["changed"] and body(result)["name"] == f"{image}-new"


def test_clone(cloud, image, name) -> None:
    result = cloud.converge("one_image", name=f"{name}-clone", clone_from=image, attributes={"X": "1"}, mark="fed")
    assert body(result)["state"] == "READY" and body(result)["attributes"]["FLOWER_FEDERATION"] == "fed"
    missing = cloud.run("one_image", name=f"{name}-2", clone_from="nope")
    assert "clone_from" in missing["msg"]


def test_owner_and_group(cloud, image) -> None:
    cloud.user("alice")
    assert body(cloud.run("one_image", name=image))["owner"]["name"] == "oneadmin"
    number = body(cloud.run("one_image", name=image))["id"]
    result = cloud.converge("one_image", id=number, owner="alice", group="users")
    assert body(result)["owner"]["name"] == "alice" and body(result)["group"]["name"] == "users"
    unknown = cloud.run("one_image", id=number, owner="nobody-here")
    assert "user nobody-here does not exist" in unknown["msg"] and cloud.calls.writes == 0


def test_a_usable_image_of_another_owner_is_no_reason_for_a_duplicate_d13(cloud, image, name) -> None:
    alice = cloud.user("alice")
    cloud.run("one_image", name=image, permissions="604")
    shared = cloud.run("one_image", api=alice, name=image, size=1)
    assert not shared["changed"] and body(shared)["owner"]["name"] == "oneadmin"
    own = cloud.run("one_image", api=alice, name=image, size=1, owner="alice")
    assert own["changed"] and body(own)["owner"]["name"] == "alice"
    ambiguous = cloud.run("one_image", name=image)
    assert "not unique" in ambiguous["msg"] and "alice" in ambiguous["msg"] and "oneadmin" in ambiguous["msg"]


def test_foreign_images_are_left_alone(cloud, image) -> None:
    for params in ({"attributes": {"A": "1"}}, {"state": "absent"}):
        result = cloud.run("one_image", name=image, mark="fed", **params)
        assert not result.ok and "not marked as belonging to federation fed" in result["msg"]
        assert cloud.calls.writes == 0


def test_error_state_fails_at_once_with_the_reason(cloud, name) -> None:
    cloud.driver.fail_image["/broken.tar"] = "Error copying image: no such file"
    start = time.monotonic()
    result = cloud.run("one_image", name=name, path="/broken.tar", wait_timeout=60)
    assert not result.ok and time.monotonic() - start < 10
    assert "no such file" in result["msg"] and "state=absent" in result["msg"]
    assert result["steps"] == [f"create image {name}"] and result["changed"]
    again = cloud.run("one_image", name=name, path="/broken.tar", wait_timeout=60)
    assert "no such file" in again["msg"] and not again["changed"]
    assert cloud.run("one_image", name=name, state="absent").ok


def test_what_cannot_be_changed_is_said(cloud, image) -> None:
    result = cloud.run("one_image", name=image, size=5)
    assert result.ok and not result["changed"]
    assert "cannot change it" in str(result["warnings"])


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "give path"),
        ({"size": 1, "permissions": "9"}, "three octal digits"),
        ({"size": 1, "attributes": {"NAME": "x"}}, "use the option name"),
        ({"size": 1, "datastore": "nope"}, "datastore nope does not exist"),
    ],
)
def test_refusals_name_the_option(cloud, name, params, words) -> None:
    result = cloud.run("one_image", name=name, **params)
    assert not result.ok and words in result["msg"]
    assert cloud.calls.writes == 0


def test_unknown_id(cloud) -> None:
    assert "does not exist" in cloud.run("one_image", id=9999)["msg"]
    assert not cloud.run("one_image", id=9999, state="absent")["changed"]


def test_the_password_is_in_no_answer_g28(cloud, name) -> None:
    wrong = {**cloud.api, "api_password": "very-secret-word"}
    result = cloud.run("one_image", api=wrong, name=name)
    assert not result.ok and "api_username" in result["msg"]
    assert "very-secret-word" not in str(result)
