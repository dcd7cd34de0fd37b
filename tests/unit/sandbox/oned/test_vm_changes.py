# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changing VMs that exist: devices that fail, sizes, PCI devices, recovery."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from one_sandbox import Sandbox

from .conftest import Client, MakeCloud, dummy_of


@pytest.fixture(scope="module", autouse=True)
def _base(one: Client) -> None:
    one("template.allocate", 'NAME="base"\nCPU="0.1"\nMEMORY="64"\nNIC=[NETWORK="private"]\n'
        'CONTEXT=[NETWORK="YES",A="$NAME",B="b"]')  # fmt: skip
    one("image.allocate", 'NAME="data"\nTYPE="DATABLOCK"\nSIZE="8"', 1)


@pytest.fixture
def running(one: Client) -> int:
    oid = int(one("template.instantiate", 0, ""))
    one.running(oid)
    return oid


@pytest.fixture
def off(one: Client, running: int) -> int:
    one("vm.action", "poweroff-hard", running)
    one.wait("vm.info", running, STATE="8", LCM_STATE="0")
    return running


@pytest.fixture
def failing(cloud: Sandbox, one: Client, running: int) -> Iterator[int]:
    """A VM of which no part can be changed."""
    faults = dummy_of(cloud).fail_change
    faults[one.read("vm.info", running)["NAME"]] = "no"
    yield running
    faults.clear()


def at_rest(one: Client, oid: int) -> dict[str, Any]:
    return one.running(oid)


@pytest.mark.parametrize(
    ("call", "section", "words"),
    [
        (("vm.attachnic", 'NIC=[NETWORK="private"]'), "NIC", "Error attaching new VM NIC: no"),
        (("vm.attach", 'DISK=[IMAGE="data"]'), "DISK", "Error attaching new VM Disk: no"),
        (("vm.resize", 'MEMORY="96"', True), "MEMORY", "Error resizing VM: no"),
    ],
)
def test_a_change_that_fails_leaves_the_vm_as_it_was(one: Client, failing: int, call: Any, section: str, words: str
                                                     ) -> None:  # fmt: skip
    before = one.read("vm.info", failing)["TEMPLATE"].get(section)
    assert one(call[0], failing, *call[1:]) == failing
    after = one.wait("vm.info", failing, STATE="3", LCM_STATE="3")
    assert after["TEMPLATE"].get(section) == before
    assert after["USER_TEMPLATE"]["ERROR"].endswith(words)
    assert one.read("image.info", 0)["RUNNING_VMS"] == "0"


def test_devices_of_a_vm_that_is_off(one: Client, off: int) -> None:
    one("vm.attachnic", off, 'NIC=[NETWORK="private"]')
    assert one.read("vm.info", off)["STATE"] == "8", "nothing has to be told of a NIC while nothing runs"
    one("vm.attach", off, 'DISK=[IMAGE="data"]')
    assert one.read("vm.info", off)["LCM_STATE"] in ("33", "0")
    one.wait("vm.info", off, STATE="8", LCM_STATE="0")
    disk = one.read("vm.info", off)["TEMPLATE"]["DISK"]
    for size, words in (("x", "Disk SIZE is not a valid integer"), ("8", "has to be greater than current one")):
        assert words in one.fails("vm.diskresize", off, int(disk["DISK_ID"]), size).text
    assert "VM disk does not exist" in one.fails("vm.diskresize", off, 9, "20").text
    one("vm.diskresize", off, int(disk["DISK_ID"]), "20")
    vm = one.wait("vm.info", off, STATE="8", LCM_STATE="0")
    assert vm["TEMPLATE"]["DISK"]["SIZE"] == "20"
    one("vm.detach", off, int(disk["DISK_ID"]))
    one.wait("vm.info", off, STATE="8", LCM_STATE="0")
    assert "VM disk does not exist" in one.fails("vm.detach", off, int(disk["DISK_ID"])).text


