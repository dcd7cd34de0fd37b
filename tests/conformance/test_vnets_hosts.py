# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks, hosts, clusters, datastores."""

from __future__ import annotations

from typing import Any

import pytest

from .conformance_client import RUNNING, Cloud


def _network(cloud: Cloud) -> tuple[int, str]:
    name = cloud.name()
    text = (
        f'NAME="{name}"\nVN_MAD="dummy"\nBRIDGE="br0"\nAR=[TYPE="IP4",IP="10.9.0.10",SIZE="20"]\n'
        'NETWORK_ADDRESS="10.9.0.0"\nNETWORK_MASK="255.255.255.0"\nGATEWAY="10.9.0.1"\nDNS="10.9.0.1"'
    )
    vnet: int = cloud.ok("one.vn.allocate", text, -1)
    cloud.undo(lambda: cloud.ok("one.vn.delete", vnet))
    # Before that it has no addresses.
    cloud.until(lambda: cloud.xml("one.vn.info", vnet).findtext("STATE") == "1", "network READY")
    return vnet, name


def test_network(cloud: Cloud) -> None:
    vnet, name = _network(cloud)
    info = cloud.xml("one.vn.info", vnet)
    assert info.tag == "VNET"
    assert info.findtext("NAME") == name
    assert info.findtext("VN_MAD") == "dummy"
    assert info.findtext("TEMPLATE/GATEWAY") == "10.9.0.1"
    assert info.findtext("AR_POOL/AR/IP") == "10.9.0.10"
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
    assert cloud.ok("one.vn.lock", vnet, 4, False) == vnet
    assert cloud.ok("one.vn.unlock", vnet) == vnet
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
    share = info.find("HOST_SHARE")
    assert share is not None
    for name in ("MEM_USAGE", "CPU_USAGE", "TOTAL_MEM", "TOTAL_CPU", "MAX_MEM", "VMS_THREAD", "DATASTORES/FREE_DISK"):
        assert (share.findtext(name) or "").isdigit(), name


def test_devices_of_a_host(cloud: Cloud, ground: dict[str, Any]) -> None:
    listed = cloud.xml("one.host.info", ground["host"]).findall("HOST_SHARE/PCI_DEVICES/PCI")
    gpu = {item.findtext("SHORT_ADDRESS"): item for item in listed}["02:00.0"]
    names = ("ADDRESS", "TYPE", "VENDOR", "DEVICE", "CLASS", "CLASS_NAME", "NUMA_NODE", "SRIOV", "VMID")
    assert [gpu.findtext(name) for name in names] == [
        "0000:02:00:0", "10de:0863:0302", "10de", "0863", "0302", "3D controller", "1", "no", "-1",
    ]  # fmt: skip
    assert (gpu.findtext("PROFILES") or "").startswith("1145 (NVIDIA L40S-1B),1146 (NVIDIA L40S-2B),")
    assert [item.tag for item in gpu] == sorted(item.tag for item in gpu)
    physical = {item.findtext("IFNAME"): item.findtext("SRIOV_NUM") for item in listed}
    assert physical["pf0"] == physical["pf1"] == "8"


@pytest.mark.not_observed
def test_a_device_goes_to_a_vm_and_comes_back(cloud: Cloud, ground: dict[str, Any]) -> None:
    def holder() -> str | None:
        listed = cloud.xml("one.host.info", ground["host"]).findall("HOST_SHARE/PCI_DEVICES/PCI")
        return {item.findtext("SHORT_ADDRESS"): item.findtext("VMID") for item in listed}["02:00.0"]

    extra = 'PCI=[VENDOR="10de",CLASS="0302"]'
    vm = cloud.instantiate(ground["template"], extra)
    cloud.wait_vm(vm, RUNNING)
    assert holder() == str(vm)
    given = cloud.xml("one.vm.info", vm).find("TEMPLATE/PCI")
    assert given is not None
    assert [given.findtext(name) for name in ("ADDRESS", "SHORT_ADDRESS", "DEVICE", "PCI_ID", "VM_ADDRESS")] == [
        "0000:02:00:0", "02:00.0", "0863", "0", "01:01.0",
    ]  # fmt: skip
    second = cloud.instantiate(ground["template"], extra, hold=True)
    code, text = cloud.error("one.vm.deploy", second, ground["host"], True, -1, "")
    assert code == 2048
    assert text.endswith(f"VM [{second}] does not fit in HOST [{ground['host']}]. Unavailable PCI device.")
    cloud.end(vm)
    assert holder() == "-1"


