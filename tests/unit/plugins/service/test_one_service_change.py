# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module one_service on a service that lives: its name, description, owner, and the roles with their VMs."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.roles import refusals
from flow_cloud import Cloud

MODULE = "one_service"


@pytest.fixture
def service(cloud: Cloud) -> dict[str, Any]:
    """A running service of one superlink and two supernodes."""
    name = cloud.federation(cloud.name(), gate=False)
    found: dict[str, Any] = cloud.ok(MODULE, name=name, template=name)["service"]
    return found


def states(cloud: Cloud, name: str, role: str) -> set[str]:
    return {vm["state"] for vm in cloud.service(name)["vms"] if vm["role"] == role}


# -- name, description, owner ------------------------------------------------------------------------------------------


def test_rename(cloud: Cloud, service: dict[str, Any]) -> None:
    old, new = service["name"], cloud.name("new")
    result = cloud.converge(MODULE, name=old, new_name=new)
    assert result["steps"] == [f"rename service {old} (id {service['id']}) to {new}"]
    assert (result["service"]["id"], result["service"]["name"]) == (service["id"], new)
    assert cloud.ok("one_service_info", name=old)["services"] == []


def test_description(cloud: Cloud, service: dict[str, Any]) -> None:
    result = cloud.converge(MODULE, id=service["id"], description="two sites")
    assert result["service"]["description"] == "two sites"
    assert result["diff"]["before"]["description"] == "" and result["diff"]["after"]["description"] == "two sites"
    name = cloud.federation(cloud.name(), gate=False, nodes=1, description="of the template")
    started = cloud.ok(MODULE, name=name, template=name, description="its own")
    assert started["service"]["description"] == "its own"


def test_owner_and_group_go_with_the_vms(cloud: Cloud, service: dict[str, Any]) -> None:
    cloud.user("ann")
    result = cloud.converge(MODULE, name=service["name"], owner="ann", group="users", permissions="640")
    found = result["service"]
    assert (found["owner"]["name"], found["group"]["name"], found["permissions"]) == ("ann", "users", "640")
    assert {(vm["owner"]["name"], vm["group"]["name"]) for vm in found["vms"]} == {("ann", "users")}
    assert len(result["steps"]) == 2
    # A VM that is somebody else's is given away again.
    cloud.connection.call("one.vm.chown", found["vms"][0]["id"], 0, -1)
    assert cloud.converge(MODULE, id=found["id"], owner="ann")["changed"]


def test_owner_from_the_start(cloud: Cloud) -> None:
    cloud.user("ann")
    name = cloud.federation(cloud.name(), gate=False)
    result = cloud.ok(MODULE, name=name, template=name, owner="ann", permissions="640")
    assert result["steps"][1:] == [f"give service {name} to owner ann"]
    assert {vm["owner"]["name"] for vm in result["service"]["vms"]} == {"ann"}
    again, writes = cloud.writes(MODULE, name=name, owner="ann", permissions="640")
    assert not again["changed"] and writes == 0


def test_another_owners_service_is_used(cloud: Cloud) -> None:
    ann, ben = cloud.user("ann"), cloud.user("ben")
    name = cloud.name()
    cloud.ok("one_service_template", name=name, template={"roles": []}, permissions="644")
    first = cloud.ok(MODULE, name=name, template=name, permissions="644", **ann)["service"]
    again = cloud.ok(MODULE, name=name, template=name, **ben)
    assert not again["changed"] and again["service"]["id"] == first["id"]
    own = cloud.ok(MODULE, name=name, template=name, owner="ben", **ben)["service"]
    assert own["id"] != first["id"] and own["owner"]["name"] == "ben"
    assert "not unique" in cloud.fails(MODULE, name=name)
    assert cloud.ok(MODULE, name=name, owner="ann", state="absent")["changed"]
    assert cloud.ok(MODULE, name=name)["service"]["owner"]["name"] == "ben"


