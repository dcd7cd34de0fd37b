# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_image against a sandbox cloud: every option, and the defects that other modules have with images."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.image import resource as image_resource
from one_sandbox.drivers import DriverError


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


def second_datastore(cloud, name: str) -> int:
    return int(cloud.admin.call("one.datastore.allocate", f'NAME="{name}"\nDS_MAD="dummy"\nTM_MAD="dummy"', -1))


@contextlib.contextmanager
def imports_held(cloud) -> Iterator[None]:
    """Let no image become READY meanwhile."""
    cloud.driver.imports_go.clear()
    try:
        yield
    finally:
        cloud.driver.imports_go.set()


def test_a_data_block_with_format_and_file_system(cloud, name) -> None:
    result = cloud.converge("one_image", name=name, size=1, format="qcow2", fs="ext4", max_calls=3)
    assert (body(result)["format"], body(result)["fs"], body(result)["type"]) == ("qcow2", "ext4", "DATABLOCK")
    assert "FORMAT" not in body(result)["attributes"]


def test_what_the_datastore_holds_already_is_registered_without_a_copy(cloud, name) -> None:
    result = cloud.converge("one_image", name=name, source="/vol/1", size=4, format="raw", type="OS", max_calls=3)
    assert (body(result)["source"], body(result)["size"], body(result)["state"]) == ("/vol/1", 4, "READY")


def test_files_go_to_the_datastore_of_files(cloud, name) -> None:
    result = cloud.converge("one_image", name=name, path="/boot/vmlinuz", type="KERNEL", max_calls=3)
    assert body(result)["datastore"] == {"id": 2, "name": "files"} and body(result)["type"] == "KERNEL"
    other = cloud.converge("one_image", name=name, type="CONTEXT")
    assert body(other)["type"] == "CONTEXT"
    refused = cloud.run("one_image", name=name, type="OS")
    assert "incompatible type" in refused["msg"]


def test_attributes_may_be_text(cloud, name) -> None:
    result = cloud.converge("one_image", name=name, size=1, attributes='DESCRIPTION="a, b"\nDEV_PREFIX=vd')
    assert body(result)["attributes"]["DESCRIPTION"] == "a, b"
    assert "line 1, column" in cloud.run("one_image", name=name, attributes="X=[")["msg"]
    assert "dictionary or template text" in cloud.run("one_image", name=name, attributes=["X"])["msg"]


def test_datastores_by_name_and_id(cloud, name) -> None:
    number = second_datastore(cloud, f"{name}-ds")
    first = cloud.converge("one_image", name=f"{name}-1", size=1, datastore=f"{name}-ds", max_calls=4)
    assert body(first)["datastore"] == {"id": number, "name": f"{name}-ds"}
    # From now on images tell the id of that name.
    cloud.converge("one_image", name=f"{name}-2", size=1, datastore=f"{name}-ds", max_calls=3)
    by_id = cloud.converge("one_image", name=f"{name}-3", size=1, datastore=str(number), max_calls=3)
    assert body(by_id)["datastore"]["name"] == f"{name}-ds"
    assert "datastore [4711]" in cloud.run("one_image", name=f"{name}-4", size=1, datastore="4711")["msg"]


def test_a_cloud_without_the_default_datastore(cloud, name, monkeypatch) -> None:
    monkeypatch.setattr(image_resource, "DEFAULT_DATASTORE", 4711)
    result = cloud.run("one_image", name=name, size=1)
    assert "datastore [4711]" in result["msg"] and "say which one with datastore" in result["msg"]


def test_clone_into_another_datastore(cloud, image, name) -> None:
    number = second_datastore(cloud, f"{name}-ds")
    clone = cloud.converge("one_image", name=f"{name}-c", clone_from=image, datastore=f"{name}-ds", max_calls=4)
    assert body(clone)["datastore"]["id"] == number
    wrong = cloud.run("one_image", name=f"{name}-d", clone_from=image, datastore="files")
    assert "IMAGE_DS" in wrong["msg"]


def test_clone_with_changes(cloud, image, name) -> None:
    number = body(cloud.run("one_image", name=image, attributes={"A": "1", "B": "2"}))["id"]
    result = cloud.converge(
        "one_image", name=name, clone_from=str(number), attributes={"B": "3"}, remove_attributes=["A"], type="OS",
        persistent=True, enabled=False, labels=["x"], permissions="640",
    )  # fmt: skip
    found = body(result)
    assert found["attributes"]["B"] == "3" and "A" not in found["attributes"] and found["labels"] == ["x"]
    assert (found["type"], found["persistent"], found["state"]) == ("OS", True, "DISABLED")


def test_a_clone_of_a_persistent_image(cloud, name) -> None:
    assert cloud.run("one_image", name=name, size=1, persistent=True).ok
    same = cloud.converge("one_image", name=f"{name}-same", clone_from=name)
    assert body(same)["persistent"] is True
    other = cloud.converge("one_image", name=f"{name}-other", clone_from=name, persistent=False)
    assert body(other)["persistent"] is False