@pytest.mark.not_observed
def test_numa_and_monitoring_of_a_host(cloud: Cloud, ground: dict[str, Any]) -> None:
    info = cloud.xml("one.host.info", ground["host"])
    nodes = info.findall("HOST_SHARE/NUMA_NODES/NODE")
    assert [node.findtext("NODE_ID") for node in nodes] == ["0", "1"]
    assert (nodes[1].findtext("CORE/ID"), nodes[1].findtext("CORE/CPUS")) == ("8", "8:-1,24:-1,40:-1,56:-1")
    assert nodes[0].findtext("MEMORY/DISTANCE") == "0 1"
    assert int(info.findtext("MONITORING/CAPACITY/FREE_MEMORY") or 0) > 0
    pool = {item.findtext("ID"): item for item in cloud.xml("one.hostpool.info").findall("HOST")}
    assert pool[str(ground["host"])].find("MONITORING/CAPACITY") is None


@pytest.mark.not_observed
def test_room_that_is_reserved(cloud: Cloud, ground: dict[str, Any]) -> None:
    host = ground["host"]
    total = int(cloud.xml("one.host.info", host).findtext("HOST_SHARE/TOTAL_CPU") or 0)
    cloud.ok("one.host.update", host, 'RESERVED_CPU="100"', 1)
    cloud.undo(lambda: cloud.ok("one.host.update", host, 'RESERVED_CPU=""', 1))
    share = cloud.xml("one.host.info", host)
    assert (share.findtext("HOST_SHARE/TOTAL_CPU"), share.findtext("HOST_SHARE/MAX_CPU")) == (
        str(total), str(total - 100),
    )  # fmt: skip


def test_reservation(cloud: Cloud) -> None:
    vnet, _name = _network(cloud)
    part = cloud.ok("one.vn.reserve", vnet, f'SIZE="3"\nNAME="{cloud.name()}"')
    cloud.undo(lambda: cloud.until(lambda: cloud.raw("one.vn.delete", vnet)[0] is True, "network without reservation"))
    cloud.undo(lambda: cloud.ok("one.vn.delete", part))
    listed = {item.findtext("ID"): item for item in cloud.xml("one.vnpool.info", -2, -1, -1).findall("VNET")}
    reserved, parent = listed[str(part)], listed[str(vnet)]
    assert reserved.findtext("PARENT_NETWORK_ID") == str(vnet)
    assert parent.find("PARENT_NETWORK_ID") is not None
    assert not parent.findtext("PARENT_NETWORK_ID")
    assert (parent.findtext("USED_LEASES"), reserved.findtext("USED_LEASES")) == ("3", "0")
    ar = reserved.find("AR_POOL/AR")
    assert ar is not None
    assert [ar.findtext(name) for name in ("IP", "MAC", "SIZE", "PARENT_NETWORK_AR_ID")] == [
        "10.9.0.10", "02:00:0a:09:00:0a", "3", "0",
    ]  # fmt: skip
    owner = (1 << 38) + part
    assert parent.findtext("AR_POOL/AR/ALLOCATED") == f" 0 {owner} 1 {owner} 2 {owner}"
    assert parent.find("AR_POOL/AR/USED_LEASES") is None, "only one.vn.info tells it"
    leases = cloud.xml("one.vn.info", vnet).findall("AR_POOL/AR/LEASES/LEASE")
    assert [item.findtext("VNET") for item in leases] == [str(part)] * 3
    cloud.ok("one.vn.hold", vnet, 'LEASES=[IP="10.9.0.15"]')
    cloud.ok("one.vn.release", vnet, 'LEASES=[IP="10.9.0.15"]')


@pytest.mark.not_observed
def test_addresses_on_hold(cloud: Cloud) -> None:
    vnet, name = _network(cloud)
    cloud.ok("one.vn.hold", vnet, 'LEASES=[IP="10.9.0.15"]')
    cloud.undo(lambda: cloud.ok("one.vn.release", vnet, 'LEASES=[IP="10.9.0.15"]'))
    assert cloud.ok("one.vn.chown", vnet, -1, 1) == vnet
    (lease,) = cloud.xml("one.vn.info", vnet).findall("AR_POOL/AR/LEASES/LEASE")
    assert (lease.findtext("IP"), lease.findtext("VM")) == ("10.9.0.15", "-1")
    pool = cloud.xml("one.vnpool.info", -2, vnet, vnet).findall("VNET")
    assert [item.findtext("NAME") for item in pool] == [name]
    assert pool[0].findtext("AR_POOL/AR/ALLOCATED") == f" 5 {(1 << 36) + 0xFFFFFFFF}"


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
    users = {item.findtext("ID"): item.findtext("NAME") for item in cloud.xml("one.userpool.info").findall("USER")}
    assert users["0"] == "oneadmin"
    groups = {item.findtext("ID"): item.findtext("NAME") for item in cloud.xml("one.grouppool.info").findall("GROUP")}
    assert (groups["0"], groups["1"]) == ("oneadmin", "users")
    zones = cloud.xml("one.zonepool.info")
    assert zones.tag == "ZONE_POOL"