@pytest.mark.parametrize("params", [{"permissions": "640"}, {"new_name": "other"}, {"group": "oneadmin"}])
def test_what_the_server_did_not_do_fails(
    cloud: Cloud, service: dict[str, Any], params: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.ok(MODULE, id=service["id"], group="users")
    path = "ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow.OneFlow.service_action"
    monkeypatch.setattr(path, lambda *_args: None)
    text = cloud.fails(MODULE, id=service["id"], **params)
    assert "although OneFlow reported success" in text


def test_a_user_without_the_right_is_told_so(cloud: Cloud, service: dict[str, Any]) -> None:
    ben = cloud.user("ben")
    cloud.ok(MODULE, id=service["id"], permissions="644")
    assert "Not authorized to perform" in cloud.fails(MODULE, id=service["id"], permissions="666", **ben)


# -- states of roles ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "vm_state"),
    [("poweroff", "POWEROFF"), ("suspended", "SUSPENDED"), ("stopped", "STOPPED"), ("undeployed", "UNDEPLOYED")],
)
def test_states_of_a_role_and_back(cloud: Cloud, service: dict[str, Any], state: str, vm_state: str) -> None:
    name = service["name"]
    there = cloud.converge(MODULE, name=name, roles=[{"name": "supernode", "state": state}])
    assert there["steps"] == [f"bring role supernode of service {name} to {state}"]
    assert there["diff"]["before"]["roles"]["supernode"] == {"cardinality": 2, "state": "running"}
    assert there["diff"]["after"]["roles"]["supernode"] == {"cardinality": 2, "state": state}
    assert states(cloud, name, "supernode") == {vm_state} and states(cloud, name, "superlink") == {"RUNNING"}
    waits = cloud.ok(MODULE, name=name, roles=[{"name": "supernode", "state": state}], wait_for="vms")
    assert not waits["changed"] and len(waits["hosts"]) == 1
    back = cloud.converge(MODULE, name=name, roles=[{"name": "supernode", "state": "running"}])
    assert back["changed"] and states(cloud, name, "supernode") == {"RUNNING"}
    assert back["service"]["state"] == "RUNNING" and len(back["hosts"]) == 3


def test_a_role_that_is_half_there(cloud: Cloud, service: dict[str, Any]) -> None:
    name = service["name"]
    one, two = service["roles"]["supernode"]["vms"]
    cloud.connection.call("one.vm.action", "poweroff", one)
    cloud.in_state(name, "WARNING")
    result = cloud.converge(MODULE, name=name, roles=[{"name": "supernode", "state": "poweroff"}])
    assert result["diff"]["before"]["roles"]["supernode"]["state"] == "poweroff, running"
    assert states(cloud, name, "supernode") == {"POWEROFF"}
    text = cloud.fails(MODULE, name=name, roles=[{"name": "supernode", "state": "suspended"}])
    assert f"VM {one} is POWEROFF; VM {two} is POWEROFF" in text and "state running first" in text


def test_reboots_are_not_idempotent_and_need_running_vms(cloud: Cloud, service: dict[str, Any]) -> None:
    wish: dict[str, Any] = {"name": service["name"], "roles": [{"name": "superlink", "state": "rebooted"}]}
    for _turn in range(2):
        predicted, writes = cloud.writes(MODULE, check=True, **wish)
        assert predicted["changed"] and writes == 0
        result, writes = cloud.writes(MODULE, **wish)
        assert result["changed"] and writes == 1 and result["diff"] == predicted["diff"]
    assert states(cloud, service["name"], "superlink") == {"RUNNING"}
    cloud.ok(MODULE, name=service["name"], roles=[{"name": "superlink", "state": "poweroff"}])
    assert "is POWEROFF" in cloud.fails(MODULE, **wish)


def test_resuming_and_scaling_in_one_task(cloud: Cloud, service: dict[str, Any]) -> None:
    name = service["name"]
    cloud.ok(MODULE, name=name, roles=[{"name": "supernode", "state": "poweroff"}])
    result = cloud.converge(MODULE, name=name, roles=[{"name": "supernode", "state": "running", "cardinality": 3}])
    assert result["steps"] == [
        f"bring role supernode of service {name} to running", f"scale role supernode of service {name} from 2 to 3",
    ]  # fmt: skip
    assert len(result["hosts"]) == 4
    parked = cloud.converge(MODULE, name=name, roles=[{"name": "supernode", "state": "poweroff", "cardinality": 2}])
    assert parked["service"]["roles"]["supernode"]["cardinality"] == 2
    assert states(cloud, name, "supernode") == {"POWEROFF"}


