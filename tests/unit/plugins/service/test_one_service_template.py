# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module one_service_template on the sandbox cloud."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from flow_cloud import Cloud

MODULE = "one_service_template"


def body(cloud: Cloud, name: str) -> dict[str, Any]:
    cloud.vm_template(f"{name}-vm")
    return {
        "deployment": "straight",
        "ready_status_gate": True,
        "networks": {"Private": "private"},
        "user_inputs": {"ROUNDS": "O|number|rounds||3"},
        "roles": [
            {"name": "superlink", "template": f"{name}-vm", "cardinality": 1, "min_vms": 1, "max_vms": 1,
             "template_contents": {"NIC": [{"NETWORK_ID": "$Private"}], "memory": 96}},
            {"name": "supernode", "template": f"{name}-vm", "cardinality": "2", "min_vms": 1, "max_vms": 4,
             "parents": ["superlink"]},
        ],
    }  # fmt: skip


def test_create_twice(cloud: Cloud) -> None:
    name = cloud.name("t")
    asked = body(cloud, name)
    result, writes = cloud.writes(MODULE, name=name, template=asked, mark="fed")
    assert result["changed"] and writes == 1
    assert result["steps"] == [f"create service template {name}"]
    made = result["service_template"]
    assert made["mark"] == "fed" and made["permissions"] == "600" and made["owner"]["name"] == "oneadmin"
    stored = made["template"]
    assert stored["networks"] == {"Private": "M|network|Private||id:0"}
    assert stored["roles"][0]["template_contents"] == {"NIC": [{"NETWORK_ID": "$Private"}], "MEMORY": "96"}
    assert isinstance(stored["roles"][0]["template_id"], int) and stored["roles"][1]["cardinality"] == 2
    assert result["diff"]["before"] == {} and result["diff"]["after"]["name"] == name

    result, writes = cloud.writes(MODULE, name=name, template=asked, mark="fed")
    assert not result["changed"] and writes == 0
    assert result["service_template"] == made


def test_check_mode_predicts_and_writes_nothing(cloud: Cloud) -> None:
    name = cloud.name("t")
    asked = body(cloud, name)
    predicted, writes = cloud.writes(MODULE, check=True, name=name, template=asked)
    assert predicted["changed"] and writes == 0
    assert cloud.ok("one_service_template_info", name=name)["service_templates"] == []
    real = cloud.ok(MODULE, name=name, template=asked)
    assert predicted["diff"]["after"]["template"] == real["diff"]["after"]["template"]

    changed = copy.deepcopy(asked)
    changed["roles"][1]["max_vms"] = 6
    predicted, writes = cloud.writes(MODULE, check=True, name=name, template=changed, permissions="640")
    assert predicted["changed"] and writes == 0
    real = cloud.ok(MODULE, name=name, template=changed, permissions="640")
    assert predicted["diff"] == real["diff"]
    assert real["diff"]["before"]["template"]["roles"]["supernode"]["max_vms"] == 4
    assert real["diff"]["after"]["template"]["roles"]["supernode"]["max_vms"] == 6

    predicted, writes = cloud.writes(MODULE, check=True, name=name, state="absent")
    assert predicted["changed"] and writes == 0
    assert cloud.ok(MODULE, name=name, state="absent")["changed"]


def test_the_template_is_the_whole_template(cloud: Cloud) -> None:
    name = cloud.name("t")
    asked = body(cloud, name)
    number = cloud.ok(MODULE, name=name, template=asked, mark="fed")["service_template"]["id"]
    smaller = {"deployment": "straight", "roles": asked["roles"][:1]}
    result, writes = cloud.writes(MODULE, name=name, template=smaller)
    assert result["changed"] and writes == 1
    stored = result["service_template"]
    assert stored["id"] == number and stored["mark"] == "fed"
    assert len(stored["template"]["roles"]) == 1 and "networks" not in stored["template"]
    assert not cloud.ok(MODULE, name=name, template=smaller)["changed"]


def test_without_a_template_the_content_stays(cloud: Cloud) -> None:
    name = cloud.name("t")
    first = cloud.ok(MODULE, name=name, template=body(cloud, name))["service_template"]
    result, writes = cloud.writes(MODULE, name=name, permissions="644")
    assert result["changed"] and writes == 1
    assert result["service_template"] == {**first, "permissions": "644"}
    assert not cloud.ok(MODULE, name=name, permissions="644")["changed"]


def test_permissions_at_creation(cloud: Cloud) -> None:
    name = cloud.name("t")
    result = cloud.ok(MODULE, name=name, template=body(cloud, name), permissions="660")
    assert result["service_template"]["permissions"] == "660"


