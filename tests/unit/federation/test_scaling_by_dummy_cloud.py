# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services that the cloud scales by itself, and playbooks that leave what it has made of them."""

from __future__ import annotations

import time
from types import SimpleNamespace

import pytest
from federation_cloud import FederationCloud, PlayedAgents
from one_sandbox.flow import policies

BUSY = {
    "type": "CHANGE", "adjust": 1, "expression": "FL_CLIENT_STATUS > 1.5", "period": 1, "period_number": 2,
    "cooldown": 1,
}  # fmt: skip
IDLE = {**BUSY, "adjust": -1, "expression": "FL_CLIENT_STATUS < 1.5"}
MORNING = {"type": "CARDINALITY", "adjust": 6, "recurrence": "0 9 * * *"}
BOUNDS = {"federation_supernodes": 2, "federation_supernodes_min": 2, "federation_supernodes_max": 6}


def set_clock_forward(monkeypatch: pytest.MonkeyPatch, seconds: float) -> None:
    """Let OneFlow's look at schedules take place that much later."""
    moved = SimpleNamespace(time=lambda: time.time() + seconds, monotonic=time.monotonic)
    monkeypatch.setattr(policies, "time", moved)


def report(cloud: FederationCloud, name: str, status: str) -> None:
    """All SuperNodes say their state through OneGate."""
    for vm in cloud.vms(name, "supernode"):
        if vm["state"] == "RUNNING":
            cloud.gate(vm["id"]).put({"FL_CLIENT_STATUS": status})


def settled_at(cloud: FederationCloud, name: str, number: int) -> None:
    def there() -> bool:
        service = cloud.service(name)
        return service["state"] == "RUNNING" and len(service["roles"]["supernode"]["vms"]) == number

    cloud.wait(there, f"{name} runs with {number} SuperNodes")


def test_policies_scale_up_and_down_and_no_second_run_undoes_it(
    cloud: FederationCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = {**BOUNDS, "federation_elasticity_policies": [BUSY, IDLE], "federation_scheduled_policies": [MORNING]}
    with PlayedAgents(cloud):
        cloud.deployed("elastic", **rules)
        role = cloud.template("elastic")["roles"][1]
        assert [policy["adjust"] for policy in role["elasticity_policies"]] == [1, -1]
        assert role["scheduled_policies"][0]["recurrence"] == "0 9 * * *"

        report(cloud, "elastic", "2")
        settled_at(cloud, "elastic", 3)
        again, writes = cloud.writes(lambda: cloud.deployed("elastic", **rules))
        # What changes is the file of host keys on the control machine alone.
        assert (again.changed, writes) == (1, 0)
        assert cloud.cardinality("elastic") >= 3

        report(cloud, "elastic", "1")
        settled_at(cloud, "elastic", 2)

        # Both policies are silent while nobody reports; the clock alone moves the service now.
        cloud.deployed("elastic", **{**rules, "federation_elasticity_policies": []})
        assert cloud.service("elastic")["roles"]["supernode"]["elasticity_policies"] == []
        assert cloud.service("elastic")["roles"]["supernode"]["scheduled_policies"][0]["adjust"] == 6
        set_clock_forward(monkeypatch, 24 * 3600)
        settled_at(cloud, "elastic", 6)


@pytest.mark.full
def test_a_scale_behind_our_back_stays_within_the_bounds_that_the_inventory_gives(cloud: FederationCloud) -> None:
    rules = {**BOUNDS, "federation_elasticity_policies": [BUSY]}
    with PlayedAgents(cloud):
        cloud.deployed("behind", **rules)
        cloud.flow.scale(cloud.service("behind")["id"], "supernode", 5)
        settled_at(cloud, "behind", 5)
        assert len(cloud.vms("behind", "supernode")) == 5
        again, writes = cloud.writes(lambda: cloud.deployed("behind", **rules))
        # What changes is the file of host keys on the control machine alone.
        assert (again.changed, writes) == (1, 0)
        assert "behind-supernode" in again.output and cloud.cardinality("behind") == 5

        # Narrower bounds bring it to the nearest one; whoever scales by hand is obeyed.
        cloud.deployed("behind", **{**rules, "federation_supernodes_max": 4})
        settled_at(cloud, "behind", 4)
        played = cloud.play("scale", "behind", **{**rules, "federation_supernodes": 3, "federation_supernodes_max": 4})
        assert played.code == 0
        settled_at(cloud, "behind", 3)
