# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles of OneFlow services: scaling, actions on their VMs, coming and going, hold."""

from __future__ import annotations

import json
from typing import Any

import pytest

from .conformance_client import RUNNING, Cloud
from .flow_parts import nodes, part, role, template

DEPLOYING, UP, SCALING, COOLDOWN = 1, 2, 8, 10


def test_scale(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    first = nodes(cloud.wait_service(service, UP))
    path = f"/service/{service}/scale"
    missing = cloud.flow("POST", path, {"role_name": "web", "cardinality": 5})
    assert missing.status == 500
    assert missing.json == {
        "message": "Internal server error",
        "reason": "unexpected token at '{ \"cardinality\" : 5,\n  \"force\" :  }'",
    }
    for wanted, name, text in (
        (1, "nope", "Role nope not found"), (1, "web", "Cardinality of web is already at 1"),
        (5, "web", f"Can't scale service {service}: Maximum cardinality is 3"),
        (0, "web", f"Can't scale service {service}: Minimum cardinality is 1"),
    ):  # fmt: skip
        answer = cloud.flow("POST", path, {"role_name": name, "cardinality": wanted, "force": False})
        assert (answer.status, answer.text) == (500, text)
    assert cloud.flow("POST", path, {"role_name": "web", "cardinality": 2, "force": False}).status == 204
    states: list[int] = []

    def running_again() -> bool:
        states.append(cloud.service_body(service)["state"])
        return states[-1] == UP

    cloud.until(running_again, "RUNNING after scaling")
    assert set(states) == {SCALING, COOLDOWN, UP}
    body = cloud.service_body(service)
    grown = nodes(body)
    assert grown[:1] == first
    assert len(grown) == 2
    assert part(body, "web")["cardinality"] == 2
    assert "Role web scaling up from 1 to 2 nodes" in [entry["message"] for entry in body["log"]]
    assert cloud.flow("POST", path, {"role_name": "web", "cardinality": 1, "force": False}).status == 204
    cloud.until(lambda: cloud.service_body(service)["state"] == UP, "RUNNING after scaling down")
    assert nodes(cloud.service_body(service)) == grown[1:], "the oldest VM goes first"
    cloud.wait_vm(first[0], ("6", "0"))


def test_scale_beyond_bounds_by_force(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground, max_vms=1)))
    cloud.wait_service(service, UP)
    answer = cloud.flow("POST", f"/service/{service}/scale", {"role_name": "web", "cardinality": 2, "force": True})
    assert answer.status == 204
    cloud.until(lambda: len(nodes(cloud.service_body(service))) == 2, "second VM")


def test_roles_come_and_go(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    cloud.wait_service(service, UP)
    path = f"/service/{service}/role_action"
    add = {"action": {"perform": "add_role", "params": {"role": role(ground, "extra")}}}
    assert cloud.flow("POST", path, add).status == 204
    body = cloud.wait_service(service, UP)
    (vm,) = nodes(body, "extra")
    taken = cloud.flow("POST", path, add)
    assert (taken.status, taken.text) == (500, "Role extra already exists")
    remove = {"action": {"perform": "remove_role", "params": {"role": "extra"}}}
    assert cloud.flow("POST", path, remove).status == 204
    cloud.until(lambda: [item["name"] for item in cloud.service_body(service)["roles"]] == ["web"], "role gone")
    cloud.wait_vm(vm, ("6", "0"))
    missing = cloud.flow("POST", path, remove)
    assert missing.text in ("Role extra does not exist", "Cannot modify roles in state: UNDEPLOYING")


def test_scheduled_action(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    (vm,) = nodes(cloud.wait_service(service, UP))
    answer = cloud.perform(f"/service/{service}", "poweroff", {"period": 0, "number": 0})
    assert answer.status == 204
    cloud.wait_vm(vm, ("8", "0"))


def test_action_on_a_role(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground), role(ground, "other")))
    body = cloud.wait_service(service, UP)
    path = f"/service/{service}/role"
    (mine,), (other,) = nodes(body), nodes(body, "other")
    action = {"action": {"perform": "poweroff", "params": {"period": 0, "number": 0}}}
    assert cloud.flow("POST", f"{path}/web/action", action).status == 204
    cloud.wait_vm(mine, ("8", "0"))
    assert cloud.vm_state(other) == RUNNING
    resume = {"action": {"perform": "resume", "params": {"period": 0, "number": 0}}}
    assert cloud.flow("POST", f"{path}/web/action", resume).status == 204
    cloud.wait_vm(mine, RUNNING)
    cloud.wait_service(service, UP)


