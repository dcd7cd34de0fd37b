# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NICs, disks, PCI devices and size of existing VMs, against a sandbox cloud."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm.devices import (
    DISK,
    NIC,
    PCI,
    compare_devices,
    satisfied,
)

GPU = {"VENDOR": "10de", "DEVICE": "0863", "CLASS": "0302"}


@pytest.fixture
def web(cloud, name, vm_template) -> dict[str, Any]:
    """A running VM with one NIC."""
    result = cloud.run("one_vm", name=name, template=vm_template)
    assert result.ok, result
    return result["vm"]


@pytest.fixture
def second(cloud, name) -> str:
    """The name of a second network."""
    text = f'NAME="{name}-net"\nVN_MAD="dummy"\nBRIDGE="br9"\nAR=[TYPE="IP4",IP="10.9.0.10",SIZE="50"]'
    cloud.admin.call("one.vn.allocate", text, -1)
    return f"{name}-net"


def networks(result: dict[str, Any]) -> list[str]:
    assert result.ok, result
    return [nic["network"] for nic in result["vm"]["nics"]]


@pytest.mark.parametrize("state", ["running", "poweroff"])
def test_a_missing_nic_is_attached_and_only_on_request_one_is_detached(cloud, web, second, state) -> None:
    assert cloud.run("one_vm", id=web["id"], state=state).ok
    both = [{"NETWORK": "private"}, {"network": second}]
    result = cloud.converge("one_vm", id=web["id"], state=state, nics=both)
    assert networks(result) == ["private", second]
    assert result["steps"] == [f"attach NIC (NETWORK={second}) to VM {web['name']}"]
    assert result["diff"]["after"][web["name"]]["nics"][1] == {"network": second}
    assert result["vm"]["nics"][1]["ip"].startswith("10.9.0.")
    assert result["vm"]["context"]["ETH1_IP"] == result["vm"]["nics"][1]["ip"]
    less = cloud.converge("one_vm", id=web["id"], state=state, nics=[{"NETWORK": second}])
    assert not less["changed"] and networks(less) == ["private", second]
    gone = cloud.converge("one_vm", id=web["id"], state=state, nics=[{"NETWORK": second}], detach=True)
    assert networks(gone) == [second] and gone["vm"]["state"] == state.upper()
    assert networks(cloud.converge("one_vm", id=web["id"], state=state, nics=[], detach=True)) == []


def test_each_nic_serves_one_wanted_entry(cloud, web) -> None:
    result = cloud.converge("one_vm", id=web["id"], nics=[{"NETWORK": "private"}, {"NETWORK_ID": 0}])
    assert networks(result) == ["private", "private"]
    given = [{"NETWORK": "private", "IP": nic["ip"]} for nic in reversed(result["vm"]["nics"])]
    assert not cloud.converge("one_vm", id=web["id"], nics=given)["changed"]


def test_the_prediction_is_what_comes(cloud, web, second) -> None:
    wanted = {"id": web["id"], "nics": [{"NETWORK": second}], "detach": True, "memory": 96, "context": {"A": "b"},
              "attributes": {"X": "1"}, "labels": ["l"], "lock": "manage", "state": "poweroff"}  # fmt: skip
    predicted = cloud.run("one_vm", check=True, **wanted)["vm"]
    real = cloud.run("one_vm", **wanted)
    assert real.ok, real
    volatile = ("state_id", "lcm_state_id", "nics", "context", "ip", "host")
    assert {key: value for key, value in predicted.items() if key not in volatile} == {
        key: value for key, value in real["vm"].items() if key not in volatile
    }
    assert [nic["network"] for nic in predicted["nics"]] == networks(real)
    mine = {key: value for key, value in real["vm"]["context"].items() if not key.startswith("ETH")}
    assert mine == {key: value for key, value in predicted["context"].items() if not key.startswith("ETH")}
    assert cloud.run("one_vm", id=web["id"], lock="none", state="absent").ok


