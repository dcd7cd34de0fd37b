# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects of another collection's one_service that ours must never have. Each test fails if ours had the defect."""

from __future__ import annotations

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.states import SERVICE_STATES
from proof_cloud import ProofCloud

DONE = SERVICE_STATES.index("DONE")


@pytest.mark.parametrize("number", [*range(len(SERVICE_STATES)), 42])
def test_d18_a_service_in_any_state_can_be_read(cloud: ProofCloud, number: int) -> None:
    """Elsewhere: the table of states ends at COOLDOWN (10), but every service passes through DEPLOYING_NETS (11), so
    reading a fresh one ends in a traceback while the service stays.

    Ours: all sixteen states are named, and a number that nobody knows yet prints as it is.
    """
    name = cloud.name("service")
    document = cloud.document(name, number)
    try:
        found = cloud.ok("one_service_info", id=document)["services"]
        expected = SERVICE_STATES[number] if number < len(SERVICE_STATES) else f"UNKNOWN({number})"
        assert [service["state"] for service in found] == [expected]
    finally:
        cloud.admin.call("one.document.delete", document)


def test_d18_a_fresh_service_is_waited_for(cloud: ProofCloud) -> None:
    """The same defect elsewhere makes `wait: true` fail right after a start; ours waits through every state."""
    template = cloud.service_template()
    fresh = cloud.ok("one_service", name=f"{template}-fresh", template=template, wait=False)["service"]
    assert fresh["state"] in ("PENDING", "DEPLOYING_NETS", "DEPLOYING")
    assert cloud.ok("one_service", name=template, template=template)["service"]["state"] == "RUNNING"


def test_d19_scaling_uses_the_route_that_exists(cloud: ProofCloud) -> None:
    """Elsewhere: roles are scaled by PUT on a route that OneFlow no longer has.

    Ours: POST to the service's `scale`, and the number of VMs really changes.
    """
    name = cloud.service(nodes=1)
    result = cloud.ok("one_service", name=name, roles=[{"name": "node", "cardinality": 3}])
    assert len(result["service"]["roles"]["node"]["vms"]) == 3
    writes = {method for method in cloud.calls.by_method if not method.startswith(("GET ", "one.vmpool"))}
    assert writes == {"POST /service/:id/scale"}
    again = cloud.ok("one_service", name=name, roles=[{"name": "node", "cardinality": 3}])
    assert not again["changed"] and cloud.calls.writes == 0


def test_d20_a_service_that_is_done_does_not_take_the_name(cloud: ProofCloud) -> None:
    """Elsewhere: a number is compared with the word DONE, so a leftover counts as the wanted service and none starts.

    Ours: only what lives counts; beside a leftover a new service is started, and a second run finds that one.
    """
    template = cloud.service_template()
    left = cloud.document(template, DONE)
    started = cloud.ok("one_service", name=template, template=template)
    assert started["changed"] and started["service"]["id"] != left and started["service"]["state"] == "RUNNING"
    again = cloud.ok("one_service", name=template, template=template)
    assert not again["changed"] and again["service"]["id"] == started["service"]["id"]


def test_d21_leftovers_of_one_name_are_not_several_services(cloud: ProofCloud) -> None:
    """Elsewhere: two services that are DONE make the name ambiguous, and the task fails.

    Ours: they are passed over, at start and at removal.
    """
    template = cloud.service_template()
    for _turn in range(2):
        cloud.document(template, DONE)
    assert cloud.ok("one_service", name=template, template=template)["service"]["state"] == "RUNNING"
    assert cloud.ok("one_service", name=template, state="absent")["changed"]
    assert not cloud.ok("one_service", name=template, state="absent")["changed"]


def test_d21_owner_group_and_permissions_in_one_task(cloud: ProofCloud) -> None:
    """Elsewhere: owner, group and mode are three requests at every run, even where nothing differs.

    Ours: one request for owner and group, one for permissions, each only where something differs.
    """
    cloud.user("alice-d21")
    name = cloud.service()
    wanted = {"owner": "alice-d21", "group": "users", "permissions": "644"}
    service = cloud.ok("one_service", name=name, **wanted)["service"]
    assert cloud.calls.writes == 2
    assert (service["owner"]["name"], service["group"]["name"], service["permissions"]) == (
        "alice-d21", "users", "644",
    )  # fmt: skip
    again = cloud.ok("one_service", name=name, **wanted)
    assert not again["changed"] and cloud.calls.writes == 0
