# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module one_service on the sandbox cloud: start, wait, scale, remove."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from flow_cloud import Cloud

MODULE = "one_service"


def started(cloud: Cloud, *, nodes: int = 2, gate: bool = False, **params: Any) -> str:
    """A service, RUNNING unless it stops at the READY gate."""
    name = cloud.federation(cloud.name(), gate=gate, nodes=nodes)
    waiting: dict[str, Any] = {"wait_for": "vms", "wait_roles": ["superlink"]} if gate else {}
    cloud.ok(MODULE, name=name, template=name, **{**waiting, **params})
    return name


def role_vms(cloud: Cloud, name: str, role: str) -> list[int]:
    return list(cloud.service(name)["roles"][role]["vms"])


# -- starting ----------------------------------------------------------------------------------------------------------


def test_start_wait_and_run_again(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    result, writes = cloud.writes(MODULE, name=name, template=name, mark="fed")
    assert result["changed"] and writes == 1
    service = result["service"]
    assert service["state"] == "RUNNING" and service["mark"] == "fed"
    assert [vm["role"] for vm in service["vms"]] == ["superlink", "supernode", "supernode"]
    assert all(vm["state"] == "RUNNING" and vm["ip"] for vm in service["vms"])
    assert service["vms"][0]["attributes"]["ROLE_NAME"] == "superlink"
    assert [host["name"] for host in result["hosts"]] == [f"{name}-{vm['role']}-{vm['id']}" for vm in service["vms"]]
    assert result["hosts"][0]["groups"] == ["superlink", "federation_fed", "opennebula"]
    assert result["hosts"][0]["vars"]["ansible_host"] == service["vms"][0]["ip"]

    again, writes = cloud.writes(MODULE, name=name, template=name, mark="fed")
    assert not again["changed"] and writes == 0
    # One look at the services, one at the VMs.
    assert cloud.sandbox.calls.total == 2
    assert again["hosts"] == result["hosts"] and again["service"]["id"] == service["id"]


def test_the_waves_of_the_ready_gate(cloud: Cloud) -> None:
    """The SuperLink's VM is there and running while OneFlow still waits for its READY; then come the others."""
    name = cloud.federation(cloud.name(), gate=True)
    first = cloud.ok(MODULE, name=name, template=name, wait_for="vms", wait_roles=["superlink"])
    assert first["service"]["state"] == "DEPLOYING"
    assert [host["vars"]["one_role"] for host in first["hosts"]] == ["superlink"]
    cloud.ready(first["hosts"][0]["vars"]["one_vm_id"])
    second = cloud.ok(MODULE, name=name, wait_for="vms")
    assert not second["changed"] and second["service"]["state"] == "DEPLOYING"
    assert [host["vars"]["one_role"] for host in second["hosts"]] == ["superlink", "supernode", "supernode"]
    cloud.ready(*second["service"]["roles"]["supernode"]["vms"])
    assert cloud.ok(MODULE, name=name)["service"]["state"] == "RUNNING"


def test_attributes_that_vms_publish_are_waited_for(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=True)
    waiting = {"wait_for": "vms", "wait_roles": ["superlink"], "wait_attributes": ["FL_SSH_HOST_KEY"]}
    text = cloud.fails(MODULE, name=name, template=name, wait_timeout=1, **waiting)
    assert "lacks an address or FL_SSH_HOST_KEY" in text
    vm_id = role_vms(cloud, name, "superlink")[0]
    later = threading.Timer(0.3, lambda: cloud.update_vm(vm_id, FL_SSH_HOST_KEY="ssh-ed25519 AAAA"))
    later.start()
    result = cloud.ok(MODULE, name=name, **waiting)
    later.join()
    assert result["hosts"][0]["vars"]["one_attributes"]["FL_SSH_HOST_KEY"] == "ssh-ed25519 AAAA"


def test_no_waiting(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=True)
    result = cloud.ok(MODULE, name=name, template=name, wait=False)
    assert result["changed"] and result["service"]["state"] in ("PENDING", "DEPLOYING_NETS", "DEPLOYING")
    assert cloud.ok(MODULE, name=name, wait_for="none")["changed"] is False


def test_check_mode_of_a_start(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    roles = [{"name": "supernode", "cardinality": 3}]
    predicted, writes = cloud.writes(MODULE, check=True, name=name, template=name, roles=roles, permissions="640")
    assert predicted["changed"] and writes == 0 and predicted["hosts"] == []
    assert cloud.ok("one_service_info", name=name)["services"] == []
    real = cloud.ok(MODULE, name=name, template=name, roles=roles, permissions="640")
    assert predicted["diff"] == real["diff"]
    assert real["service"]["permissions"] == "640"
    assert len(real["service"]["roles"]["supernode"]["vms"]) == 3


def test_user_inputs_and_networks_reach_the_vms(cloud: Cloud) -> None:
    name = cloud.name()
    cloud.vm_template(f"{name}-vm")
    cloud.ok(
        "one_service_template",
        name=name,
        template={
            "networks": {"Private": {"description": "any net", "name": "private"}},
            "user_inputs": {
                "ROUNDS": "M|number|rounds||",
                "TLS": "O|boolean|tls||YES",
                "ADMIN_PASSWORD": "O|password|p||",
            },
            "roles": [
                {
                    "name": "node",
                    "template": f"{name}-vm",
                    "cardinality": 1,
                    "user_inputs": {"SITE": "M|text|site||here"},
                    "template_contents": {"NIC": [{"NETWORK_ID": "$Private"}]},
                }
            ],
        },
    )
    assert "user input ROUNDS needs a value" in cloud.fails(MODULE, name=name, template=name)
    given = {"ROUNDS": 5, "TLS": False, "ADMIN_PASSWORD": "hush"}
    networks = {"Private": "private"}
    result = cloud.ok(MODULE, name=name, template=name, user_inputs_values=given, networks_values=networks)
    attributes = result["service"]["vms"][0]["attributes"]
    assert (attributes["ROUNDS"], attributes["TLS"], attributes["SITE"]) == ("5", "NO", "here")
    assert result["service"]["networks_values"] == {"Private": {"id": "0"}}
    shown = {key: value for key, value in result.items() if key != "invocation"}
    assert "hush" not in repr(shown)

    again = cloud.ok(MODULE, name=name, user_inputs_values=given)
    assert not again["changed"] and not again.get("warnings")
    drifted = cloud.ok(MODULE, name=name, user_inputs_values={"ROUNDS": 6})
    assert not drifted["changed"] and "other values of ROUNDS" in str(drifted["warnings"])


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({}, "give template so that it can be started"),
        ({"template": "no such"}, "service template no such does not exist"),
        ({"template": "9999"}, "Error getting document [9999]"),
        ({"id": 9999}, "Error getting document [9999]"),
        ({"state": "recovered"}, "nothing to recover"),
    ],
)
def test_what_cannot_be_is_said(cloud: Cloud, params: dict[str, Any], sentence: str) -> None:
    assert sentence in cloud.fails(MODULE, name=cloud.name(), **params)


