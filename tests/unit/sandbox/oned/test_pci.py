# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI devices: what a host has, who gets which, what is refused, and when a device is free again."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Client, MakeCloud

GPU = 'PCI=[VENDOR="10de",CLASS="0302"]'


@pytest.fixture(scope="module")
def template(one: Client) -> int:
    """A VM template that asks for nothing special."""
    return int(one("template.allocate", 'NAME="pci"\nCPU="0.1"\nMEMORY="64"\nCONTEXT=[FOO="b"]'))


def devices(one: Client, host: int = 0) -> dict[str, dict[str, Any]]:
    """The devices of a host by short address."""
    listed = one.read("host.info", host)["HOST_SHARE"]["PCI_DEVICES"]["PCI"]
    return {device["SHORT_ADDRESS"]: device for device in (listed if isinstance(listed, list) else [listed])}


def end(one: Client, vm: int) -> dict[str, Any]:
    """Terminate a VM and wait for it."""
    one("vm.action", "terminate-hard", vm)
    return one.wait("vm.info", vm, STATE="6")


def test_a_dummy_host_reports_the_devices_of_the_real_driver(one: Client) -> None:
    found = devices(one)
    assert len(found) == 22
    gpu = found["02:00.0"]
    assert (gpu["ADDRESS"], gpu["TYPE"], gpu["CLASS_NAME"], gpu["NUMA_NODE"], gpu["VMID"]) == (
        "0000:02:00:0", "10de:0863:0302", "3D controller", "1", "-1",
    )  # fmt: skip
    assert gpu["PROFILES"].startswith("1145 (NVIDIA L40S-1B),1146 (NVIDIA L40S-2B),1147 (NVIDIA L40S-1Q),")
    assert gpu["PROFILES"].endswith("1165 (NVIDIA L40S-24A),1166 (NVIDIA L40S-48A)")
    assert found["81:00.0"]["SRIOV_NUM"] == "8" and found["81:01.7"]["IFNAME"] == "vf017"
    nodes = one.read("host.info", 0)["HOST_SHARE"]["NUMA_NODES"]["NODE"]
    assert [node["NODE_ID"] for node in nodes] == ["0", "1"]
    assert nodes[1]["CORE"][0]["CPUS"] == "8:-1,24:-1,40:-1,56:-1"


def test_a_device_goes_to_a_vm_and_comes_back(one: Client, template: int) -> None:
    vm = one("template.instantiate", template, "gpu", False, GPU)
    body = one.running(vm)["TEMPLATE"]
    assert (body["PCI"]["ADDRESS"], body["PCI"]["DEVICE"], body["PCI"]["NUMA_NODE"]) == ("0000:02:00:0", "0863", "1")
    assert (body["PCI"]["PCI_ID"], body["PCI"]["VM_ADDRESS"], body["PCI"]["VM_SLOT"]) == ("0", "01:01.0", "0x01")
    assert body["CONTEXT"]["PCI0_ADDRESS"] == "01:01.0"
    assert devices(one)["02:00.0"]["VMID"] == str(vm)
    one("vm.action", "poweroff-hard", vm)
    one.wait("vm.info", vm, STATE="8")
    assert devices(one)["02:00.0"]["VMID"] == str(vm), "a VM that is off keeps its device"
    assert "ADDRESS" not in end(one, vm)["TEMPLATE"]["PCI"]
    assert devices(one)["02:00.0"]["VMID"] == "-1"


def test_without_a_free_device_the_vm_waits(one: Client, template: int) -> None:
    first = one("template.instantiate", template, "first", False, 'PCI=[SHORT_ADDRESS="02:00.0"]')
    one.running(first)
    second = one("template.instantiate", template, "second", False, GPU)
    waiting = one.wait("vm.info", second, STATE="1")
    for _attempt in range(500):
        waiting = one.read("vm.info", second)
        if waiting["USER_TEMPLATE"]:
            break
    assert waiting["USER_TEMPLATE"]["SCHED_MESSAGE"].endswith(" : [HOST] Unavailable PCI devices on hosts: 0")
    refused = one.fails("vm.deploy", second, 0, True)
    assert (refused.code, refused.text) == (
        2048, f"[one.vm.deploy] VM [{second}] does not fit in HOST [0]. Unavailable PCI device.",
    )  # fmt: skip
    end(one, first)
    assert one.running(second)["TEMPLATE"]["PCI"]["SHORT_ADDRESS"] == "02:00.0"
    end(one, second)


