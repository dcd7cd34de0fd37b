# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The inventory and the module one_service say the same of the same VMs, on a cloud where services live."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from flow_cloud import Cloud
from flow_cloud import cloud as flow
from inventory_cloud import InventoryCloud

__all__ = ["flow"]


@pytest.fixture(scope="module")
def federations(flow: Cloud) -> list[dict[str, Any]]:
    """The hosts of two services, the second without a mark, as one_service gives them."""
    hosts: list[dict[str, Any]] = []
    for name, mark in (("inv-1", "one"), ("inv 2", None)):
        flow.federation(name, gate=False, nodes=2)
        hosts += flow.ok("one_service", name=name, template=name, mark=mark)["hosts"]
    return hosts


def test_it_says_what_one_service_says(flow: Cloud, federations: list[dict[str, Any]], tmp_path: Path) -> None:
    cloud = InventoryCloud(flow.sandbox, tmp_path)
    found = cloud.listed(services=["inv-1", "inv 2"])
    groups: dict[str, set[str]] = {}
    for host in federations:
        for group in host["groups"]:
            groups.setdefault(group, set()).add(host["name"])
    assert len(federations) == 6
    assert found.hosts == {host["name"]: host["vars"] for host in federations}
    assert {name: set(members) for name, members in found.groups.items() if members} == groups
    assert set(groups) == {"superlink", "supernode", "federation_one", "federation_inv_2", "opennebula"}


def test_two_requests_however_many_services(flow: Cloud, federations: list[dict[str, Any]], tmp_path: Path) -> None:
    cloud = InventoryCloud(flow.sandbox, tmp_path)
    for options in ({"federations": ["one"], "include_standalone": False}, {}):
        flow.sandbox.calls.reset()
        assert len(cloud.listed(**options).hosts) >= 3
        assert flow.sandbox.calls.total == 2


def test_machines_that_are_off(flow: Cloud, federations: list[dict[str, Any]], tmp_path: Path) -> None:
    cloud = InventoryCloud(flow.sandbox, tmp_path)
    victim = federations[2]
    flow.connection.call("one.vm.action", "poweroff", victim["vars"]["one_vm_id"])
    flow.in_state("inv-1", "WARNING")
    found = cloud.parse(services=["inv-1"]).hosts
    assert victim["name"] not in found and len(found) == 2
    assert victim["name"] in cloud.parse(services=["inv-1"], states=["running", "poweroff"]).hosts
    flow.connection.call("one.vm.action", "resume", victim["vars"]["one_vm_id"])
    flow.in_state("inv-1", "RUNNING")