def test_a_vm_that_does_not_obey(cloud: Cloud, service: dict[str, Any]) -> None:
    """OneFlow says yes although it could not schedule anything on a locked VM."""
    name = service["name"]
    vm_id = service["roles"]["superlink"]["vms"][0]
    cloud.connection.call("one.vm.lock", vm_id, 4, False)
    text = cloud.fails(MODULE, name=name, roles=[{"name": "superlink", "state": "poweroff"}], wait_timeout=1)
    assert f"waiting for role superlink of service {service['id']} to be POWEROFF took longer" in text
    assert f"VM {vm_id} is RUNNING" in text
    cloud.connection.call("one.vm.unlock", vm_id)


def test_a_scheduled_action_that_came_to_nothing_is_told() -> None:
    action = {"ID": "1", "ACTION": "poweroff", "MESSAGE": "This action is not available for state SUSPENDED"}
    older = {"ID": "0", "ACTION": "poweroff", "MESSAGE": "old"}
    bodies: list[dict[str, Any]] = [
        {"ID": "5", "TEMPLATE": {"SCHED_ACTION": [action, older]}},
        {"ID": "6", "TEMPLATE": {"SCHED_ACTION": [older, {**action, "MESSAGE": ""}]}},
        {"ID": "7", "TEMPLATE": {}},
    ]
    assert refusals(bodies, "poweroff") == "VM 5: This action is not available for state SUSPENDED"
    assert refusals(bodies, "resume") == ""


def test_without_waiting(cloud: Cloud, service: dict[str, Any]) -> None:
    name = service["name"]
    wish: dict[str, Any] = {"name": name, "roles": [{"name": "supernode", "state": "poweroff"}]}
    assert cloud.ok(MODULE, wait=False, **wish)["changed"]
    cloud.wait(lambda: states(cloud, name, "supernode") == {"POWEROFF"}, "the end of the VMs")
    assert not cloud.ok(MODULE, wait=False, **wish)["changed"]