def test_wrong_states(one: Client, off: int) -> None:
    one("vm.action", "resume", off)
    one.running(off)
    one("vm.action", "suspend", off)
    one.wait("vm.info", off, STATE="5")
    for method, arguments, words in (
        ("vm.attachnic", ('NIC=[NETWORK="private"]',), f"Could not add a new NIC to VM {off}, wrong state SUSPENDED."),
        ("vm.attach", ('DISK=[IMAGE="data"]',), f"Could not attach a new disk to VM {off}, wrong state SUSPENDED."),
        ("vm.detachnic", (0,), f"Could not detach NIC from VM {off}, wrong state SUSPENDED."),
        ("vm.resize", ('MEMORY="96"', True), "Cannot resize a VM in state SUSPENDED"),
        ("vm.attachpci", ('PCI=[SHORT_ADDRESS="02:00.0"]',), "VM in wrong state, it has to be in poweroff"),
    ):
        failure = one.fails(method, off, *arguments)
        assert (failure.code, failure.text) == (2048, f"[one.{method}] {words}")
    held = int(one("template.instantiate", 0, "", True))
    assert "VM is not running in any host" in one.fails("vm.attach", held, 'DISK=[IMAGE="data"]').text
    assert one("vm.resize", held, 'MEMORY="96"', True) == held


def test_resize_needs_a_driver_that_can_and_the_right_numbers(cloud: Sandbox, one: Client, running: int) -> None:
    dummy_of(cloud).live_resize = False
    try:
        failure = one.fails("vm.resize", running, 'MEMORY="96"', True)
    finally:
        dummy_of(cloud).live_resize = True
    assert (failure.code, failure.text) == (2048, "[one.vm.resize] Hotplug resize not supported by driver dummy")
    assert one.fails("vm.resize", running, 'MEMORY="-1"', True).code == 8192
    assert one("vm.resize", running, 'MEMORY="64"', True) == running
    one("vm.resize", running, 'MEMORY="96"', True)
    assert at_rest(one, running)["TEMPLATE"]["MEMORY"] == "96"


def test_pci_devices(one: Client, off: int) -> None:
    one("vm.attachpci", off, 'PCI=[VENDOR="10de",DEVICE="0863",CLASS="0302"]')
    one("vm.attachpci", off, 'PCI=[SHORT_ADDRESS="00:06.0"]')
    devices = one.read("vm.info", off)["TEMPLATE"]["PCI"]
    assert [(device["PCI_ID"], device["SHORT_ADDRESS"]) for device in devices] == [("0", "02:00.0"), ("1", "00:06.0")]
    held = [device for device in one.read("host.info", 0)["HOST_SHARE"]["PCI_DEVICES"]["PCI"] if device["VMID"] != "-1"]
    assert {device["VMID"] for device in held} == {str(off)} and len(held) == 2
    for text, words in (
        ('PCI=[VENDOR="10de"]', "Cannot assign PCI device in host. Check address and free devices"),
        ('PCI=[TYPE="NIC",VENDOR="10de"]', "Use one.vm.attachnic to attach this PCI device"),
        ("A=b", "PCI attribute not found"),
    ):
        assert words in one.fails("vm.attachpci", off, text).text
    one("vm.detachpci", off, 0)
    assert "PCI device not found" in one.fails("vm.detachpci", off, 0).text
    held = [device for device in one.read("host.info", 0)["HOST_SHARE"]["PCI_DEVICES"]["PCI"] if device["VMID"] != "-1"]
    assert [device["SHORT_ADDRESS"] for device in held] == ["00:06.0"]


def test_a_context_that_is_replaced_keeps_values_as_they_are(one: Client, running: int) -> None:
    name = one.read("vm.info", running)["NAME"]
    one("vm.updateconf", running, f'CONTEXT=[NETWORK="YES",A="{name}",C="$VMID"]', 0)
    context = at_rest(one, running)["TEMPLATE"]["CONTEXT"]
    assert (context["A"], context["C"]) == (name, str(running)) and "B" not in context and "ETH0_IP" in context
    one("vm.updateconf", running, 'CONTEXT=[A="other"]', 1)
    assert one.read("vm.info", running)["LCM_STATE"] in ("17", "3")
    assert at_rest(one, running)["TEMPLATE"]["CONTEXT"]["A"] == "other"


