# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks: addresses and who has them, read by id and out of a pool."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import to_dict
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.vnets import represent_vnet


@pytest.fixture
def network(cloud, name) -> int:
    """A network of eight addresses: one on hold, two reserved."""
    text = (
        f'NAME="{name}"\nVN_MAD="dummy"\nBRIDGE="br7"\nVLAN_ID="42"\nLABELS="lab/net"\nSECURITY_GROUPS="0,3"\n'
        'AR=[TYPE="IP4",IP="10.9.0.250",SIZE="8"]\nGATEWAY="10.9.0.1"'
    )
    vnet: int = cloud.admin.call("one.vn.allocate", text, -1)
    for _attempt in range(500):
        if read(cloud, id=vnet)["state"] == "READY":
            break
    cloud.admin.call("one.vn.hold", vnet, 'LEASES=[IP="10.9.0.250"]')
    cloud.admin.call("one.vn.reserve", vnet, f'SIZE="2"\nNAME="{name}-part"')
    return vnet


@pytest.fixture
def vm(cloud, name, network) -> int:
    """A VM with one address of it."""
    result = cloud.run("one_template", name=name, template={"CPU": 0.1, "MEMORY": 64, "NIC": {"NETWORK_ID": network}})
    assert result.ok
    made = cloud.run("one_vm", name=name, template=name)
    assert made.ok, made
    return int(made["vms"][0]["id"])


def read(cloud, **filters) -> dict[str, Any]:
    (found,) = cloud.run("one_vnet_info", **filters)["vnets"]
    return dict(found)


def test_a_network_by_id_is_one_call_and_tells_who_has_which_address(cloud, name, network, vm) -> None:
    found = read(cloud, id=network)
    assert cloud.calls.total == 1
    assert (found["bridge"], found["security_groups"], found["parent"]) == ("br7", [0, 3], None)
    assert (found["size"], found["used"], found["free"], found["state"]) == (8, 4, 4, "READY")
    assert found["clusters"] == [0] and found["labels"] == ["lab/net"] and found["lock"] == "none"
    held, reserved, also_reserved, leased = found["leases"]
    assert held["on_hold"] and held["vm_id"] is None and held["ip"] == "10.9.0.250"
    assert reserved["vnet_id"] == also_reserved["vnet_id"] and reserved["vnet_id"] is not None
    assert (leased["vm_id"], leased["ip"], leased["mac"]) == (vm, "10.9.0.253", "02:00:0a:09:00:fd")
    ar = found["address_ranges"][0]
    assert (ar["ip"], ar["ip_end"], ar["mac_end"]) == ("10.9.0.250", "10.9.1.1", "02:00:0a:09:01:01")
    assert (ar["size"], ar["used"], ar["free"], ar["parent"], ar["shared"]) == (8, 4, 4, None, False)


def test_a_pool_tells_the_same(cloud, name, network, vm) -> None:
    alone, listed = read(cloud, id=network), read(cloud, name=name)
    assert cloud.calls.total == 1
    assert listed == alone


def test_who_holds_an_address_costs_one_more_call(cloud, name, network, vm) -> None:
    leases = read(cloud, id=network, lease_holders=True)["leases"]
    assert cloud.calls.total == 2
    assert leases[3]["vm"] == {"id": vm, "name": name, "owner": "oneadmin"} and leases[3]["nic_id"] == 0
    assert leases[0]["vm"] is None and leases[0]["nic_id"] is None
    read(cloud, name=f"{name}-part", lease_holders=True)
    assert cloud.calls.total == 1, "nobody to ask for"


def test_a_vm_that_one_may_not_see_is_a_number(cloud, name, network, vm) -> None:
    api = cloud.user("carol")
    (found,) = cloud.run("one_vnet_info", api=api, name=name, lease_holders=True)["vnets"]
    assert found["leases"][3]["vm"] == {"id": vm, "name": None, "owner": None}
    (found,) = cloud.run("one_vnet_info", api=api, id=network)["vnets"]
    assert [lease["vm_id"] for lease in found["leases"]] == [None, None] and found["used"] == 4


