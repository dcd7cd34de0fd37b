# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_template against a sandbox cloud: merge, replace, labels, clones, and the defects of other modules."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api import connection

TEMPLATE = {
    "CPU": 0.5,
    "MEMORY": 64,
    "NIC": [{"NETWORK": "a"}, {"NETWORK": "b", "MODEL": "virtio"}],
    "DISK": [{"IMAGE": "x"}],
    "CONTEXT": {"NETWORK": True, "TOKEN": True, "START_SCRIPT": 'echo "hi" # $HOME\nexit 0'},
}


def attributes(result: dict[str, Any]) -> dict[str, Any]:
    return result["template"]["attributes"]


def test_create_from_a_dictionary_d08_d09(cloud, name) -> None:
    result = cloud.converge("one_template", name=name, template=TEMPLATE, labels=["x"], permissions="640", mark="fed")
    assert result["changed"] and result["template"]["permissions"] == "640"
    assert attributes(result)["CONTEXT"]["START_SCRIPT"] == TEMPLATE["CONTEXT"]["START_SCRIPT"]
    assert attributes(result)["CONTEXT"]["TOKEN"] == "YES"
    assert len(attributes(result)["NIC"]) == 2


def test_create_from_text(cloud, name) -> None:
    text = 'CPU = "1"\nMEMORY = 64\nNIC = [ NETWORK = "a" ]\n# comment\nNIC = [ NETWORK = "b" ]'
    result = cloud.converge("one_template", name=name, template=text)
    assert attributes(result)["NIC"] == [{"NETWORK": "a"}, {"NETWORK": "b"}]


def test_text_with_an_error_says_where(cloud, name) -> None:
    result = cloud.run("one_template", name=name, template="CPU=1\nNIC=[")
    assert "line 2, column" in result["msg"] and cloud.calls.total == 0


def test_d10_merge_keeps_what_others_wrote(cloud, name) -> None:
    cloud.run("one_template", name=name, template={**TEMPLATE, "LABELS": "keep"})
    result = cloud.converge("one_template", name=name, template={"CPU": 1, "CONTEXT": {"FOO": "bar"}})
    assert attributes(result)["LABELS"] == "keep" and attributes(result)["CPU"] == "1"
    assert attributes(result)["CONTEXT"]["TOKEN"] == "YES" and attributes(result)["CONTEXT"]["FOO"] == "bar"
    assert len(attributes(result)["NIC"]) == 2


def test_replace_removes_the_rest_but_labels_and_mark(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE, labels=["keep"], mark="fed")
    result = cloud.converge("one_template", name=name, template={"CPU": 1}, update="replace", mark="fed")
    assert attributes(result) == {"CPU": "1", "LABELS": "keep", "FLOWER_FEDERATION": "fed"}


