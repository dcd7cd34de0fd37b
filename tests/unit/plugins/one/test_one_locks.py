# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The option lock of images and VM templates."""

from __future__ import annotations

from typing import Any

import pytest

KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("one_template", "template", {"template": {"CPU": 1}}),
    ("one_image", "image", {"size": 1}),
]
CHANGE = {"labels": ["changed"]}


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
@pytest.mark.parametrize(("lock", "kept"), [("use", "use"), ("manage", "manage"), ("admin", "admin"), ("all", "use")])
def test_new_objects_are_locked_last(cloud, name, module, key, params, lock, kept) -> None:
    result = cloud.converge(module, name=name, **params, permissions="640", lock=lock, max_calls=5)
    assert result[key]["lock"] == kept
    assert result["steps"][-1].startswith("lock ")
    other = cloud.converge(module, name=name, lock="manage" if kept != "manage" else "admin", max_calls=3)
    assert other[key]["lock"] == ("manage" if kept != "manage" else "admin") and len(other["steps"]) == 1


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
def test_a_locked_object_is_changed_only_on_request(cloud, name, module, key, params) -> None:
    assert cloud.run(module, name=name, **params, lock="manage").ok
    for wanted in (CHANGE, {"state": "absent"}):
        refused = cloud.run(module, name=name, **wanted)
        assert not refused.ok and "is locked" in refused["msg"] and "lock: none" in refused["msg"], refused
        assert refused["error"]["kind"] == "authorization" and not refused["changed"]
    again = cloud.converge(module, name=name, **CHANGE, lock="manage")
    assert [step.split()[0] for step in again["steps"]] == ["unlock", "update", "lock"]
    assert again[key]["labels"] == ["changed"] and again[key]["lock"] == "manage"
    open_again = cloud.converge(module, name=name, labels=["more"], lock="none")
    assert [step.split()[0] for step in open_again["steps"]] == ["unlock", "update"]
    assert open_again[key]["lock"] == "none"


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
def test_a_locked_object_is_deleted_only_after_unlocking(cloud, name, module, key, params) -> None:
    assert cloud.run(module, name=name, **params, lock="use").ok
    kept = cloud.run(module, name=name, state="absent", lock="use")
    assert not kept.ok and "lock: none" in kept["msg"]
    gone = cloud.converge(module, name=name, state="absent", lock="none")
    assert [step.split()[0] for step in gone["steps"]] == ["unlock", "delete"]


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
def test_ordinary_users_are_told_that_it_is_the_lock(cloud, name, module, key, params) -> None:
    """OpenNebula tells them only that they are not authorised."""
    alice = cloud.user("alice")
    assert cloud.run(module, api=alice, name=name, **params, lock="manage").ok
    refused = cloud.run(module, api=alice, name=name, **CHANGE)
    assert "Not authorized to perform MANAGE" in refused["msg"]
    way_out = "it is locked (level manage); lock: none unlocks it first, if this user may manage it"
    assert refused["msg"].endswith(way_out)
    assert cloud.run(module, api=alice, name=name, **CHANGE, lock="none").ok
    number = cloud.run(module, api=alice, name=name)[key]["id"]
    assert cloud.run(module, id=number, lock="manage").ok
    foreign = cloud.run(module, api=alice, name=name, lock="none")
    assert "Lock is owned by another user" in foreign["msg"] and foreign["error"]["kind"] == "action"


def test_admin_level_lets_owners_change_and_delete(cloud, name) -> None:
    assert cloud.run("one_template", name=name, template={"CPU": 1}, lock="admin").ok
    assert cloud.run("one_template", name=name, **CHANGE).ok
    assert cloud.run("one_template", name=name, state="absent").ok


def test_a_lock_of_level_use_forbids_clones(cloud, name) -> None:
    assert cloud.run("one_template", name=name, template={"CPU": 1}, lock="use").ok
    refused = cloud.run("one_template", name=f"{name}-2", clone_from=name)
    assert "TEMPLATE is locked" in refused["msg"]


def test_an_image_loses_its_lock_when_a_vm_takes_it_and_gets_it_back(cloud, image, vm_template, name) -> None:
    assert cloud.run("one_image", name=image, lock="manage")["image"]["lock"] == "manage"
    assert cloud.run("one_vm", name=name, template=vm_template, disks=[{"IMAGE": image}]).ok
    assert cloud.run("one_image", name=image)["image"]["lock"] == "none"
    assert cloud.converge("one_image", name=image, lock="manage")["changed"]
