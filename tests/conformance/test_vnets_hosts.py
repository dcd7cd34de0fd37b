# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks, hosts, clusters, datastores."""

from __future__ import annotations

from typing import Any

import pytest

from .conformance_client import Cloud


def _network(cloud: Cloud) -> tuple[int, str]:
    name = cloud.name()
    text = (
        f'NAME="{name}"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="IP4",IP="10.9.0.10",SIZE="20"]\n'
        'NETWORK_ADDRESS="10.9.0.0"\nNETWORK_MASK="255.255.255.0"\nGATEWAY="10.9.0.1"\nDNS="10.9.0.1"'
    )
    vnet: int = cloud.ok("one.vn.allocate", text, -1)
    cloud.undo(lambda: cloud.ok("one.vn.delete", vnet))
    return vnet, name


def test_network(cloud: Cloud) -> None:
    vnet, name = _network(cloud)
    info = cloud.xml("one.vn.info", vnet)
    assert info.tag == "VNET"
    assert info.findtext("NAME") == name
    assert info.findtext("VN_MAD") == "dummy"
    assert info.findtext("TEMPLATE/GATEWAY") == "10.9.0.1"
    assert info.findtext("AR_POOL/AR/IP") == "10.9.0.10"
    cloud.until(lambda: cloud.xml("one.vn.info", vnet).findtext("STATE") == "1", "network READY")
    code, message = cloud.error("one.vn.allocate", f'NAME="{name}"\nVN_MAD="dummy"\nBRIDGE="br0"', -1)
    assert (code, message) == (8192, f"NAME is already taken by NET {vnet}.")
    assert cloud.error("one.vn.allocate", f'NAME="{cloud.name()}"', -1) == (
        8192, "No VN_MAD in template for Virtual Network.",
    )  # fmt: skip


def test_network_changes(cloud: Cloud) -> None:
    vnet, _name = _network(cloud)
    cloud.ok("one.vn.update", vnet, 'DNS="9.9.9.9"', 1)
    assert cloud.xml("one.vn.info", vnet).findtext("TEMPLATE/DNS") == "9.9.9.9"
    cloud.ok("one.vn.add_ar", vnet, 'AR=[TYPE="IP4",IP="10.9.0.100",SIZE="5"]')
    cloud.ok("one.vn.update_ar", vnet, 'AR=[AR_ID="1",SIZE="8"]')
    sizes = [item.findtext("SIZE") for item in cloud.xml("one.vn.info", vnet).findall("AR_POOL/AR")]
    assert sizes == ["20", "8"]
    cloud.ok("one.vn.rm_ar", vnet, 1)
    cloud.ok("one.vn.chmod", vnet, -1, -1, -1, 1, -1, -1, -1, -1, -1)
    renamed = cloud.name()
    assert cloud.ok("one.vn.rename", vnet, renamed) == vnet
    names = [item.text for item in cloud.xml("one.vnpool.info", -2, -1, -1).findall("VNET/NAME")]
    assert renamed in names


def test_leases(cloud: Cloud, ground: dict[str, Any]) -> None:
    vm = cloud.instantiate(ground["template"], hold=True)
    nic = cloud.xml("one.vm.info", vm).find("TEMPLATE/NIC")
    assert nic is not None
    assert nic.findtext("NETWORK") == ground["net"]
    address = nic.findtext("IP")
    leases = cloud.xml("one.vn.info", ground["vnet"]).findall("AR_POOL/AR/LEASES/LEASE")
    assert {item.findtext("IP"): item.findtext("VM") for item in leases}[address] == str(vm)


def test_a_network_in_use_stays(cloud: Cloud, ground: dict[str, Any]) -> None:
    vnet, name = _network(cloud)
    template = cloud.template(f'{ground["placed"]}\nNIC=[NETWORK="{name}"]')
    cloud.instantiate(template, hold=True)
    assert cloud.error("one.vn.delete", vnet) == (
        2048, "Cannot delete virtual network. Can not remove a virtual network with leases in use",
    )  # fmt: skip


def test_host(cloud: Cloud, ground: dict[str, Any]) -> None:
    info = cloud.xml("one.host.info", ground["host"])
    assert info.tag == "HOST"
    assert info.findtext("STATE") == "2"
    assert info.findtext("VM_MAD") == "dummy"
    assert int(info.findtext("HOST_SHARE/MAX_CPU") or 0) > 0
    ids = [item.text for item in cloud.xml("one.hostpool.info").findall("HOST/ID")]
    assert str(ground["host"]) in ids
    assert cloud.error("one.host.info", 99999) == (1024, "Error getting host [99999].")


@pytest.mark.not_observed
def test_host_delete(cloud: Cloud) -> None:
    host = cloud.ok("one.host.allocate", cloud.name(), "dummy", "dummy", 0)
    assert cloud.ok("one.host.delete", host) == host
    assert cloud.error("one.host.info", host)[0] == 1024


def test_pools_around(cloud: Cloud) -> None:
    clusters = [item.text for item in cloud.xml("one.clusterpool.info").findall("CLUSTER/NAME")]
    assert "default" in clusters
    stores = {item.findtext("ID"): item for item in cloud.xml("one.datastorepool.info").findall("DATASTORE")}
    assert stores["1"].findtext("NAME") == "default"
    zones = cloud.xml("one.zonepool.info")
    assert zones.tag == "ZONE_POOL"