def test_a_change_that_the_server_only_pretends_to_make_fails(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """OneFlow answers 204 to chmod and rename whatever happened; here nothing happens at all."""
    name = cloud.name("t")
    cloud.ok(MODULE, name=name, template=body(cloud, name))
    path = "ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow.OneFlow.template_action"
    monkeypatch.setattr(path, lambda *_args: None)
    assert "stayed 600 instead of 640" in cloud.fails(MODULE, name=name, permissions="640")
    assert f"is still named {name}" in cloud.fails(MODULE, name=name, new_name=f"{name}-new")


def test_rename_changes_both_names(cloud: Cloud) -> None:
    name = cloud.name("t")
    made = cloud.ok(MODULE, name=name, template=body(cloud, name))["service_template"]
    result = cloud.ok(MODULE, name=name, new_name=f"{name}-new")
    assert result["changed"] and result["service_template"]["id"] == made["id"]
    document = cloud.flow.template(made["id"])
    assert document["NAME"] == document["TEMPLATE"]["BODY"]["name"] == f"{name}-new"
    again, writes = cloud.writes(MODULE, name=name, new_name=f"{name}-new")
    assert not again["changed"] and writes == 0


def test_id_zero_is_an_id(cloud: Cloud) -> None:
    """Documents are counted from 0, and the cloud of the tests begins with this one."""
    assert cloud.ok(MODULE, id=0)["service_template"]["name"] == "zero"
    assert cloud.ok(MODULE, id=0, template={"description": "none", "roles": []})["service_template"]["id"] == 0
    assert "9999" in cloud.fails(MODULE, id=9999)
    assert not cloud.ok(MODULE, id=9999, state="absent")["changed"]


def test_names_that_mean_several(cloud: Cloud) -> None:
    name = cloud.name("t")
    ids = [int(cloud.flow.create_template({"name": name, "roles": []})["ID"]) for _turn in range(2)]
    for params in ({"state": "absent"}, {"template": {"roles": []}}):
        text = cloud.fails(MODULE, name=name, **params)
        assert "not unique" in text and all(f"id {number} of oneadmin" in text for number in ids)
    cloud.ok(MODULE, id=ids[0], state="absent")
    assert cloud.ok(MODULE, name=name, state="absent")["changed"]


def test_what_is_not_ours_is_left_alone(cloud: Cloud) -> None:
    name = cloud.name("t")
    cloud.ok(MODULE, name=name, template=body(cloud, name), mark="theirs")
    for params in ({"state": "absent"}, {"permissions": "777"}, {"template": {"roles": []}}):
        text = cloud.fails(MODULE, name=name, mark="ours", **params)
        assert "not marked as belonging to federation ours: it belongs to federation theirs" in text
    number = cloud.ok("one_service_template_info", name=name)["service_templates"][0]["id"]
    assert "theirs" in cloud.fails(MODULE, id=number, mark="ours", state="absent")
    assert cloud.ok(MODULE, name=name, mark="theirs", state="absent")["changed"]


def test_a_template_in_the_keys_of_6_x(cloud: Cloud) -> None:
    name = cloud.name("t")
    number = cloud.vm_template(f"{name}-vm")
    asked = {
        "custom_attrs": {"A": "O|text|a||x"},
        "roles": [{"name": "a", "vm_template": number, "vm_template_contents": 'MEMORY="65"\nNIC=[NETWORK="private"]'}],
    }
    result = cloud.ok(MODULE, name=name, template=asked)
    stored = result["service_template"]["template"]
    assert stored["roles"][0]["template_id"] == number and "vm_template" not in stored["roles"][0]
    assert stored["user_inputs"] == {"A": "O|text|a||x"}
    again, writes = cloud.writes(MODULE, name=name, template=asked)
    assert not again["changed"] and writes == 0


def test_requests_of_a_run_that_changes_nothing(cloud: Cloud) -> None:
    name = cloud.name("t")
    asked = body(cloud, name)
    cloud.ok(MODULE, name=name, template=asked)
    cloud.sandbox.calls.reset()
    cloud.ok(MODULE, name=name, template=asked)
    # The pool of service templates, and those of VM templates and networks for the two names.
    assert cloud.sandbox.calls.total == 3


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"template": {"roles": [{"name": "a", "template": "no such"}]}}, "VM template no such does not exist"),
        ({"template": {"roles": [], "networks": {"N": "no such"}}}, "virtual network no such does not exist"),
        ({"template": {"roles": [], "deployment": "foo"}}, "must be one of none, straight"),
        ({"template": {"roles": [{"name": "a b", "template_id": 0}]}}, "must match regexp"),
        ({}, "give template so that it can be made"),
        ({"permissions": "0640", "template": {"roles": []}}, "three octal digits"),
    ],
)
def test_what_cannot_be_is_said(cloud: Cloud, params: dict[str, Any], sentence: str) -> None:
    assert sentence in cloud.fails(MODULE, name=cloud.name("t"), **params)


def test_info_by_name_id_and_mark(cloud: Cloud) -> None:
    one, two = cloud.name("i"), cloud.name("i")
    ids = [
        cloud.ok(MODULE, name=name, template={"roles": []}, mark="info")["service_template"]["id"]
        for name in (one, two)
    ]
    info = "one_service_template_info"
    assert [item["id"] for item in cloud.ok(info, mark="info")["service_templates"]] == ids
    assert [item["name"] for item in cloud.ok(info, id=ids[1])["service_templates"]] == [two]
    assert cloud.ok(info, id=ids[1], mark="other")["service_templates"] == []
    assert cloud.ok(info, id=9999)["service_templates"] == []
    assert len(cloud.ok(info)["service_templates"]) >= 2