def test_a_clone_waits_for_its_source(cloud, name) -> None:
    with imports_held(cloud):
        assert cloud.run("one_image", name=name, path="/slow.img", wait=False).ok
        threading.Timer(0.3, cloud.driver.imports_go.set).start()
        assert cloud.run("one_image", name=f"{name}-c", clone_from=name).ok


def test_a_used_image_keeps_its_switches(cloud, image, vm_template, name) -> None:
    assert cloud.run("one_vm", name=name, template=vm_template, disks=[{"IMAGE": image}]).ok
    for params in ({"persistent": True}, {"enabled": False}):
        refused = cloud.run("one_image", name=image, **params)
        assert not refused.ok and "while VMs use it; these are 1 VM(s)" in refused["msg"], refused
        assert cloud.calls.writes == 0
    assert cloud.converge("one_image", name=image, attributes={"X": "1"}, labels=["y"], max_calls=3)["changed"]


def test_a_locked_image_is_deleted_after_its_copy_or_by_force(cloud, name) -> None:
    with imports_held(cloud):
        for number in (1, 2):
            assert cloud.run("one_image", name=f"{name}-{number}", path="/slow.img", wait=False).ok
        late = cloud.run("one_image", name=f"{name}-1", state="absent", wait_timeout=1)
        assert not late.ok and "took longer than 1 s (state LOCKED)" in late["msg"] and not late["changed"]
        forced = cloud.run("one_image", name=f"{name}-2", state="absent", force=True, wait=False)
        assert forced.ok and forced["changed"]
    assert cloud.run("one_image", name=f"{name}-1", state="absent").ok


def test_a_timeout_names_the_state_and_the_option(cloud, name) -> None:
    with imports_held(cloud):
        result = cloud.run("one_image", name=name, path="/slow.img", wait_timeout=1)
    assert "took longer than 1 s (state LOCKED)" in result["msg"] and "wait_timeout" in result["msg"]
    assert result["changed"] and result["steps"] == [f"create image {name}"]


@pytest.fixture
def own_source(cloud, name) -> str:
    """The name of an image that shares its content with no other, so that the driver has something to delete."""
    assert cloud.run("one_image", name=name, source=f"/vol/{name}", size=1, format="raw").ok
    return name


def test_an_image_that_is_being_deleted_is_waited_for(cloud, own_source, monkeypatch) -> None:
    gone = threading.Event()
    monkeypatch.setattr(cloud.driver, "delete_image", lambda view: gone.wait(10))
    number = body(cloud.run("one_image", name=own_source))["id"]
    assert cloud.run("one_image", name=own_source, state="absent", wait=False)["changed"]
    assert not cloud.run("one_image", name=own_source, state="absent", wait=False)["changed"]
    assert "took longer" in cloud.run("one_image", name=own_source, state="absent", wait_timeout=1)["msg"]
    assert "just being deleted" in cloud.run("one_image", id=number)["msg"]
    threading.Timer(0.3, gone.set).start()
    again = cloud.run("one_image", name=own_source, size=1)
    assert again.ok and again["changed"] and body(again)["state"] == "READY"


def test_a_driver_that_cannot_delete_is_an_error_with_its_words(cloud, own_source, monkeypatch) -> None:
    def fail(view: Any) -> None:
        raise DriverError("device is busy")

    monkeypatch.setattr(cloud.driver, "delete_image", fail)
    result = cloud.run("one_image", name=own_source, state="absent", wait_timeout=30)
    assert not result.ok and "device is busy" in result["msg"] and result["changed"]


def test_unknown_state_numbers_are_printed(cloud, image) -> None:
    number = body(cloud.run("one_image", name=image))["id"]
    cloud.sandbox.oned.find("image", number).data["state"] = 42
    assert body(cloud.run("one_image", name=image, wait=False))["state"] == "UNKNOWN(42)"
    cloud.sandbox.oned.find("image", number).data["state"] = 1


def test_a_taken_new_name_is_refused_before_anything_is_written(cloud, image, name) -> None:
    assert cloud.run("one_image", name=name, size=1).ok
    for check in (True, False):
        result = cloud.run("one_image", check=check, name=image, new_name=name)
        assert f"cannot be renamed to {name}: oneadmin has image" in result["msg"] and cloud.calls.writes == 0


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({"path": "/other.img"}, "with path ''"),
        ({"format": "vmdk", "size": 1}, "with format 'raw'"),
        ({"fs": "xfs", "size": 1}, "with fs ''"),
        ({"datastore": "files"}, "with datastore 'default'"),
    ],
)
def test_each_difference_that_cannot_be_changed_is_a_warning(cloud, image, params, words) -> None:
    result = cloud.run("one_image", name=image, **params)
    assert result.ok and not result["changed"] and words in str(result["warnings"])
    assert cloud.calls.total == 1


def test_no_warning_where_nothing_differs(cloud, image) -> None:
    for datastore in ("default", "1"):
        assert "warnings" not in cloud.run("one_image", name=image, datastore=datastore, size=1, format="raw")