def test_roles_that_do_not_exist_or_break_the_bounds_are_refused_before_anything_is_written(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    cases: list[tuple[dict[str, Any], str]] = [
        ({"roles": [{"name": "ghost", "cardinality": 1}]}, "no role ghost"),
        ({"roles": [{"name": "superlink", "cardinality": 2}]}, "role superlink takes at most 1 VMs, not 2"),
        ({"roles": [{"name": "supernode", "cardinality": 0}]}, "role supernode needs at least 1 VMs, not 0"),
        ({"wait_for": "vms", "wait_roles": ["ghost"]}, "no role ghost"),
    ]
    for params, sentence in cases:
        for check in (True, False):
            assert sentence in cloud.fails(MODULE, check=check, name=name, template=name, **params)
    assert cloud.ok("one_service_info", name=name)["services"] == []
    cloud.ok(MODULE, name=name, template=name)
    cloud.sandbox.calls.reset()
    for params, sentence in cases:
        assert sentence in cloud.fails(MODULE, name=name, **params)
    assert cloud.sandbox.calls.writes == 0


# -- scaling -----------------------------------------------------------------------------------------------------------


def test_scale_up_and_down(cloud: Cloud) -> None:
    name = started(cloud)
    roles = [{"name": "supernode", "cardinality": 4}, {"name": "superlink", "cardinality": 1}]
    predicted, writes = cloud.writes(MODULE, check=True, name=name, roles=roles)
    assert predicted["changed"] and writes == 0
    result, writes = cloud.writes(MODULE, name=name, roles=roles)
    assert result["changed"] and writes == 1 and predicted["diff"] == result["diff"]
    assert result["steps"] == [f"scale role supernode of service {name} from 2 to 4"]
    assert len([host for host in result["hosts"] if host["vars"]["one_role"] == "supernode"]) == 4
    assert result["diff"]["before"]["roles"]["supernode"] == {"cardinality": 2}
    assert not cloud.ok(MODULE, name=name, roles=roles)["changed"]

    # At once: the module waits for the cool-down to end before it asks for the next scaling.
    down = cloud.ok(MODULE, name=name, roles=[{"name": "supernode", "cardinality": 1}], wait_for="vms")
    assert down["changed"]
    assert len(down["service"]["roles"]["supernode"]["vms"]) == 1
    assert len(down["hosts"]) == 2


def test_new_vms_behind_the_ready_gate(cloud: Cloud) -> None:
    name = started(cloud, gate=True, nodes=1)
    cloud.ready(*role_vms(cloud, name, "superlink"))
    cloud.ready(*cloud.ok(MODULE, name=name, wait_for="vms")["service"]["roles"]["supernode"]["vms"])
    cloud.ok(MODULE, name=name)
    roles = [{"name": "supernode", "cardinality": 2}]
    result = cloud.ok(MODULE, name=name, roles=roles, wait_for="vms", wait_roles=["supernode"])
    assert result["changed"] and result["service"]["state"] == "SCALING"
    assert len(result["hosts"]) == 3


def test_bounds_are_kept_unless_forced(cloud: Cloud) -> None:
    name = started(cloud, nodes=1)
    roles = [{"name": "supernode", "cardinality": 5}]
    assert "takes at most 4 VMs, not 5" in cloud.fails(MODULE, name=name, roles=roles)
    assert len(cloud.ok(MODULE, name=name, roles=roles, force=True)["service"]["roles"]["supernode"]["vms"]) == 5


def test_scaling_before_the_first_ready_is_refused_when_it_can_only_time_out(cloud: Cloud) -> None:
    name = started(cloud, gate=True)
    roles = [{"name": "supernode", "cardinality": 3}]
    text = cloud.fails(MODULE, name=name, roles=roles, wait_for="vms", wait_roles=["superlink"])
    assert "is DEPLOYING and cannot be scaled before its VMs have said READY=YES" in text


def test_a_cool_down_that_is_longer_than_the_patience(cloud: Cloud) -> None:
    name = cloud.name()
    cloud.vm_template(f"{name}-vm")
    role = {"name": "a", "template": f"{name}-vm", "cardinality": 1, "cooldown": 300}
    cloud.ok("one_service_template", name=name, template={"roles": [role]})
    cloud.ok(MODULE, name=name, template=name)
    cloud.ok(MODULE, name=name, roles=[{"name": "a", "cardinality": 2}])
    text = cloud.fails(MODULE, name=name, roles=[{"name": "a", "cardinality": 3}], wait_timeout=1)
    assert "waiting for RUNNING before role a can be scaled" in text and "the service is COOLDOWN" in text
    # The cool-down does not hold up those who only want the service to run.
    assert cloud.ok(MODULE, name=name)["service"]["state"] == "COOLDOWN"
    assert cloud.ok(MODULE, name=name, state="absent")["changed"]


def test_a_stopped_vm_forbids_scaling_and_ends_the_wait(cloud: Cloud) -> None:
    name = started(cloud)
    vm_id = role_vms(cloud, name, "supernode")[0]
    cloud.connection.call("one.vm.action", "poweroff", vm_id)
    cloud.in_state(name, "WARNING")
    assert f"VM {vm_id} is POWEROFF" in cloud.fails(MODULE, name=name)
    text = cloud.fails(MODULE, name=name, roles=[{"name": "supernode", "cardinality": 3}])
    assert "is WARNING and cannot be scaled" in text and f"VM {vm_id} is POWEROFF" in text
    assert len(cloud.ok(MODULE, name=name, wait_for="none")["hosts"]) == 2
    # Who waits for another role is not held up.
    assert len(cloud.ok(MODULE, name=name, wait_for="vms", wait_roles=["superlink"])["hosts"]) == 2
    cloud.connection.call("one.vm.action", "resume", vm_id)
    cloud.in_state(name, "RUNNING")
    assert len(cloud.ok(MODULE, name=name)["hosts"]) == 3


# -- other services ----------------------------------------------------------------------------------------------------


def test_names_that_mean_several(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False, nodes=1)
    number = cloud.ok("one_service_template_info", name=name)["service_templates"][0]["id"]
    ids = [int(cloud.flow.instantiate(number, {"name": name})["ID"]) for _turn in range(2)]
    for state in ("present", "absent"):
        text = cloud.fails(MODULE, name=name, template=name, state=state)
        assert "not unique" in text and all(f"id {item} of oneadmin" in text for item in ids)
    cloud.ok(MODULE, id=ids[0], state="absent")
    assert cloud.ok(MODULE, name=name)["service"]["id"] == ids[1]


def test_what_is_not_ours_is_left_alone(cloud: Cloud) -> None:
    name = started(cloud, mark="theirs")
    for params in ({"state": "absent"}, {"roles": [{"name": "supernode", "cardinality": 3}]}, {"state": "recovered"}):
        text = cloud.fails(MODULE, name=name, mark="ours", **params)
        assert "not marked as belonging to federation ours: it belongs to federation theirs" in text
    unmarked = started(cloud)
    assert "it has no ownership mark" in cloud.fails(MODULE, name=unmarked, mark="ours", template=unmarked)


def test_a_service_inherits_the_mark_of_its_template(cloud: Cloud) -> None:
    name = cloud.name()
    cloud.ok("one_service_template", name=name, template={"roles": []}, mark="family")
    assert cloud.ok(MODULE, name=name, template=name)["service"]["mark"] == "family"


def test_info_by_mark_takes_two_requests(cloud: Cloud) -> None:
    names = [started(cloud, nodes=1, mark="info"), started(cloud, nodes=1, mark="info")]
    cloud.sandbox.calls.reset()
    found = cloud.ok("one_service_info", mark="info")["services"]
    assert cloud.sandbox.calls.total == 2
    assert [service["name"] for service in found] == names
    assert all(len(service["vms"]) == 2 and len(service["hosts"]) == 2 for service in found)
    assert cloud.ok("one_service_info", id=found[1]["id"])["services"][0]["name"] == names[1]
