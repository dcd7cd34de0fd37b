# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow services: life cycle, gate, owners, recovery."""

from __future__ import annotations

from typing import Any

import pytest

from .conformance_client import RUNNING, Cloud
from .flow_parts import nodes, part, role, template

UNDEPLOYING, WARNING, DEPLOYING, UP = 3, 4, 1, 2
FAILED_DEPLOYING = 7


def test_gate_and_parents(cloud: Cloud, ground: dict[str, Any]) -> None:
    """Parent first, READY needed, refusals on the way, then all in reverse."""
    service_template = template(
        cloud, role(ground, "parent"), role(ground, "child", cardinality=2, parents=["parent"]), ready_status_gate=True
    )
    name = cloud.name()
    answer = cloud.perform(f"/service_template/{service_template}", "instantiate", {"merge_template": {"name": name}})
    assert (answer.status, answer.type) == (201, "text/html;charset=utf-8")
    service = answer.id
    cloud.undo(lambda: cloud.end_service(service))
    assert answer.json["DOCUMENT"]["NAME"] == answer.body["name"] == name
    assert answer.json["DOCUMENT"]["TYPE"] == "100"
    assert answer.body["state"] == 0
    assert [item["state"] for item in answer.body["roles"]] == [0, 0]
    assert isinstance(answer.body["start_time"], int)
    body = cloud.wait_service(service, DEPLOYING)
    (parent,) = nodes(body, "parent")
    cloud.wait_vm(parent, RUNNING)
    body = cloud.service_body(service)
    assert [item["state"] for item in body["roles"]] == [1, 0]
    assert nodes(body, "child") == []
    path = f"/service/{service}"
    for method, where, text, error in (
        ("POST", f"{path}/scale", {"role_name": "child", "cardinality": 3}, "scaled"),
        ("DELETE", path, None, "undeployed"),
        ("PUT", path, {"append": True, "template": '{"description":"zz"}'}, "updated"),
    ):
        refused = cloud.flow(method, where, text)
        assert (refused.status, refused.text) == (500, f"Service cannot be {error} in state: DEPLOYING")
    vm = cloud.xml("one.vm.info", parent)
    assert vm.findtext("NAME") == f"parent_0_(service_{service})"
    assert vm.findtext("USER_TEMPLATE/SERVICE_ID") == str(service)
    assert vm.findtext("USER_TEMPLATE/ROLE_NAME") == "parent"
    assert vm.findtext("TEMPLATE/CONTEXT/FOO") == "a b"
    cloud.ok("one.vm.update", parent, "READY=YES", 1)
    cloud.until(lambda: len(nodes(cloud.service_body(service), "child")) == 2, "children created")
    assert cloud.service_body(service)["state"] == DEPLOYING
    for child in nodes(cloud.service_body(service), "child"):
        cloud.ok("one.vm.update", child, "READY=YES", 1)
    body = cloud.wait_service(service, UP)
    node = part(body, "parent")["nodes"][0]
    assert node["deploy_id"] == parent
    assert node["vm_info"]["VM"]["ID"] == str(parent)
    assert set(node["vm_info"]["VM"]) == {"ID", "UID", "GID", "UNAME", "GNAME", "NAME"}
    assert part(body, "child")["last_vmname"] == 2
    assert part(body, "child")["on_hold"] is False
    messages = [entry["message"] for entry in body["log"]]
    assert messages == [f"New state: {state}" for state in ("DEPLOYING_NETS", "DEPLOYING", "RUNNING")]
    assert {entry["severity"] for entry in body["log"]} == {"I"}
    assert cloud.flow("DELETE", path).status == 204
    children = nodes(body, "child")
    seen: list[tuple[str, str]] = []
    cloud.until(lambda: _gone(cloud, service, seen), "service gone")
    assert all(cloud.vm_state(vm_id)[0] == "6" for vm_id in (parent, *children))
    assert ("child", "parent") in seen, "the child ends before its parent"
    gone = cloud.flow("GET", path)
    assert (gone.status, gone.text) == (404, f"[one.document.info] Error getting document [{service}].")
    assert cloud.flow("DELETE", path).status == 404


def _gone(cloud: Cloud, service: int, seen: list[tuple[str, str]]) -> bool:
    answer = cloud.flow("GET", f"/service/{service}")
    if answer.status == 404:
        return True
    states = {item["name"]: item["state"] for item in answer.body["roles"]}
    if states["child"] in (UNDEPLOYING, 5) and states["parent"] in (UP, UNDEPLOYING):
        seen.append(("child", "parent"))
    assert not (states["parent"] == UNDEPLOYING and states["child"] not in (5, 3)), states
    return False