def test_roles_that_start_parked(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    wish: dict[str, Any] = {"name": name, "template": name, "roles": [{"name": "supernode", "state": "poweroff"}]}
    predicted = cloud.ok(MODULE, check=True, **wish)
    result = cloud.ok(MODULE, **wish)
    assert predicted["steps"] == result["steps"] and predicted["diff"] == result["diff"]
    assert states(cloud, name, "supernode") == {"POWEROFF"} and states(cloud, name, "superlink") == {"RUNNING"}
    assert not cloud.ok(MODULE, **wish)["changed"]


# -- roles that come and go --------------------------------------------------------------------------------------------


def test_add_and_remove_a_role(cloud: Cloud, service: dict[str, Any]) -> None:
    name = service["name"]
    definition = {
        "template": f"{name}-vm", "cardinality": 1, "max_vms": 2, "cooldown": 1, "template_contents": {"CPU": 1},
    }  # fmt: skip
    added = cloud.ok(MODULE, name=name, roles=[{"name": "extra", "definition": definition, "cardinality": 2}])
    assert added["steps"] == [f"add role extra to service {name}"]
    role = added["service"]["roles"]["extra"]
    assert (role["cardinality"], role["max_vms"], len(role["vms"])) == (2, 2, 2)
    assert added["service"]["state"] == "RUNNING" and len(added["hosts"]) == 5
    number = role["template_id"]
    result = cloud.converge(
        MODULE, name=name, roles=[{"name": "extra", "definition": {"template_id": number}, "state": "running"}]
    )
    assert not result["changed"]
    gone = cloud.converge(MODULE, name=name, roles=[{"name": "extra", "state": "absent"}])
    assert gone["steps"] == [f"remove role extra from service {name}"] and "extra" not in gone["service"]["roles"]
    assert gone["service"]["state"] == "RUNNING" and len(gone["hosts"]) == 3


def test_a_role_added_by_id_is_predicted(cloud: Cloud, service: dict[str, Any]) -> None:
    number = service["roles"]["supernode"]["template_id"]
    roles = [{"name": "extra", "definition": {"template_id": number, "cardinality": 1}, "state": "poweroff"},
             {"name": "supernode", "cardinality": 1}]  # fmt: skip
    result = cloud.converge(MODULE, name=service["name"], roles=roles)
    assert len(result["steps"]) == 3 and states(cloud, service["name"], "extra") == {"POWEROFF"}


def test_roles_that_differ_from_the_template_from_the_start(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    roles: list[dict[str, Any]] = [
        {"name": "supernode", "state": "absent"},
        {"name": "extra", "definition": {"template": f"{name}-vm", "cardinality": 1}},
        {"name": "nobody", "state": "absent"},
    ]
    predicted = cloud.ok(MODULE, check=True, name=name, template=name, roles=roles)
    result = cloud.ok(MODULE, name=name, template=name, roles=roles)
    assert predicted["steps"] == result["steps"] and predicted["diff"] == result["diff"]
    assert set(result["service"]["roles"]) == {"superlink", "extra"}
    assert not cloud.ok(MODULE, name=name, roles=roles)["changed"]


@pytest.mark.parametrize(
    ("role", "sentence"),
    [
        ({"name": "ghost", "state": "running"}, "no role ghost"),
        ({"name": "ghost", "definition": {"cardinality": 1}}, "names no VM template"),
    ],
)
def test_roles_that_cannot_be(cloud: Cloud, service: dict[str, Any], role: dict[str, Any], sentence: str) -> None:
    for check in (True, False):
        assert sentence in cloud.fails(MODULE, check=check, name=service["name"], roles=[role])


def test_a_role_of_an_unknown_vm_template(cloud: Cloud, service: dict[str, Any]) -> None:
    """Check mode can hope for an earlier task; the real run cannot."""
    roles = [{"name": "ghost", "definition": {"template": "no such"}}]
    predicted = cloud.ok(MODULE, check=True, name=service["name"], roles=roles)
    assert "VM template no such does not exist yet" in str(predicted["warnings"])
    assert "VM template no such does not exist, or" in cloud.fails(MODULE, name=service["name"], roles=roles)


def test_vms_that_oneflow_forgets_are_removed(
    cloud: Cloud, service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second removal while the first roles go makes OneFlow forget the service with VMs of the others running."""
    path = "ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow.OneFlow.delete_service"
    real = cloud.flow.delete_service

    def twice(_flow: Any, number: int) -> None:
        real(number)
        real(number)

    monkeypatch.setattr(path, twice)
    assert cloud.ok(MODULE, name=service["name"], state="absent", wait_timeout=30)["service"] == {}
    assert cloud.vms_of_services(service["name"]) == []


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "calls"),
    [
        # The pool and the VMs.
        ({}, 2),
        ({"roles": [{"name": "supernode", "state": "running", "cardinality": 2}]}, 2),
        # One write, the service read back, and the VMs that every result has.
        ({"permissions": "644"}, 4),
        ({"description": "x"}, 4),
        ({"new_name": "{}-new"}, 4),
    ],
)
def test_calls(cloud: Cloud, params: dict[str, Any], calls: int) -> None:
    name = cloud.federation(cloud.name(), gate=False, nodes=4)
    roles = [{"name": "supernode", "cardinality": 2}]
    number = cloud.ok(MODULE, name=name, template=name, roles=roles)["service"]["id"]
    wanted = {key: value.format(name) if isinstance(value, str) else value for key, value in params.items()}
    cloud.sandbox.calls.reset()
    cloud.ok(MODULE, name=name, **wanted)
    assert cloud.sandbox.calls.total == calls, cloud.sandbox.calls.by_method
    cloud.sandbox.calls.reset()
    cloud.ok(MODULE, id=number)
    assert cloud.sandbox.calls.total == 2
    assert cloud.sandbox.calls.by_method["one.vmpool.infoset"] == 1