def test_order_of_vectors_does_not_matter(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    swapped = {"NIC": list(reversed(TEMPLATE["NIC"])), "DISK": {"IMAGE": "x"}}
    assert not cloud.converge("one_template", name=name, template=swapped)["changed"]
    fewer = cloud.converge("one_template", name=name, template={"NIC": [{"NETWORK": "b", "MODEL": "virtio"}]})
    assert fewer["changed"] and attributes(fewer)["NIC"] == {"NETWORK": "b", "MODEL": "virtio"}


def test_remove_attributes(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    result = cloud.converge("one_template", name=name, remove_attributes=["disk", "CONTEXT.START_SCRIPT"])
    assert "DISK" not in attributes(result) and "START_SCRIPT" not in attributes(result)["CONTEXT"]
    assert attributes(result)["CONTEXT"]["TOKEN"] == "YES"


def test_d11_id_zero_is_an_id_and_d12_reading_needs_no_template(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    result = cloud.run("one_template", id=0)
    assert result.ok and result["template"]["id"] == 0 and not result["changed"]
    assert cloud.calls.total == 1


def test_rename_clone_and_delete(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    clone = cloud.converge("one_template", name=f"{name}-clone", clone_from=name, template={"CPU": 2}, mark="fed")
    assert attributes(clone)["CPU"] == "2" and attributes(clone)["MEMORY"] == "64"
    renamed = cloud.converge("one_template", name=f"{name}-clone", new_name=f"{name}-other", clone_from=name)
    assert renamed["template"]["id"] == clone["template"]["id"]
    gone = cloud.converge("one_template", name=f"{name}-other", state="absent", mark="fed")
    assert gone["changed"] and gone["template"] == {}
    assert cloud.run("one_template", name=name)["template"]["name"] == name


def test_d13_a_usable_template_of_another_owner_is_no_reason_for_a_duplicate(cloud, name) -> None:
    alice = cloud.user("alice")
    cloud.run("one_template", name=name, template=TEMPLATE, permissions="604")
    shared = cloud.run("one_template", api=alice, name=name, template=TEMPLATE)
    assert shared.ok and not shared["changed"], shared
    forbidden = cloud.run("one_template", api=alice, name=name, template={"CPU": 9})
    assert "Not authorized" in forbidden["msg"] and forbidden["error"]["kind"] == "authorization"
    own = cloud.run("one_template", api=alice, name=name, template=TEMPLATE, owner="alice")
    assert own["changed"] and own["template"]["owner"]["name"] == "alice"


def test_foreign_templates_are_left_alone(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE, mark="theirs")
    for params in ({"template": {"CPU": 2}}, {"state": "absent"}):
        result = cloud.run("one_template", name=name, mark="mine", **params)
        assert "belongs to federation theirs" in result["msg"] and cloud.calls.writes == 0


def test_update_costs_three_calls_and_creation_three(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    assert cloud.calls.total <= 3, cloud.calls.by_method
    cloud.run("one_template", name=name, template={"CPU": 2})
    assert cloud.calls.total <= 3, cloud.calls.by_method


def test_secrets_stay_out_of_results_and_differences(cloud, name) -> None:
    secret = {"CONTEXT": {"ROOT_PASSWORD": "hush-hush", "NETWORK": "YES"}}
    created = cloud.converge("one_template", name=name, template=secret)
    changed = cloud.run("one_template", name=name, template={"CONTEXT": {"ROOT_PASSWORD": "hush-again"}})
    assert changed["changed"] and changed["diff"]["before"] != changed["diff"]["after"]
    shown = str({key: value for key, value in {**created, **changed}.items() if key != "invocation"})
    assert "hush" not in shown


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "give template or clone_from"),
        ({"template": {"NAME": "y"}}, "use the option name"),
        ({"template": {"A": {"B": {"C": "d"}}}}, "no deeper levels"),
        ({"template": ["x"]}, "dictionary or template text"),
    ],
)
def test_refusals_name_the_option(cloud, name, params, words) -> None:
    result = cloud.run("one_template", name=name, **params)
    assert words in result["msg"] and cloud.calls.writes == 0


def test_vectors_are_compared_as_sets_with_multiplicity(cloud, name) -> None:
    twice = {
        "DISK": [{"IMAGE": "x"}, {"IMAGE": "x"}, {"IMAGE": "y", "SIZE": 10}],
        "PCI": [{"VENDOR": "10de", "CLASS": "0302"}, {"CLASS": "0302", "VENDOR": "10de"}],
    }
    cloud.run("one_template", name=name, template=twice)
    assert not cloud.converge("one_template", name=name, template={"DISK": list(reversed(twice["DISK"]))})["changed"]
    fewer = cloud.converge("one_template", name=name, template={"DISK": twice["DISK"][1:], "PCI": twice["PCI"][:1]})
    assert fewer["changed"] and len(attributes(fewer)["DISK"]) == 2
    assert attributes(fewer)["PCI"] == {"VENDOR": "10de", "CLASS": "0302"}
    none = cloud.converge("one_template", name=name, template={"DISK": [], "PCI": []})
    assert "DISK" not in attributes(none) and "PCI" not in attributes(none)


@pytest.mark.parametrize(
    ("names", "left"),
    [
        (["NIC[NETWORK=a]"], [{"NETWORK": "b", "MODEL": "virtio"}]),
        (["nic[ network = b , model = virtio ]"], [{"NETWORK": "a"}]),
        (['NIC[NETWORK="a"]', "NIC[NETWORK=b]"], []),
        (["NIC.MODEL"], [{"NETWORK": "a"}, {"NETWORK": "b"}]),
        (["NIC"], []),
    ],
)
def test_parts_of_repeated_attributes_are_removed(cloud, name, names, left) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    result = cloud.converge("one_template", name=name, remove_attributes=names)
    found = attributes(result).get("NIC", [])
    assert (found if isinstance(found, list) else [found]) == left
    assert attributes(result)["DISK"] == {"IMAGE": "x"}


def test_removing_what_is_not_there_changes_nothing(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    names = ["NOPE", "CONTEXT.NOPE", "NIC[NETWORK=z]", "CPU.NOPE", "CPU[A=1]"]
    assert not cloud.converge("one_template", name=name, remove_attributes=names)["changed"]
    wrong = cloud.run("one_template", name=name, remove_attributes=["NIC[a]"])
    assert "should read KEY=value" in wrong["msg"]


def test_text_merges_and_replaces_as_a_dictionary_does(cloud, name) -> None:
    cloud.run("one_template", name=name, template=TEMPLATE)
    merged = cloud.converge("one_template", name=name, template='CPU=2\nCONTEXT=[FOO="a, b"]')
    assert attributes(merged)["CONTEXT"]["FOO"] == "a, b" and attributes(merged)["CONTEXT"]["TOKEN"] == "YES"
    replaced = cloud.converge("one_template", name=name, template="CPU=3", update="replace")
    assert attributes(replaced) == {"CPU": "3"}


def test_a_taken_new_name_is_refused_before_anything_is_written(cloud, name) -> None:
    for number in (1, 2):
        assert cloud.run("one_template", name=f"{name}-{number}", template={"CPU": 1}).ok
    for check in (True, False):
        result = cloud.run("one_template", check=check, name=f"{name}-1", new_name=f"{name}-2", template={"CPU": 5})
        assert "cannot be renamed" in result["msg"] and "VM template" in result["msg"] and cloud.calls.writes == 0


def test_ambiguous_names_list_ids_and_owners(cloud, name) -> None:
    alice = cloud.user("alice")
    mine = cloud.run("one_template", name=name, template={"CPU": 1})["template"]["id"]
    hers = cloud.run("one_template", api=alice, name=name, template={"CPU": 1})["template"]["id"]
    result = cloud.run("one_template", name=name, template={"CPU": 2})
    assert f"id {mine} of oneadmin, id {hers} of alice" in result["msg"] and cloud.calls.writes == 0
    assert cloud.run("one_template", name=name, owner="alice", template={"CPU": 2})["template"]["id"] == hers


def test_a_recursive_clone_has_images_of_its_own(cloud, image, name) -> None:
    source = {"CPU": 1, "DISK": [{"IMAGE": image, "IMAGE_UNAME": "oneadmin"}, {"TYPE": "fs", "SIZE": 10}]}
    assert cloud.run("one_template", name=name, template=source).ok
    clone = cloud.converge(
        "one_template", name=f"{name}-c", clone_from=name, recursive=True, template={"CPU": 2}, remove_attributes=["X"]
    )
    disk = attributes(clone)["DISK"][0]
    copied = cloud.run("one_image", id=int(disk["IMAGE_ID"]))["image"]
    assert copied["name"] == f"{name}-c-disk-0" and "IMAGE" not in disk and attributes(clone)["CPU"] == "2"
    replaced = cloud.converge(
        "one_template", name=f"{name}-r", clone_from=name, recursive=True, template={"CPU": 3}, update="replace"
    )
    assert set(attributes(replaced)) == {"CPU", "DISK"}
    both = cloud.run("one_template", name=f"{name}-d", clone_from=name, recursive=True, template=source)
    assert "leave one of them out" in both["msg"] and cloud.calls.writes == 0


def test_a_template_is_deleted_with_its_images_or_not_at_all(cloud, image, vm_template, name) -> None:
    number = cloud.run("one_image", name=image)["image"]["id"]
    template = {"CPU": 0.1, "MEMORY": 64, "DISK": [{"IMAGE_ID": number}, {"TYPE": "fs", "SIZE": 1}, {"IMAGE": "gone"}]}
    assert cloud.run("one_template", name=name, template=template).ok
    assert cloud.run("one_vm", name=name, template=vm_template, disks=[{"IMAGE": image}]).ok
    refused = cloud.run("one_template", name=name, state="absent", recursive=True)
    assert f"image {image} (id {number}) is in use by 1 VM(s)" in refused["msg"] and cloud.calls.writes == 0
    assert cloud.run("one_vm", name=name, state="absent").ok
    assert cloud.run("one_image", name=image, lock="manage").ok
    assert "is locked" in cloud.run("one_template", name=name, state="absent", recursive=True)["msg"]
    assert cloud.run("one_image", name=image, lock="none").ok
    gone = cloud.converge("one_template", name=name, state="absent", recursive=True, max_calls=4)
    assert gone["steps"] == [f"delete VM template {name} and its images {image} (id {number})"]
    cloud.run("one_image", name=image, state="absent")
    assert cloud.run("one_image_info", name=image)["images"] == []


def test_images_that_stay_after_their_template_are_an_error(cloud, image, name, monkeypatch) -> None:
    """OpenNebula says nothing when an image of a deleted template could not be deleted."""
    assert cloud.run("one_template", name=name, template={"DISK": [{"IMAGE": image}]}).ok
    number = cloud.run("one_image", name=image)["image"]["id"]
    real = connection.Connection.call

    def call(self: Any, method: str, *arguments: Any) -> Any:
        if method == "one.template.delete":
            real(self, "one.image.lock", number, 2)
        return real(self, method, *arguments)

    monkeypatch.setattr(connection.Connection, "call", call)
    result = cloud.run("one_template", name=name, state="absent", recursive=True)
    assert not result.ok and "the VM template is deleted, but not its images" in result["msg"] and result["changed"]


def test_an_encrypted_password_is_compared_in_clear(cloud, name) -> None:
    """OpenNebula shows CONTEXT.PASSWORD encrypted, whoever wrote it."""
    wanted = {"CPU": 1, "CONTEXT": {"PASSWORD": "pa55 w0rd", "NETWORK": True}}
    cloud.converge("one_template", name=name, template=wanted)
    shown = cloud.admin.call("one.templatepool.info", -2, -1, -1)
    assert "pa55" not in shown
    changed = cloud.converge("one_template", name=name, template={"CONTEXT": {"FOO": "1"}})
    assert changed["changed"]
    assert not cloud.run("one_template", name=name, template=wanted)["changed"]
    other = cloud.converge("one_template", name=name, template={"CONTEXT": {"PASSWORD": "another"}})
    assert other["changed"] and "another" not in str({**other, "invocation": None})