@pytest.mark.not_observed
def test_action_on_a_role_that_does_not_exist(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    cloud.wait_service(service, UP)
    action = {"action": {"perform": "poweroff", "params": {"period": 0, "number": 0}}}
    answer = cloud.flow("POST", f"/service/{service}/role/nope/action", action)
    assert (answer.status, answer.text) == (500, "Role 'nope' not found")


@pytest.mark.not_observed
def test_an_action_that_vms_refuse_is_no_error(cloud: Cloud, ground: dict[str, Any]) -> None:
    """What was not scheduled, and what came to nothing, is not in the answer."""
    service = cloud.service(template(cloud, role(ground)))
    (vm,) = nodes(cloud.wait_service(service, UP))
    cloud.ok("one.vm.lock", vm, 4, False)
    cloud.undo(lambda: cloud.ok("one.vm.unlock", vm))
    action = {"action": {"perform": "poweroff", "params": {"period": 0, "number": 0}}}
    assert cloud.flow("POST", f"/service/{service}/role/web/action", action).status == 204
    assert cloud.vm_state(vm) == RUNNING


@pytest.mark.not_observed
def test_hold_and_release(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground), on_hold=True))
    body = cloud.wait_service(service, 15)
    cloud.until(lambda: part(cloud.service_body(service), "web")["state"] == 11, "role in HOLD")
    assert cloud.vm_state(nodes(body)[0]) == ("2", "0")
    assert cloud.perform(f"/service/{service}", "release").status == 204
    cloud.wait_service(service, UP)
    again = cloud.perform(f"/service/{service}", "release")
    assert (again.status, again.text) == (500, "Service has no roles in HOLD")


@pytest.mark.not_observed
def test_a_role_on_hold_beside_one_that_runs(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground, on_hold=True), role(ground, "free")))

    def states() -> dict[str, int]:
        return {item["name"]: item["state"] for item in cloud.service_body(service)["roles"]}

    cloud.until(lambda: states() == {"web": 11, "free": UP}, "one role on hold and one running")
    assert cloud.service_body(service)["state"] == DEPLOYING
    assert cloud.perform(f"/service/{service}", "release").status == 204
    cloud.wait_service(service, UP)


@pytest.mark.not_observed
def test_another_body_of_a_living_service(cloud: Cloud, ground: dict[str, Any]) -> None:
    """Bounds and policies of roles may change; what OneFlow keeps of the service itself may not."""
    service = cloud.service(template(cloud, role(ground)))
    cloud.wait_service(service, UP)
    body = cloud.service_body(service)
    web = part(body, "web")
    policy = {"type": "CHANGE", "adjust": 1, "expression": "CPU > 80"}
    web.update(min_vms=0, max_vms=4, cooldown=7, elasticity_policies=[policy])
    assert cloud.flow("PUT", f"/service/{service}", body).status == 204
    found = part(cloud.service_body(service), "web")
    assert (found["min_vms"], found["max_vms"], found["cooldown"]) == (0, 4, 7)
    assert found["elasticity_policies"][0].items() >= policy.items() and found["nodes"] == web["nodes"]
    web["max_vms"] = 0
    refused = cloud.flow("PUT", f"/service/{service}", body)
    assert refused.status == 400
    assert refused.text == "Role 'web' 'cardinality' must be lower than or equal to 'max_vms'"
    web.update(max_vms=4, nodes=[])
    refused = cloud.flow("PUT", f"/service/{service}", body)
    assert (refused.status, refused.text) == (500, "Immutable value: `role/nodes` can not be changed")


@pytest.mark.not_observed
def test_scheduled_policy_is_kept(cloud: Cloud, ground: dict[str, Any]) -> None:
    policy = {"type": "CARDINALITY", "adjust": 2, "recurrence": "0 9 * * mon-fri"}
    service = cloud.service(template(cloud, role(ground, scheduled_policies=[policy])))
    found = part(cloud.wait_service(service, UP), "web")["scheduled_policies"][0]
    assert {key: found[key] for key in policy} == policy
    assert json.dumps(found)
