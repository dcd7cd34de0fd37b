# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs without OneFlow: made once, found again under the inventory plugin's names, kept apart from services, removed."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.filter.vm_hosts import vm_hosts
from federation_cloud import FederationCloud, PlayedAgents

PUSH = {"federation_delivery": "push", "federation_oneflow_url": ""}


@pytest.mark.full
def test_vms_without_a_service_need_no_oneflow(cloud: FederationCloud) -> None:
    image = str(cloud.folder / "flower-1.tar")
    plain: dict[str, Any] = {**PUSH, "federation_image_path": image}
    with PlayedAgents(cloud):
        cloud.sandbox.calls.reset()
        first = cloud.play("plain_vms", "alone", **plain)
        assert first.code == 0
        assert not [call for call in cloud.sandbox.calls.by_method if "service" in call]
        again, writes = cloud.writes(lambda: cloud.play("plain_vms", "alone", **plain))
        assert (again.code, again.changed, writes) == (0, 0, 0)
    vms = cloud.marked("alone")
    assert [(vm["name"], vm["attributes"]["FLOWER_ROLE"]) for vm in vms] == [
        ("alone-superlink", "superlink"), ("alone-supernode-0", "supernode"), ("alone-supernode-1", "supernode"),
    ]  # fmt: skip
    assert [cloud.context(vm["id"])["ONEAPP_FL_ROLE"] for vm in vms] == ["superlink", "supernode", "supernode"]
    known_hosts = (cloud.folder / "state/alone/known_hosts").read_text(encoding="utf-8").splitlines()
    assert sorted(line.split()[0] for line in known_hosts) == sorted(vm["ip"] for vm in vms)
    for name in ("alone-superlink", "alone-supernode-0", "alone-supernode-1"):
        assert f"(item={name})" in first.output

    # The same name as a service would be two federations in one.
    refused, writes = cloud.writes(lambda: cloud.play("single_site", "alone"))
    assert refused.code != 0 and writes == 0
    assert "stands as VMs without a service (alone-superlink, alone-supernode-0" in refused.output.replace("\n", " ")

    assert cloud.play("teardown", "alone", **plain).code == 0
    assert cloud.marked("alone") == cloud.names("image", "alone") == cloud.names("template", "alone") == []


def test_hosts_of_vms_without_a_service_are_those_of_the_inventory_plugin() -> None:
    def vm(number: int, name: str, **changes: Any) -> dict[str, Any]:
        attributes = {"FLOWER_ROLE": "supernode", "FLOWER_FEDERATION": "a-b"}
        nics = [{"network": "private", "network_id": 0, "ip": f"10.0.0.{number}"}]
        return {"id": number, "name": name, "state": "RUNNING", "nics": nics, "attributes": attributes, **changes}

    vms = [
        vm(4, "twin"), vm(3, "twin"), vm(2, "a b"), vm(5, "off", state="POWEROFF"), vm(6, "nobody", attributes={}),
    ]  # fmt: skip
    hosts = vm_hosts(vms, "private")
    assert [(host["name"], host["vars"]["ansible_host"]) for host in hosts] == [
        ("a-b", "10.0.0.2"), ("twin-3", "10.0.0.3"), ("twin-4", "10.0.0.4"),
    ]  # fmt: skip
    assert hosts[0]["groups"] == ["supernode", "federation_a_b", "opennebula"]
    assert hosts[0]["vars"]["one_role"] == "supernode" and "one_service_id" not in hosts[0]["vars"]
    assert vm_hosts(vms, "other") == []