@pytest.mark.parametrize("state", ["running", "poweroff"])
def test_disks_are_attached_enlarged_and_detached(cloud, web, image, state) -> None:
    assert cloud.run("one_vm", id=web["id"], state=state).ok
    result = cloud.converge("one_vm", id=web["id"], state=state, disks=[{"IMAGE": image}])
    assert [disk["image"] for disk in result["vm"]["disks"]] == [image]
    size = result["vm"]["disks"][0]["size"] + 10
    larger = cloud.converge("one_vm", id=web["id"], state=state, disks=[{"IMAGE": image, "SIZE": size}])
    assert [disk["size"] for disk in larger["vm"]["disks"]] == [size] and "resize disk" in larger["steps"][0]
    smaller = cloud.run("one_vm", id=web["id"], state=state, disks=[{"IMAGE": image, "SIZE": 1}])
    assert "cannot shrink to 1 MB" in smaller["msg"] and cloud.calls.writes == 0
    volatile = {"TYPE": "fs", "SIZE": 20, "FORMAT": "raw"}
    other = cloud.converge("one_vm", id=web["id"], state=state, disks=[volatile], detach=True)
    assert [(disk["image"], disk["size"]) for disk in other["vm"]["disks"]] == [("", 20)]


def test_a_failed_attachment_is_told_in_the_words_of_the_vm(cloud, web, second, image) -> None:
    cloud.driver.fail_change[web["name"]] = "no slot is free"
    try:
        for params in ({"nics": [{"NETWORK": second}]}, {"disks": [{"IMAGE": image}]}):
            result = cloud.run("one_vm", id=web["id"], **params)
            assert not result.ok and "could not be attached" in result["msg"], result
            assert "no slot is free" in result["msg"] and "RUNNING" in cloud.run("one_vm", id=web["id"])["vm"]["state"]
        resized = cloud.run("one_vm", id=web["id"], memory=96)
        assert not resized.ok and "could not be resized: " in resized["msg"] and "no slot is free" in resized["msg"]
    finally:
        cloud.driver.fail_change.clear()
    assert networks(cloud.run("one_vm", id=web["id"])) == ["private"]


def test_refusals_of_devices(cloud, web) -> None:
    unknown = cloud.run("one_vm", id=web["id"], nics=[{"NETWORK": "nope"}])
    assert "does not own a network with name: nope" in unknown["msg"]
    empty = cloud.run("one_vm", id=web["id"], nics=[{}])
    assert "nics has an empty entry" in empty["msg"] and cloud.calls.writes == 0
    assert cloud.run("one_vm", id=web["id"], state="suspended").ok
    parked = cloud.run("one_vm", id=web["id"], state="present", nics=[{"NETWORK": "private"}, {"NETWORK": "private"}])
    assert "wrong state SUSPENDED" in parked["msg"] and "state=poweroff" in parked["msg"]


def test_devices_are_changed_on_the_way_to_a_state_that_allows_it(cloud, web, second) -> None:
    both = [{"NETWORK": "private"}, {"NETWORK": second}]
    assert cloud.run("one_vm", id=web["id"], state="suspended").ok
    resumed = cloud.converge("one_vm", id=web["id"], nics=both)
    assert [step.split()[0] for step in resumed["steps"]] == ["resume", "attach"]
    off = cloud.converge("one_vm", id=web["id"], state="poweroff", nics=both[:1], detach=True)
    assert [step.split()[0] for step in off["steps"]] == ["poweroff", "detach"]
    on = cloud.converge("one_vm", id=web["id"], state="running", nics=both)
    assert [step.split()[0] for step in on["steps"]] == ["attach", "resume"]


def test_pci_devices_need_a_vm_that_is_off(cloud, web) -> None:
    gpu = [GPU]
    running = cloud.run("one_vm", id=web["id"], pcis=gpu)
    assert "poweroff" in running["msg"], running
    result = cloud.converge("one_vm", id=web["id"], state="poweroff", pcis=gpu)
    assert [pci["vendor"] for pci in result["vm"]["pcis"]] == ["10de"] and result["vm"]["pcis"][0]["address"]
    taken = cloud.run("one_vm", id=web["id"], state="poweroff", pcis=gpu * 2)
    assert "Cannot assign PCI device in host" in taken["msg"]
    gone = cloud.converge("one_vm", id=web["id"], state="poweroff", pcis=[], detach=True)
    assert gone["vm"]["pcis"] == []


