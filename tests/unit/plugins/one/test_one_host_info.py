# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts: room, NUMA nodes, PCI devices and the VMs that have them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import to_dict
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.hosts import represent_host

GPU = {"VENDOR": "10de", "CLASS": "0302"}


def read(cloud, **filters) -> dict[str, Any]:
    (found,) = cloud.run("one_host_info", **filters)["hosts"]
    return dict(found)


def gpu_of(host: dict[str, Any]) -> dict[str, Any]:
    (found,) = [device for device in host["pci_devices"] if device["class"] == "0302"]
    return dict(found)


@pytest.fixture
def holder(cloud, name) -> Iterator[int]:
    """A VM with the GPU of host 0."""
    template = {"CPU": 0.1, "MEMORY": 64, "PCI": GPU, "SCHED_REQUIREMENTS": 'ID = "0"'}
    assert cloud.run("one_template", name=name, template=template).ok
    made = cloud.run("one_vm", name=name, template=name)
    assert made.ok, made
    yield int(made["vms"][0]["id"])
    assert cloud.run("one_vm", name=name, state="absent", hard=True).ok


def test_hosts_tell_their_room(cloud) -> None:
    host = read(cloud, id=0)
    assert (host["state"], host["cluster"]["name"], host["vm_mad"]) == ("MONITORED", "default", "dummy")
    for room in (host["cpu"], host["memory"]):
        assert room["total"] == room["used"] + room["free"] and room["reserved"] == 0
    assert host["disk"] == {"total": 20480, "used": 0, "free": 20480, "datastores": []}
    assert host["monitoring"]["timestamp"] > 0 and host["monitoring"]["memory_free"] > 0
    assert read(cloud, name="sandbox")["monitoring"] == {}, "OpenNebula does not tell it of all hosts at once"


def test_reserved_room_is_not_free(cloud) -> None:
    before = read(cloud, id=0)["cpu"]
    cloud.admin.call("one.host.update", 0, 'RESERVED_CPU="400"\nRESERVED_MEM="-10%"', 0)
    try:
        host = read(cloud, id=0)
    finally:
        cloud.admin.call("one.host.update", 0, "", 0)
    assert host["cpu"]["reserved"] == 400 and host["cpu"]["free"] == before["free"] - 400
    assert host["cpu"]["total"] == before["total"] and host["memory"]["reserved"] < 0
    assert host["attributes"]["RESERVED_CPU"] == "400"


def test_numa_nodes(cloud) -> None:
    first, second = read(cloud, id=0)["numa_nodes"]
    assert (first["id"], first["distance"], second["distance"]) == (0, [0, 1], [1, 0])
    assert first["hugepages"][0] == {"size": 2048, "pages": 1024, "used": 0}
    assert len(second["cores"]) == 8 and second["cores"][0]["cpus"][1] == {"id": 24, "vm_id": None, "reserved": False}


def test_devices_that_nobody_has_cost_no_second_call(cloud) -> None:
    gpu = gpu_of(read(cloud, id=0))
    assert cloud.calls.total == 1
    assert (gpu["address"], gpu["short_address"], gpu["type"]) == ("0000:02:00:0", "02:00.0", "10de:0863:0302")
    assert (gpu["vendor_name"], gpu["class_name"], gpu["numa_node"]) == ("NVIDIA Corporation", "3D controller", 1)
    assert gpu["profiles"][0] == {"id": "1145", "name": "NVIDIA L40S-1B"} and len(gpu["profiles"]) == 22
    assert (gpu["vm_id"], gpu["vm"], gpu["interface"]) == (None, None, "")
    functions = [device for device in read(cloud, id=0)["pci_devices"] if device["sriov"] == "pf"]
    assert [(one["interface"], one["sriov_functions"]) for one in functions] == [("pf0", 8), ("pf1", 8)]


def test_who_has_a_device(cloud, name, holder) -> None:
    gpu = gpu_of(read(cloud, id=0))
    assert cloud.calls.total == 2
    assert (gpu["vm_id"], gpu["vm"]) == (holder, {"id": holder, "name": name, "owner": "oneadmin"})
    assert gpu_of(read(cloud, name="sandbox"))["vm"]["id"] == holder and cloud.calls.total == 2
    others = [device["vm"] for device in read(cloud, id=0)["pci_devices"] if device["class"] != "0302"]
    assert set(map(str, others)) == {"None"}


def test_a_device_is_free_again(cloud, name, holder) -> None:
    assert cloud.run("one_vm", name=name, state="absent", hard=True).ok
    assert gpu_of(read(cloud, id=0))["vm"] is None and cloud.calls.total == 1


def test_filters(cloud, name) -> None:
    hid = cloud.admin.call("one.host.allocate", name, "dummy", "dummy", 0)
    cluster = cloud.admin.call("one.cluster.allocate", name)
    cloud.admin.call("one.cluster.addhost", cluster, hid)

    def names(**filters) -> list[str]:
        result = cloud.run("one_host_info", **filters)
        assert result.ok and cloud.calls.total <= 2, result
        return [one["name"] for one in result["hosts"]]

    try:
        assert names() == ["sandbox", name] and names(ids=[hid, 0, 999]) == ["sandbox", name]
        assert names(cluster=name) == names(cluster=str(cluster)) == [name]
        assert names(cluster="default") == ["sandbox"] and names(name="sand*") == ["sandbox"]
        cloud.admin.call("one.host.status", hid, 1)
        assert names(states=["disabled"]) == [name] and names(state="MONITORED") == ["sandbox"]
        assert names(name="nope") == [] and names(ids=[]) == [] and names(id=999) == []
    finally:
        cloud.admin.call("one.host.delete", hid)


def test_what_the_sandbox_does_not_have() -> None:
    """Pinned CPUs, mediated devices, disks per datastore, a host that failed: bodies in the form of the source."""
    host = represent_host(
        to_dict(
            "<HOST><ID>7</ID><STATE>3</STATE><HOST_SHARE><DATASTORES><DS><FREE_MB>1</FREE_MB><ID>100</ID>"
            "<TOTAL_MB>3</TOTAL_MB><USED_MB>2</USED_MB></DS></DATASTORES><PCI_DEVICES><PCI><ADDRESS>0000:41:00:4</ADDRESS>"
            "<UUID>e4042b96</UUID><MDEV_MODE>legacy</MDEV_MODE><PROFILES>odd</PROFILES><VMID>-1</VMID></PCI></PCI_DEVICES>"
            "<NUMA_NODES><NODE><CORE><CPUS>0:5,1:-2,2:-1</CPUS><DEDICATED>YES</DEDICATED><FREE>0</FREE><ID>0</ID></CORE>"
            "<NODE_ID>0</NODE_ID></NODE></NUMA_NODES></HOST_SHARE><TEMPLATE><ERROR>no ssh</ERROR></TEMPLATE></HOST>"
        )
    )
    assert (host["state"], host["error"], host["monitoring"]) == ("ERROR", "no ssh", {})
    assert host["disk"]["datastores"] == [{"id": 100, "total": 3, "used": 2, "free": 1}]
    (device,) = host["pci_devices"]
    assert (device["uuid"], device["mdev_mode"], device["profiles"]) == (
        "e4042b96", "legacy", [{"id": "odd", "name": ""}],
    )  # fmt: skip
    assert device["sriov"] == "no" and device["numa_node"] is None
    (core,) = host["numa_nodes"][0]["cores"]
    assert core["dedicated"] and [cpu["vm_id"] for cpu in core["cpus"]] == [5, None, None]
    assert [cpu["reserved"] for cpu in core["cpus"]] == [False, True, False]
