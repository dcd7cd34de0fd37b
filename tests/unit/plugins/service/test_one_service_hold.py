# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module one_service with services that begin on hold."""

from __future__ import annotations

from typing import Any

import pytest
from flow_cloud import Cloud

MODULE = "one_service"


def held(cloud: Cloud, *, service: bool = True, role: bool = False) -> str:
    """A service template of two roles, on hold as a whole or in its first role."""
    name = cloud.name("h")
    number = cloud.vm_template(f"{name}-vm")
    roles = [
        {"name": "first", "template_id": number, "cardinality": 1, "on_hold": role},
        {"name": "second", "template_id": number, "cardinality": 2, "parents": ["first"]},
    ]
    cloud.ok("one_service_template", name=name, template={
        "deployment": "straight", "on_hold": service, "roles": roles,
    })  # fmt: skip
    return name


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("wait_for", ["running", "vms"])
def test_hold_and_release(cloud: Cloud, whole: bool, wait_for: str) -> None:
    name = held(cloud, service=whole, role=not whole)
    result = cloud.ok(MODULE, name=name, template=name, wait_for=wait_for)
    service = result["service"]
    assert service["state"] == "HOLD" and service["on_hold"] is whole
    assert {role["state"] for role in service["roles"].values()} == {"HOLD"}
    assert {vm["state"] for vm in service["vms"]} == {"HOLD"} and result["hosts"] == []
    again, writes = cloud.writes(MODULE, name=name, template=name, wait_for=wait_for)
    assert not again["changed"] and writes == 0
    released = cloud.converge(MODULE, name=name, state="released", wait_for=wait_for)
    assert released["steps"] == [f"release service {name} (id {service['id']})"]
    assert (released["diff"]["before"]["state"], released["diff"]["after"]["state"]) == ("HOLD", "DEPLOYING")
    assert {vm["state"] for vm in released["service"]["vms"]} == {"RUNNING"} and len(released["hosts"]) == 3
    cloud.in_state(name, "RUNNING")
    assert not cloud.ok(MODULE, name=name, state="released")["changed"]


def test_released_right_after_the_start(cloud: Cloud) -> None:
    name = held(cloud)
    cloud.ok(MODULE, name=name, template=name, wait=False)
    assert cloud.ok(MODULE, name=name, state="released")["service"]["state"] == "RUNNING"


def test_what_cannot_be_released_or_scaled(cloud: Cloud) -> None:
    name = held(cloud)
    assert "nothing to release" in cloud.fails(MODULE, name=name, state="released")
    cloud.ok(MODULE, name=name, template=name)
    scaled: dict[str, Any] = {"roles": [{"name": "second", "cardinality": 3}]}
    assert "is on hold and cannot be scaled" in cloud.fails(MODULE, name=name, **scaled)
    assert cloud.ok(MODULE, name=name, description="held")["changed"]
    assert cloud.ok(MODULE, name=name, state="absent")["changed"]
    assert cloud.ok("one_service_info", name=name)["services"] == []


def test_one_role_on_hold_beside_one_that_runs(cloud: Cloud) -> None:
    name = cloud.name("h")
    number = cloud.vm_template(f"{name}-vm")
    roles = [
        {"name": "held", "template_id": number, "cardinality": 1, "on_hold": True},
        {"name": "free", "template_id": number, "cardinality": 1},
    ]
    cloud.ok("one_service_template", name=name, template={"roles": roles})
    service = cloud.ok(MODULE, name=name, template=name)["service"]
    assert {role: details["state"] for role, details in service["roles"].items()} == {"held": "HOLD", "free": "RUNNING"}
    assert service["state"] == "DEPLOYING"
    assert cloud.converge(MODULE, name=name, state="released")["service"]["state"] == "RUNNING"


def with_parents(cloud: Cloud, *roles: dict[str, Any]) -> str:
    """A straight service template of these roles."""
    name = cloud.name("h")
    number = cloud.vm_template(f"{name}-vm")
    whole = [{"template_id": number, "cardinality": 1, **role} for role in roles]
    cloud.ok("one_service_template", name=name, template={"deployment": "straight", "roles": whole})
    return name


def test_released_before_all_roles_are_there(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """OneFlow would forget the roles that it has not made yet, so they are waited for."""
    name = held(cloud)
    cloud.ok(MODULE, name=name, template=name)
    read = type(cloud.flow).services
    stale: list[int] = []

    def early(flow: Any) -> list[dict[str, Any]]:
        found = [dict(item) for item in read(flow)]
        for item in found:
            if item["NAME"] == name and not stale:
                stale.append(1)
                body = item["TEMPLATE"]["BODY"]
                body["roles"][1].update(state=0, nodes=[])
        return found

    monkeypatch.setattr(type(cloud.flow), "services", early)
    cloud.sandbox.calls.reset()
    result = cloud.ok(MODULE, name=name, state="released")
    assert result["service"]["state"] == "RUNNING" and stale
    assert cloud.sandbox.calls.by_method["GET /service/:id"] >= 2


def test_a_role_between_one_on_hold_and_one_that_runs(cloud: Cloud) -> None:
    """OneFlow makes such a role neither before the release nor after it, until it is recovered."""
    name = with_parents(
        cloud, {"name": "held", "on_hold": True}, {"name": "free"}, {"name": "child", "parents": ["held", "free"]},
        {"name": "grandchild", "parents": ["child"]},
    )  # fmt: skip
    service = cloud.ok(MODULE, name=name, template=name)["service"]
    assert {role: details["state"] for role, details in service["roles"].items()} == {
        "held": "HOLD", "free": "RUNNING", "child": "PENDING", "grandchild": "PENDING",
    }  # fmt: skip
    text = cloud.fails(MODULE, name=name, state="released")
    assert "DEPLOYING with role child PENDING although its parents run" in text and "state recovered" in text
    recovered = cloud.converge(MODULE, name=name, state="recovered")
    assert recovered["service"]["state"] == "RUNNING" and len(recovered["hosts"]) == 4


def test_roles_in_a_circle_are_no_end_of_the_world(cloud: Cloud) -> None:
    name = with_parents(
        cloud, {"name": "held", "on_hold": True}, {"name": "a", "parents": ["b"]}, {"name": "b", "parents": ["a"]}
    )
    text = cloud.fails(MODULE, name=name, template=name, wait_timeout=1)
    assert "took longer than 1 s" in text