def test_nics_that_are_passed_through_belong_to_new_vms(cloud, web) -> None:
    """The sandbox has none, so the devices of the VM are written down here."""
    function = {"VENDOR": "15b3", "DEVICE": "1016", "CLASS": "0200", "TYPE": "NIC", "NETWORK": "private"}
    present = [{**function, "PCI_ID": "0", "NIC_ID": "1", "IP": "10.0.0.1"}, {**GPU, "PCI_ID": "1"}]
    assert not compare_devices(PCI, [function, GPU], present, detach=True)
    gone = compare_devices(PCI, [], present, detach=True)
    assert [device["PCI_ID"] for device in gone.detach] == ["1"] and not gone.attach
    plain = {"VENDOR": "15b3"}
    assert compare_devices(PCI, [plain], present, detach=False).attach == [plain]
    refused = cloud.run("one_vm", id=web["id"], state="poweroff", pcis=[function])
    assert "TYPE=NIC in pcis) can only be given to a new VM" in refused["msg"] and cloud.calls.writes == 0
    alias = cloud.run("one_vm", id=web["id"], nics=[{"NETWORK": "private", "PARENT": "NIC0"}])
    assert "nics cannot hold NIC aliases" in alias["msg"] and cloud.calls.writes == 0


def test_a_running_vm_that_cannot_be_resized_says_what_to_do(cloud, web) -> None:
    cloud.driver.live_resize = False
    try:
        predicted = cloud.run("one_vm", id=web["id"], memory=96, check=True)
        assert predicted["changed"]
        result = cloud.run("one_vm", id=web["id"], memory=96)
        assert "Hotplug resize not supported by driver dummy; power it off first" in result["msg"]
        off = cloud.converge("one_vm", id=web["id"], memory=96, state="poweroff")
        assert off["vm"]["memory"] == 96 and off["steps"][0].startswith("poweroff")
        on = cloud.converge("one_vm", id=web["id"], memory=128, state="running")
        assert on["vm"]["memory"] == 128 and on["steps"][0].startswith("resize")
    finally:
        cloud.driver.live_resize = True
    assert cloud.converge("one_vm", id=web["id"], vcpu=2)["vm"]["vcpu"] == 2


def test_capacity_is_enforced_unless_switched_off(cloud, web) -> None:
    assert cloud.run("one_vm", id=web["id"], state="poweroff").ok
    refused = cloud.run("one_vm", id=web["id"], state="present", cpu=100000)
    assert "capacity" in refused["msg"]
    allowed = cloud.converge("one_vm", id=web["id"], state="present", cpu=100000, enforce_capacity=False)
    assert allowed["vm"]["cpu"] == 100000
    assert cloud.run("one_vm", id=web["id"], state="absent").ok


def test_matching_finds_the_best_assignment() -> None:
    present = [{"NIC_ID": "0", "NETWORK": "a", "IP": "1"}, {"NIC_ID": "1", "NETWORK": "a", "IP": "2"}]
    assert satisfied([{"NETWORK": "a"}, {"NETWORK": "a", "IP": "1"}], present)
    assert not satisfied([{"NETWORK": "a"}] * 3, present)
    changes = compare_devices(NIC, [{"NETWORK": "a", "IP": "2", "NETWORK_UNAME": "x"}], present, True)
    assert changes.detach == [present[0]] and not changes.attach
    groups = [{"NIC_ID": "0", "NETWORK": "a", "SECURITY_GROUPS": "0,100"}]
    assert satisfied([{"SECURITY_GROUPS": "100"}], groups) and not satisfied([{"SECURITY_GROUPS": "1"}], groups)
    disks = [{"DISK_ID": "0", "IMAGE": "x", "SIZE": "20"}, {"DISK_ID": "1", "IMAGE": "x", "SIZE": "10"}]
    grown = compare_devices(DISK, [{"IMAGE": "x", "SIZE": "30"}, {"IMAGE": "x", "SIZE": "20"}], disks, False)
    assert grown.grow == [(disks[1], 30)]