def test_recovery(cloud: Sandbox, one: Client, alice: Client) -> None:
    dummy_of(cloud).fail_deploy["broken"] = "no"
    oid = int(one("template.instantiate", 0, "broken"))
    one.wait("vm.info", oid, STATE="3", LCM_STATE="36")
    dummy_of(cloud).fail_deploy.clear()
    one("vm.recover", oid, 0)
    assert one.read("vm.info", oid)["LCM_STATE"] == "36"
    one("vm.recover", oid, 1)
    assert one.running(oid)["DEPLOY_ID"] == f"one-{oid}"
    one("vm.chown", oid, 2, -1)
    for operation in range(6):
        refused = alice.fails("vm.recover", oid, operation)
        assert refused.code == 512 and "ADMIN VM" in refused.text
    assert one.fails("vm.recover", oid, 7).text.endswith("Wrong recovery operation code")
    one("vm.action", "terminate-hard", oid)
    one.wait("vm.info", oid, STATE="6")
    for operation, words in (
        (1, f"Could not perform a recover operation on VM {oid}, wrong state DONE."),
        (2, f"Could not perform a retry on VM {oid}, wrong state DONE."),
        (4, "Cannot delete-recreate a VM already in DONE state"),
    ):
        assert one.fails("vm.recover", oid, operation).text == f"[one.vm.recover] {words}"


def test_the_end_of_a_failed_vm_cannot_fail(cloud: Sandbox, one: Client, running: int) -> None:
    record = cloud.oned.pools["vm"][running]
    with cloud.oned.transaction():
        record.data["lcm"] = 40
        cloud.oned.touch(record)
    one("vm.action", "terminate", running)
    vm = one.wait("vm.info", running, STATE="6")
    assert vm["HISTORY_RECORDS"]["HISTORY"]["ACTION"] == "13"


def test_a_private_copy_of_a_template(one: Client) -> None:
    template = int(one("template.allocate", 'NAME="os"\nCPU="0.1"\nMEMORY="16"\nDISK=[IMAGE="data"]'))
    oid = int(one("template.instantiate", template, "mine", False, 'FOO="bar"', True))
    vm = one.running(oid)
    copied = int(vm["TEMPLATE"]["TEMPLATE_ID"])
    assert copied != template and one.read("template.info", copied)["NAME"] == "mine"
    assert vm["USER_TEMPLATE"]["FOO"] == "bar" and vm["USER_TEMPLATE"]["CLONING_TEMPLATE_ID"] == str(template)
    image = one.read("image.info", int(vm["TEMPLATE"]["DISK"]["IMAGE_ID"]))
    assert (image["NAME"], image["PERSISTENT"]) == ("mine-disk-0", "1")
    taken = one.fails("template.instantiate", template, "mine", False, "", True)
    assert taken.code == 8192 and "NAME is already taken" in taken.text


def test_a_restart_in_the_middle_of_a_change(make_cloud: MakeCloud, tmp_path: Any) -> None:
    cloud = make_cloud(home=tmp_path)
    one = Client(cloud.endpoints.xmlrpc, f"{cloud.username}:{cloud.password}")
    one("template.allocate", 'NAME="t"\nCPU="0.1"\nMEMORY="16"')
    oid = int(one("template.instantiate", 0, "x"))
    one.running(oid)
    record = cloud.oned.pools["vm"][oid]
    with cloud.oned.transaction():
        record.data["lcm"] = 33
        cloud.oned.touch(record)
    cloud.stop()
    again = make_cloud(home=tmp_path)
    one = Client(again.endpoints.xmlrpc, f"{again.username}:{again.password}")
    assert one.wait("vm.info", oid, STATE="8")["LCM_STATE"] == "0"