def test_several_devices_of_one_vm_differ(one: Client, template: int) -> None:
    wanted = 'PCI=[DEVICE="1016"]\nPCI=[DEVICE="1016"]\nPCI=[SHORT_ADDRESS="81:00.2"]'
    vm = one("template.instantiate", template, "three", False, wanted)
    given = [vector["SHORT_ADDRESS"] for vector in one.running(vm)["TEMPLATE"]["PCI"]]
    assert given == ["81:00.3", "81:00.4", "81:00.2"]
    end(one, vm)


@pytest.mark.parametrize(
    ("asked", "text"),
    [
        ("PCI=[FOO=1]", "SHORT_ADDRESS, DEVICE, VENDOR or CLASS must be defined for PCI."),
        ('PCI=[VENDOR="gpu"]', "Wrong Hex value for PCI attribute VENDOR"),
        ('PCI=[SHORT_ADDRESS="02:00.0",VENDOR="10de"]', "SHORT_ADDRESS cannot be set with DEVICE, VENDOR or CLASS"),
    ],
)
def test_wrong_requests(one: Client, template: int, asked: str, text: str) -> None:
    failure = one.fails("template.instantiate", template, "x", False, asked)
    assert (failure.code, failure.text) == (
        16384, f"[one.template.instantiate] Error allocating a new virtual machine template. {text}",
    )  # fmt: skip


def test_ordinary_users_may_not_ask_for_devices(alice: Client) -> None:
    failure = alice.fails("template.allocate", f'NAME="a"\nCPU=1\nMEMORY=64\n{GPU}')
    assert failure.code == 512
    assert failure.text.endswith("VM Template includes a restricted attribute PCI.")


def test_the_host_says_what_it_lends(one: Client) -> None:
    one("host.update", 0, 'PCI_FILTER="10de:*:0302,15b3:1016"', 1)
    assert set(devices(one)) == {"02:00.0"} | {a for a in devices(one) if a.startswith("81:")}
    assert "81:00.0" not in devices(one)
    one("host.update", 0, 'PCI_SHORT_ADDRESS="02:00.0"', 1)
    assert set(devices(one)) == {"02:00.0"}
    one("host.update", 0, "", 0)
    assert len(devices(one)) == 22


def test_reserved_room(one: Client, alice: Client) -> None:
    share = one.read("host.info", 0)["HOST_SHARE"]
    total = int(share["TOTAL_CPU"])
    one("host.update", 0, 'RESERVED_CPU="200"\nRESERVED_MEM="50%"', 0)
    less = one.read("host.info", 0)["HOST_SHARE"]
    assert (int(less["TOTAL_CPU"]), int(less["MAX_CPU"])) == (total, total - 200)
    assert int(less["MAX_MEM"]) == int(share["TOTAL_MEM"]) // 2
    one("host.update", 0, "", 0)
    assert one.read("host.info", 0)["HOST_SHARE"]["MAX_CPU"] == str(total)
    assert alice.fails("host.update", 0, "A=1").code == 512
    assert one.read("host.info", 0)["MONITORING"]["CAPACITY"]["USED_CPU"].isdigit()
    assert "<MONITORING/>" in one("hostpool.info")


def test_devices_survive_a_restart(make_cloud: MakeCloud) -> None:
    cloud = make_cloud()
    one = Client(cloud.endpoints.xmlrpc, f"{cloud.username}:{cloud.password}")
    vm = one("template.instantiate", one("template.allocate", 'NAME="p"\nCPU=0.1\nMEMORY=64'), "keeps", False, GPU)
    one.running(vm)
    cloud.stop()
    again = make_cloud(home=cloud.home.path)
    one = Client(again.endpoints.xmlrpc, f"{again.username}:{again.password}")
    assert devices(one)["02:00.0"]["VMID"] == str(vm)
    assert one.running(vm)["TEMPLATE"]["PCI"]["ADDRESS"] == "0000:02:00:0"
    end(one, vm)
    assert devices(one)["02:00.0"]["VMID"] == "-1"
