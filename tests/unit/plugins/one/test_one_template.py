# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one_template against a sandbox cloud: merge, replace, labels, clones, and the defects of other modules."""

from __future__ import annotations

from typing import Any

import pytest

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