def test_warning(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    (vm,) = nodes(cloud.wait_service(service, UP))
    cloud.ok("one.vm.action", "poweroff-hard", vm)
    body = cloud.wait_service(service, WARNING)
    assert part(body, "web")["state"] == WARNING
    for action, params in (("remove_role", {"role": "web"}), ("add_role", {"role": role(ground, "x")})):
        body = {"action": {"perform": action, "params": params}}
        answer = cloud.flow("POST", f"/service/{service}/role_action", body)
        assert (answer.status, answer.text) == (500, "Cannot modify roles in state: WARNING")
    cloud.ok("one.vm.action", "resume", vm)
    cloud.wait_service(service, UP)


def test_a_vm_ended_elsewhere(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground, cardinality=2)))
    first, second = nodes(cloud.wait_service(service, UP))
    cloud.ok("one.vm.action", "terminate-hard", first)
    cloud.until(lambda: nodes(cloud.service_body(service)) == [second], "role without the VM")
    body = cloud.service_body(service)
    assert (part(body, "web")["cardinality"], body["state"]) == (1, UP)


def test_actions(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    cloud.wait_service(service, UP)
    path = f"/service/{service}"
    fresh = cloud.name()
    assert cloud.perform(path, "rename", {"name": fresh}).status == 204
    assert cloud.perform(path, "chmod", {"octet": "640"}).status == 204
    document = cloud.flow("GET", path).json["DOCUMENT"]
    assert document["NAME"] == fresh
    assert (document["PERMISSIONS"]["GROUP_U"], document["PERMISSIONS"]["GROUP_M"]) == ("1", "0")
    refused = cloud.perform(path, "recover")
    assert (refused.status, refused.text) == (500, "Service cannot be recovered in state: RUNNING")
    unknown = cloud.perform(path, "bogus")
    assert (unknown.status, unknown.text) == (500, "Action bogus not supported")
    assert cloud.flow("PUT", path, {"append": True, "template": '{"description":"zz"}'}).status == 204
    assert cloud.service_body(service)["description"] == "zz"
    fixed = cloud.flow("PUT", path, {"append": True, "template": '{"name":"zz"}'})
    assert (fixed.status, fixed.text) == (500, "Immutable value: `service/name` can not be changed")
    wrong = cloud.flow("GET", "/service/99999")
    assert (wrong.status, wrong.text) == (404, "[one.document.info] Error getting document [99999].")


@pytest.mark.not_observed
def test_owner_and_group_of_a_service_and_its_vms(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    (vm,) = nodes(cloud.wait_service(service, UP))
    path = f"/service/{service}"
    assert cloud.perform(path, "chown", {"owner_id": -1, "group_id": 1}).status == 204
    document = cloud.flow("GET", path).json["DOCUMENT"]
    assert (document["UID"], document["GID"]) == ("0", "1")
    assert cloud.xml("one.vm.info", vm).findtext("GID") == "1"
    missing = cloud.perform(path, "chown", {})
    assert (missing.status, missing.text) == (500, "Action chown: You have to specify a UID")
    wrong = cloud.perform(path, "chown", {"owner_id": 99999, "group_id": -1})
    assert wrong.status == 404 and "Error getting user [99999]." in wrong.text


@pytest.mark.not_observed
def test_a_second_removal_forgets_the_rest(cloud: Cloud, ground: dict[str, Any]) -> None:
    """While the child goes nothing else can be shut down, so OneFlow takes the service for finished."""
    service = cloud.service(template(cloud, role(ground, "parent"), role(ground, "child", parents=["parent"])))
    (parent,) = nodes(cloud.wait_service(service, UP), "parent")
    assert cloud.flow("DELETE", f"/service/{service}").status == 204
    again = cloud.flow("DELETE", f"/service/{service}")
    assert again.status in (204, 404)
    cloud.wait_gone(service)
    if again.status == 204:
        assert cloud.vm_state(parent)[0] == "3", "its VM is left alone"
    cloud.end(parent)


def test_user_inputs_and_networks(cloud: Cloud, ground: dict[str, Any]) -> None:
    service_template = template(
        cloud, role(ground, template_contents={"NIC": [{"NAME": "NIC_0", "NETWORK_ID": "$Private"}]}),
        user_inputs={"MYV": "M|text|a value| |"}, networks={"Private": f"M|network|net||id:{ground['vnet']}"},
    )  # fmt: skip
    path = f"/service_template/{service_template}"
    values = {"MYV": "hello"}
    for merge, text in (
        ({}, "The Service template specifies User Inputs but no values have been found"),
        ({"user_inputs_values": {"X": "y"}}, "Verify that every User Input have its corresponding value defined"),
        ({"user_inputs_values": values, "networks_values": ["x"]}, "Wrong networks_values format"),
        (
            {"user_inputs_values": values, "networks_values": [{"Other": {"id": "0"}}]},
            "Every network key must have its value defined at networks_value",
        ),
    ):
        answer = cloud.perform(path, "instantiate", {"merge_template": merge})
        assert (answer.status, answer.text) == (400, text)
    network = {"Private": {"id": str(ground["vnet"])}}
    service = cloud.service(service_template, {"user_inputs_values": values, "networks_values": [network]})
    body = cloud.wait_service(service, UP)
    assert body["networks_values"] == [network]
    assert part(body, "web")["template_contents"] == {
        "NIC": [{"NAME": "NIC_0", "NETWORK_ID": str(ground["vnet"])}], "CONTEXT": {"MYV": "$MYV"}, "MYV": "hello",
    }  # fmt: skip
    vm = cloud.xml("one.vm.info", nodes(body)[0])
    assert vm.findtext("USER_TEMPLATE/MYV") == "hello"
    assert vm.findtext("TEMPLATE/CONTEXT/MYV") == "hello"
    assert [item.text for item in vm.findall("TEMPLATE/NIC/NAME")] == ["NIC_0"]


@pytest.mark.not_observed
def test_merge_reaches_vms(cloud: Cloud, ground: dict[str, Any]) -> None:
    """template_contents is merged into the VM template's CONTEXT; unknown roles and keys do no harm."""
    service = cloud.service(
        template(cloud, role(ground), owner_mark="m"),
        {"roles": [{"name": "web", "cardinality": 2, "template_contents": {"MEMORY": "96", "CONTEXT": {"BAR": "b"}}},
                   {"name": "unknown", "cardinality": 9}]},
    )  # fmt: skip
    body = cloud.wait_service(service, UP)
    assert body["owner_mark"] == "m"
    assert [item["name"] for item in body["roles"]] == ["web"]
    assert len(nodes(body)) == 2
    vm = cloud.xml("one.vm.info", nodes(body)[1])
    assert vm.findtext("TEMPLATE/MEMORY") == "96"
    assert (vm.findtext("TEMPLATE/CONTEXT/FOO"), vm.findtext("TEMPLATE/CONTEXT/BAR")) == ("a b", "b")


def test_no_roles_run_at_once(cloud: Cloud) -> None:
    service = cloud.service(template(cloud))
    cloud.wait_service(service, UP)


def test_instantiate_errors(cloud: Cloud, ground: dict[str, Any]) -> None:
    answer = cloud.perform("/service_template/99999", "instantiate", {"merge_template": {}})
    assert (answer.status, answer.text) == (404, "[one.document.info] Error getting document [99999].")


@pytest.mark.not_observed
def test_bounds_at_instantiation(cloud: Cloud, ground: dict[str, Any]) -> None:
    service_template = template(cloud, role(ground))
    merge = {"roles": [{"name": "web", "cardinality": 9}]}
    answer = cloud.perform(f"/service_template/{service_template}", "instantiate", {"merge_template": merge})
    assert (answer.status, answer.text) == (500, "Role 'web' 'cardinality' must be lower than or equal to 'max_vms'")


@pytest.mark.not_observed
def test_failed_deployment_and_recovery(cloud: Cloud, ground: dict[str, Any]) -> None:
    """A role whose VM template is gone fails; recover with delete ends the service."""
    service = cloud.service(template(cloud, role(ground, template_id=99999)))
    body = cloud.wait_service(service, FAILED_DEPLOYING)
    assert part(body, "web")["state"] == FAILED_DEPLOYING
    errors = [entry["message"] for entry in body["log"] if entry["severity"] == "E"]
    assert any("Error getting virtual machine template [99999]." in text for text in errors)
    refused = cloud.flow("DELETE", f"/service/{service}")
    assert (refused.status, refused.text) == (500, "Service cannot be undeployed in state: FAILED_DEPLOYING")
    assert cloud.perform(f"/service/{service}", "recover", {"delete": True}).status == 204
    cloud.wait_gone(service)


def test_recover_deletes_while_deploying(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground), ready_status_gate=True))
    (vm,) = nodes(cloud.wait_service(service, DEPLOYING))
    assert cloud.perform(f"/service/{service}", "recover", {"delete": True}).status == 204
    cloud.wait_gone(service)
    cloud.wait_vm(vm, ("6", "0"))
