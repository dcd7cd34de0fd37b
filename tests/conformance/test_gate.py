# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneGate, asked in the name of VMs of a service."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from .conformance_client import RUNNING, Cloud

JSON = "application/json;charset=utf-8"


@pytest.fixture(scope="module")
def service(endpoint: Cloud, ground: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A running service of one parent and one child, and a VM outside of it."""
    cloud = endpoint.fresh()
    role = {"type": "vm", "cardinality": 1, "template_id": ground["template"], "max_vms": 3, "cooldown": 0}
    try:
        template = cloud.service_template(
            {"name": cloud.name(), "deployment": "straight", "roles": [
                {**role, "name": "parent"}, {**role, "name": "child", "parents": ["parent"]}]}
        )  # fmt: skip
        number = cloud.service(template)
        body = cloud.wait_service(number, 2)
        parent, child = (item["nodes"][0]["deploy_id"] for item in body["roles"])
        lonely = cloud.instantiate(ground["template"])
        cloud.wait_vm(lonely, RUNNING)
        yield {"id": number, "name": body["name"], "parent": parent, "child": child, "lonely": lonely}
    finally:
        cloud.clean()


def test_root(cloud: Cloud, service: dict[str, Any]) -> None:
    answer = cloud.gate("GET", "/", service["parent"])
    assert (answer.status, answer.type) == (200, JSON)
    assert answer.json == {"vm_info": f"{cloud.onegate}/vm", "service_info": f"{cloud.onegate}/service"}


def test_not_authorized(cloud: Cloud, service: dict[str, Any]) -> None:
    parent, child = service["parent"], service["child"]
    for answer in (
        cloud.gate("GET", "/", None), cloud.gate("GET", "/vm", parent, token="bad"),
        cloud.gate("GET", "/vm", child, token=cloud.token(parent)),
    ):  # fmt: skip
        assert (answer.status, answer.type, answer.text) == (401, JSON, "Not authorized")


def test_own_vm(cloud: Cloud, service: dict[str, Any]) -> None:
    answer = cloud.gate("GET", "/vm", service["parent"])
    assert (answer.status, answer.type) == (200, JSON)
    vm = answer.json["VM"]
    assert set(vm) == {"NAME", "ID", "STATE", "LCM_STATE", "USER_TEMPLATE", "TEMPLATE"}
    assert (vm["ID"], vm["STATE"], vm["LCM_STATE"]) == (str(service["parent"]), "3", "3")
    assert vm["NAME"] == f"parent_0_(service_{service['id']})"
    assert vm["USER_TEMPLATE"]["SERVICE_ID"] == str(service["id"])
    assert vm["USER_TEMPLATE"]["ROLE_NAME"] == "parent"
    assert set(vm["TEMPLATE"]) == {"NIC", "NIC_ALIAS"}
    assert set(vm["TEMPLATE"]["NIC"][0]) == {"IP", "MAC", "NAME", "NETWORK"}


def test_update(cloud: Cloud, service: dict[str, Any]) -> None:
    parent = service["parent"]

    def attribute(name: str) -> str | None:
        return cloud.xml("one.vm.info", parent).findtext(f"USER_TEMPLATE/{name}")

    for text in ("FOO=hello world", 'BAR="z"\nBAZ=1', "B64=YWI=\n"):
        answer = cloud.gate("PUT", "/vm", parent, text)
        assert (answer.status, answer.type, answer.text) == (200, JSON, "")
    assert (attribute("FOO"), attribute("BAR"), attribute("BAZ"), attribute("B64")) == ("hello world", "z", "1", "YWI=")
    assert cloud.gate("PUT", "/vm?type=2", parent, "FOO").status == 200
    assert attribute("FOO") is None
    assert attribute("BAR") == "z"
    missing = cloud.gate("PUT", "/vm?type=2", parent, "NOPE")
    assert (missing.status, missing.text) == (500, "Internal server error")
    denied = cloud.gate("PUT", "/vm", parent, "SERVICE_ID=9")
    assert (denied.status, denied.text) == (403, "Attribute (SERVICE_ID) cannot be modified")


@pytest.mark.not_observed
def test_restricted_delete(cloud: Cloud, service: dict[str, Any]) -> None:
    denied = cloud.gate("PUT", "/vm?type=2", service["parent"], "ROLE_NAME")
    assert (denied.status, denied.text) == (403, "Attribute (ROLE_NAME) cannot be deleted")


def test_other_vms(cloud: Cloud, service: dict[str, Any]) -> None:
    parent, child = service["parent"], service["child"]
    assert cloud.gate("GET", f"/vms/{child}", parent).json["VM"]["ID"] == str(child)
    assert cloud.gate("PUT", f"/vms/{child}", parent, "FL_PARTITION_ID=0").status == 200
    assert cloud.xml("one.vm.info", child).findtext("USER_TEMPLATE/FL_PARTITION_ID") == "0"
    foreign = cloud.gate("GET", f"/vms/{service['lonely']}", parent)
    assert (foreign.status, foreign.type) == (400, JSON)
    assert foreign.text == f"Service {service['id']} does not contain VM {service['lonely']}."


@pytest.mark.not_observed
def test_a_vm_without_service(cloud: Cloud, service: dict[str, Any]) -> None:
    answer = cloud.gate("GET", "/service", service["lonely"])
    assert (answer.status, answer.text) == (400, "Empty or invalid SERVICE_ID")
    other = cloud.gate("GET", f"/vms/{service['parent']}", service["lonely"])
    assert other.status == 400
    assert other.text.startswith("This VM does not belong to any Virtual Router or Service")


def test_service(cloud: Cloud, service: dict[str, Any]) -> None:
    answer = cloud.gate("GET", "/service", service["parent"])
    assert (answer.status, answer.type) == (200, JSON)
    found = answer.json["SERVICE"]
    assert (found["name"], found["id"], found["state"]) == (service["name"], str(service["id"]), 2)
    parent, child = found["roles"]
    assert (parent["name"], parent["cardinality"], parent["state"]) == ("parent", 1, 2)
    node = child["nodes"][0]
    assert (node["deploy_id"], node["running"]) == (service["child"], None)
    assert set(node["vm_info"]["VM"]) == {"ID", "UID", "GID", "UNAME", "GNAME", "NAME"}


def test_extended_service(cloud: Cloud, service: dict[str, Any]) -> None:
    cloud.ok("one.vm.update", service["child"], 'FL_NODE_PUBKEY="k"', 1)
    found = cloud.gate("GET", "/service?extended=true", service["parent"]).json["SERVICE"]
    vm = found["roles"][1]["nodes"][0]["vm_info"]["VM"]
    assert vm["USER_TEMPLATE"]["FL_NODE_PUBKEY"] == "k"
    assert (vm["STATE"], vm["LCM_STATE"]) == ("3", "3")
    assert vm["TEMPLATE"]["NIC"]["IP"] == vm["TEMPLATE"]["CONTEXT"]["ETH0_IP"]


def test_scale(cloud: Cloud, service: dict[str, Any]) -> None:
    wrong = cloud.gate("PUT", "/service/role/zzz", service["parent"], {"cardinality": 2})
    assert (wrong.status, wrong.type) == (400, JSON)
    assert wrong.text == f"Error performing action on service {service['id']} role zzz"
    answer = cloud.gate("PUT", "/service/role/child", service["parent"], {"cardinality": 2})
    assert (answer.status, answer.type, answer.text) == (200, JSON, "")
    cloud.until(lambda: cloud.service_body(service["id"])["state"] == 2, "RUNNING again")
    assert len(cloud.service_body(service["id"])["roles"][1]["nodes"]) == 2


def test_actions(cloud: Cloud, service: dict[str, Any]) -> None:
    path = f"/vms/{service['child']}/action"
    wrong = cloud.gate("POST", path, service["parent"], {"action": {"perform": "hold"}})
    assert (wrong.status, wrong.text) == (500, "Internal server error")


@pytest.mark.not_observed
def test_rename_through_onegate(cloud: Cloud, service: dict[str, Any]) -> None:
    path = f"/vms/{service['child']}/action"
    answer = cloud.gate("POST", path, service["parent"], {"action": {"perform": "rename", "params": cloud.name()}})
    assert (answer.status, answer.text) == (204, "")
    denied = cloud.gate("POST", path, service["parent"], {"action": {"perform": "reboot"}})
    assert (denied.status, denied.text) == (403, "Action (reboot) is not allowed on this resource")


def test_what_is_not_there(cloud: Cloud, service: dict[str, Any]) -> None:
    for path, text in (
        ("/vrouter", "Empty or invalid VROUTER_ID"),
        ("/vnet/0", "Virtual networks information can only be retrieved from Virtual Routers."),
        ("/foo", "OneGate server doesn't support this feature"),
    ):
        answer = cloud.gate("GET", path, service["parent"])
        assert (answer.status, answer.type, answer.text) == (400, JSON, text)