def test_filters(cloud, name, network) -> None:
    part = read(cloud, parent=network)
    assert part["name"] == f"{name}-part" and part["address_ranges"][0]["parent"] == 0
    assert (part["size"], part["address_ranges"][0]["ip"]) == (2, "10.9.0.251")

    def names(**filters) -> list[str]:
        found = cloud.run("one_vnet_info", name=f"{name}*", **filters)
        assert found.ok, found
        return [one["name"] for one in found["vnets"]]

    assert names(states=["ready"]) == [name, f"{name}-part"] and names(state="ERROR") == []
    assert names(vn_mad="dummy") == [name, f"{name}-part"] and names(vn_mad="bridge") == []
    assert names(cluster="0") == [name, f"{name}-part"] and cloud.calls.total == 1
    assert names(cluster="default") == [name, f"{name}-part"] and cloud.calls.total == 2
    assert names(cluster="7") == []
    unknown = cloud.run("one_vnet_info", cluster="nowhere")
    assert not unknown.ok and "cluster nowhere does not exist" in unknown["msg"]


def test_networks_count_their_addresses(cloud, name, vm_template) -> None:
    before = read(cloud, name="private")
    assert before["state"] == "READY" and before["size"] == before["free"] + before["used"]
    assert cloud.run("one_vm", name=name, template=vm_template).ok
    assert read(cloud, name="private")["used"] == before["used"] + 1


def test_what_the_sandbox_does_not_have() -> None:
    """IPv6, VLANs, virtual routers, failures: bodies in the form of OpenNebula's source."""
    found = represent_vnet(
        to_dict(
            "<VNET><ID>4</ID><STATE>6</STATE><VLAN_ID>7</VLAN_ID><OUTER_VLAN_ID>8</OUTER_VLAN_ID><PHYDEV>eth1</PHYDEV>"
            "<TEMPLATE_ID>2</TEMPLATE_ID><VROUTERS><ID>9</ID></VROUTERS><ERROR_VMS><ID>5</ID></ERROR_VMS>"
            "<TEMPLATE><ERROR>why</ERROR></TEMPLATE><AR_POOL>"
            "<AR><ALLOCATED> 1 1125899906842633</ALLOCATED><AR_ID>0</AR_ID><IP6>2001:db8::ff</IP6>"
            "<MAC>02:00:00:00:00:ff</MAC><SIZE>4</SIZE><TYPE>IP6_STATIC</TYPE><VLAN_ID>12</VLAN_ID></AR>"
            "<AR><AR_ID>1</AR_ID><IP6_GLOBAL>2001:db8:1::1</IP6_GLOBAL><TYPE>IP6</TYPE><SHARED>YES</SHARED><SIZE>1</SIZE>"
            "<LEASES><LEASE><IP6_GLOBAL>2001:db8:1::1</IP6_GLOBAL><VROUTER>9</VROUTER></LEASE></LEASES></AR>"
            "<AR><AR_ID>2</AR_ID><TYPE>ETHER</TYPE><SIZE>0</SIZE></AR></AR_POOL></VNET>"
        )
    )
    assert (found["state"], found["vlan_id"], found["outer_vlan_id"], found["phydev"]) == (
        "UPDATE_FAILURE", "7", "8", "eth1",
    )  # fmt: skip
    assert (found["template_id"], found["vrouters"], found["vms"]["error"], found["error"]) == (2, [9], [5], "why")
    static, shared, ether = found["address_ranges"]
    assert static["ip6"] == "2001:db8::ff" and static["attributes"] == {"VLAN_ID": "12"} and static["used"] == 1
    assert static["mac_end"] == "02:00:00:00:01:02" and shared["shared"] and ether["mac_end"] == ""
    first, second = found["leases"]
    assert (first["vrouter_id"], first["ip6"], first["mac"]) == (9, "2001:db8::100", "02:00:00:00:01:00")
    assert (second["vrouter_id"], second["ip6"], second["address_range"]) == (9, "2001:db8:1::1", 1)
