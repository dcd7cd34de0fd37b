# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which address of a VM its host gets, and what becomes of VMs without one."""

from __future__ import annotations

from typing import Any

import pytest
from inventory_cloud import InventoryCloud, nic

SIX = {"IP6_GLOBAL": "2001:db8::1", "IP6_LINK": "fe80::1"}


def address(cloud: InventoryCloud, **options: Any) -> Any:
    """ansible_host of the only host, "left out" without one."""
    hosts = cloud.parse(**options).hosts
    return next(iter(hosts.values())).get("ansible_host", "none") if hosts else "left out"


@pytest.fixture
def two_nics(cloud: InventoryCloud) -> InventoryCloud:
    """A VM with a NIC on each network, the second with IPv6, and two aliases, one of them external."""
    cloud.vm(
        "vm",
        nics=[nic("10.0.0.5"), nic("192.0.2.5", "public", NIC_ID="2", **SIX)],
        aliases=[
            nic("10.0.0.66", NIC_ID="3", NAME="NIC0_ALIAS1", PARENT="NIC0", PARENT_ID="0", ALIAS_ID="0"),
            nic("198.51.100.7", "public", NIC_ID="4", NAME="NIC0_ALIAS2", PARENT="NIC0", EXTERNAL="YES"),
        ],
    )
    return cloud


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, "10.0.0.5"),
        ({"network": "public"}, "192.0.2.5"),
        ({"network": 1}, "192.0.2.5"),
        ({"network": "elsewhere"}, "left out"),
        ({"nic": 2}, "192.0.2.5"),
        ({"nic": "NIC2"}, "192.0.2.5"),
        ({"nic": 1}, "left out"),
        ({"nic": "NIC0_ALIAS1"}, "10.0.0.66"),
        ({"nic": 3, "network": "private"}, "10.0.0.66"),
        ({"nic": 3, "network": "public"}, "left out"),
        ({"ip_version": "ipv6"}, "2001:db8::1"),
        ({"ip_version": "prefer_ipv6"}, "10.0.0.5"),
        ({"ip_version": "prefer_ipv6", "network": "public"}, "2001:db8::1"),
        ({"ip_version": "ipv4", "nic": 2}, "192.0.2.5"),
        ({"prefer_external": True}, "198.51.100.7"),
        ({"prefer_external": True, "network": "private"}, "10.0.0.5"),
        ({"prefer_external": True, "ip_version": "ipv6"}, "2001:db8::1"),
    ],
)
def test_the_address(two_nics: InventoryCloud, options: dict[str, Any], expected: str) -> None:
    assert address(two_nics, **options) == expected


def test_a_nic_that_is_passed_through(cloud: InventoryCloud) -> None:
    card = {"ADDRESS": "0000:01:00.0", "CLASS": "0200", "PCI_ID": "1"}
    virtual = {**nic("10.0.0.9", NIC_ID="1", NAME="PCI1"), "TYPE": "NIC", **card}
    cloud.vm("vm", nics=[], pci=[{**card, "CLASS": "0302", "PCI_ID": "0"}, virtual])
    assert address(cloud) == address(cloud, nic="PCI1") == address(cloud, network="private") == "10.0.0.9"
    (host,) = cloud.parse(variables=["nics"]).hosts.values()
    assert [item["name"] for item in host["one_nics"]] == ["PCI1"]


def test_addresses_of_ipv6_by_what_they_are_worth(cloud: InventoryCloud) -> None:
    cloud.vm("vm", nics=[nic(None, IP6_LINK="fe80::1"), nic(None, IP6_ULA="fd00::1"), nic(None, **SIX)])
    # A link-local address is none that Ansible could reach.
    assert address(cloud) == "fd00::1"


def test_d29_a_vm_without_an_address_never_gets_a_false_one(cloud: InventoryCloud) -> None:
    cloud.vm("good")
    cloud.vm("bare", nics=[])
    cloud.vm("ether", nics=[nic(None)])
    found = cloud.parse()
    assert set(found.hosts) == {"good"}
    assert found.said == ["opennebula: left out 2 VMs without a suitable address: bare (id 1), ether (id 2)"]
    found = cloud.parse(require_address=False)
    assert set(found.hosts) == {"good", "bare", "ether"} and not found.said
    assert "ansible_host" not in found.hosts["bare"] and "ansible_host" not in found.hosts["ether"]


def test_all_that_is_known_of_nics(two_nics: InventoryCloud) -> None:
    (host,) = two_nics.parse(variables=["nics"]).hosts.values()
    assert [item["id"] for item in host["one_nics"]] == [0, 2, 3, 4]
    assert host["one_nics"][1] == {
        "id": 2, "name": "NIC2", "network": "public", "network_id": 1, "ip": "192.0.2.5", "ip6": "2001:db8::1",
        "mac": None, "external": False, "parent": None,
    }  # fmt: skip
    assert host["one_nics"][3]["external"] and host["one_nics"][3]["parent"] == "NIC0"
