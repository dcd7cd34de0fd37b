# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines: what the VM module and the inventory ask for."""

from __future__ import annotations

from typing import Any
from xml.etree import ElementTree

import pytest

from .conformance_client import RUNNING, Cloud

POWEROFF, DONE, HOLD = ("8", "0"), ("6", "0"), ("2", "0")


@pytest.fixture
def running(cloud: Cloud, ground: dict[str, Any]) -> int:
    """A VM in RUNNING."""
    vm = cloud.instantiate(ground["template"])
    cloud.wait_vm(vm, RUNNING)
    return vm


def test_life(cloud: Cloud, running: int) -> None:
    info = cloud.xml("one.vm.info", running)
    assert info.tag == "VM"
    assert info.findtext("TEMPLATE/CONTEXT/FOO") == "a b"
    assert info.findtext("TEMPLATE/CONTEXT/VMID") == str(running)
    assert info.findtext("TEMPLATE/CONTEXT/ETH0_IP") == info.findtext("TEMPLATE/NIC/IP")
    assert info.findtext("USER_TEMPLATE/DESCRIPTION") == "t"
    assert info.findtext("HISTORY_RECORDS/HISTORY/HOSTNAME")
    assert cloud.ok("one.vm.action", "poweroff-hard", running) == running
    cloud.wait_vm(running, POWEROFF)
    cloud.ok("one.vm.action", "resume", running)
    cloud.wait_vm(running, RUNNING)
    cloud.ok("one.vm.action", "terminate-hard", running)
    cloud.wait_vm(running, DONE)
    assert cloud.ok("one.vm.action", "terminate", running) == running
    listed = cloud.xml("one.vmpool.info", -2, -1, -1, -1)
    assert str(running) not in [item.text for item in listed.findall("VM/ID")]


def test_actions_that_do_not_fit(cloud: Cloud, running: int) -> None:
    assert cloud.error("one.vm.action", "resume", running) == (
        2048, 'Error performing action "resume": This action is not available for state RUNNING',
    )  # fmt: skip
    assert cloud.error("one.vm.action", "foo", running) == (2048, 'Action "foo" is not supported')
    assert cloud.error("one.vm.deploy", running, 0, False, -1, "") == (
        2048, "Deploy action is not available for state RUNNING",
    )  # fmt: skip
    assert cloud.error("one.vm.info", 99999) == (1024, "Error getting virtual machine [99999].")


def test_names(cloud: Cloud, ground: dict[str, Any]) -> None:
    template_name = cloud.xml("one.template.info", ground["template"]).findtext("NAME")
    vm = cloud.ok("one.template.instantiate", ground["template"], "", True, "", False)
    cloud.undo(lambda: cloud.end(vm))
    assert cloud.xml("one.vm.info", vm).findtext("NAME") == f"{template_name}-{vm}"
    fresh = cloud.name()
    assert cloud.ok("one.vm.rename", vm, fresh) == vm
    assert cloud.xml("one.vm.info", vm).findtext("NAME") == fresh
    other = cloud.ok("one.template.instantiate", ground["template"], fresh, True, "", False)
    cloud.undo(lambda: cloud.end(other))


def test_hold_and_release(cloud: Cloud, ground: dict[str, Any]) -> None:
    vm = cloud.instantiate(ground["template"], hold=True)
    assert cloud.vm_state(vm) == HOLD
    cloud.ok("one.vm.action", "release", vm)
    cloud.wait_vm(vm, RUNNING)


def test_extra_template(cloud: Cloud, ground: dict[str, Any]) -> None:
    extra = f'MEMORY="128"\nFLOWER="x"\nCONTEXT=[BAR="b"]\nNIC=[NETWORK="{ground["net"]}",IP="10.77.0.99"]'
    vm = cloud.xml("one.vm.info", cloud.instantiate(ground["template"], extra, hold=True))
    assert vm.findtext("TEMPLATE/MEMORY") == "128"
    assert vm.findtext("USER_TEMPLATE/FLOWER") == "x"
    assert vm.findtext("TEMPLATE/CONTEXT/BAR") == "b"
    assert vm.find("TEMPLATE/CONTEXT/FOO") is None
    assert [item.text for item in vm.findall("TEMPLATE/NIC/IP")] == ["10.77.0.99"]


def test_update_merges_or_replaces(cloud: Cloud, ground: dict[str, Any]) -> None:
    vm = cloud.instantiate(ground["template"], hold=True)
    cloud.ok("one.vm.update", vm, 'FLOWER_FEDERATION="f1"', 1)
    info = cloud.xml("one.vm.info", vm)
    assert info.findtext("USER_TEMPLATE/FLOWER_FEDERATION") == "f1"
    assert info.findtext("USER_TEMPLATE/DESCRIPTION") == "t"
    cloud.ok("one.vm.update", vm, 'ONLY="1"', 0)
    left = cloud.xml("one.vm.info", vm).find("USER_TEMPLATE")
    assert left is not None
    assert left.findtext("ONLY") == "1"
    assert left.find("FLOWER_FEDERATION") is None


def test_updateconf(cloud: Cloud, running: int) -> None:
    cloud.ok("one.vm.updateconf", running, 'CONTEXT=[NETWORK="YES",TOKEN="YES",FOO="c"]', 1)
    cloud.until(
        lambda: cloud.xml("one.vm.info", running).findtext("TEMPLATE/CONTEXT/FOO") == "c", "context of the VM changed"
    )
    cloud.until(lambda: cloud.vm_state(running) == RUNNING, "RUNNING after updateconf")
    cloud.ok("one.vm.action", "poweroff-hard", running)
    cloud.wait_vm(running, POWEROFF)
    cloud.ok("one.vm.updateconf", running, 'CONTEXT=[FOO="d"]')
    context = cloud.xml("one.vm.info", running).find("TEMPLATE/CONTEXT")
    assert context is not None
    assert context.findtext("FOO") == "d"
    assert context.find("ETH0_IP") is None
    cloud.end(running)
    refused = cloud.error("one.vm.updateconf", running, 'CONTEXT=[FOO="e"]', 1)
    assert refused[1] == "configuration cannot be updated in state DONE"


@pytest.mark.not_observed
def test_updateconf_replaces_every_section(cloud: Cloud, running: int) -> None:
    cloud.ok("one.vm.action", "poweroff-hard", running)
    cloud.wait_vm(running, POWEROFF)
    cloud.ok("one.vm.updateconf", running, 'OS=[ARCH="x86_64"]\nRAW=[TYPE="kvm",DATA="<x/>"]', 1)
    cloud.ok("one.vm.updateconf", running, 'CONTEXT=[FOO="d"]')
    template = cloud.xml("one.vm.info", running).find("TEMPLATE")
    assert template is not None
    assert template.find("RAW") is None and template.findtext("CONTEXT/FOO") == "d"


def test_resize_and_nics(cloud: Cloud, ground: dict[str, Any], running: int) -> None:
    cloud.ok("one.vm.attachnic", running, f'NIC=[NETWORK="{ground["net"]}"]')
    cloud.until(lambda: cloud.vm_state(running) == RUNNING, "RUNNING after attachnic")
    assert len(cloud.xml("one.vm.info", running).findall("TEMPLATE/NIC")) == 2
    assert cloud.xml("one.vm.info", running).findtext("TEMPLATE/CONTEXT/ETH1_IP")
    cloud.ok("one.vm.detachnic", running, 1)
    cloud.until(lambda: len(cloud.xml("one.vm.info", running).findall("TEMPLATE/NIC")) == 1, "NIC gone")
    cloud.until(lambda: cloud.vm_state(running) == RUNNING, "RUNNING after detachnic")
    cloud.ok("one.vm.action", "poweroff-hard", running)
    cloud.wait_vm(running, POWEROFF)
    cloud.ok("one.vm.resize", running, 'CPU="0.2"\nMEMORY="128"\nVCPU="2"', True)
    info = cloud.xml("one.vm.info", running)
    assert (info.findtext("TEMPLATE/MEMORY"), info.findtext("TEMPLATE/VCPU")) == ("128", "2")


def test_disks(cloud: Cloud, ground: dict[str, Any]) -> None:
    image = cloud.image()
    vm = cloud.instantiate(cloud.template(f'{ground["placed"]}\nDISK=[IMAGE_ID="{image}"]'), hold=True)
    disk = cloud.xml("one.vm.info", vm).find("TEMPLATE/DISK")
    assert disk is not None
    assert disk.findtext("IMAGE_ID") == str(image)
    assert disk.findtext("CLONE") == "YES"
    assert cloud.xml("one.image.info", image).findtext("STATE") == "2"
    assert cloud.error("one.image.delete", image, False) == (
        2048, "Cannot delete image. There are 1 VMs using it.",
    )  # fmt: skip
    cloud.end(vm)
    cloud.wait_image(image, "1")


def test_rights_and_lock(cloud: Cloud, ground: dict[str, Any]) -> None:
    vm = cloud.instantiate(ground["template"], hold=True)
    cloud.ok("one.vm.chmod", vm, 1, 1, 0, 1, 0, 0, 0, 0, 0)
    assert cloud.xml("one.vm.info", vm).findtext("PERMISSIONS/GROUP_U") == "1"
    assert cloud.ok("one.vm.chown", vm, 0, 0) == vm
    cloud.ok("one.vm.lock", vm, 4, False)
    code, message = cloud.error("one.vm.action", "terminate-hard", vm)
    cloud.ok("one.vm.unlock", vm)
    assert code == 512
    assert message.endswith(f"VM is locked. [{vm}].")


def _ids(pool: ElementTree.Element) -> list[str | None]:
    return [item.text for item in pool.findall("VM/ID")]


def test_pools(cloud: Cloud, ground: dict[str, Any]) -> None:
    first = cloud.instantiate(ground["template"], hold=True)
    second = cloud.instantiate(ground["template"], hold=True)
    reduced = cloud.xml("one.vmpool.info", -2, -1, -1, -1)
    mine = next(item for item in reduced.findall("VM") if item.findtext("ID") == str(first))
    assert mine.find("TEMPLATE/CONTEXT") is None
    assert mine.find("PERMISSIONS") is None
    assert mine.find("USER_TEMPLATE/DESCRIPTION") is None
    ids = _ids(reduced)
    assert ids.index(str(second)) < ids.index(str(first)), "the newest comes first"
    extended = cloud.xml("one.vmpool.infoextended", -2, -1, -1, -1, "")
    mine = next(item for item in extended.findall("VM") if item.findtext("ID") == str(first))
    assert mine.findtext("USER_TEMPLATE/DESCRIPTION") == "t"
    assert mine.findtext("TEMPLATE/CONTEXT/FOO") == "a b"
    assert _ids(cloud.xml("one.vmpool.infoset", f"{first},{second},99999", True)) == [str(second), str(first)]
    assert set(_ids(cloud.xml("one.vmpool.info", -2, first, second, -1))) == {str(first), str(second)}
    assert str(first) not in _ids(cloud.xml("one.vmpool.info", -2, -1, -1, 3))


@pytest.mark.not_observed
def test_recover_deletes(cloud: Cloud, ground: dict[str, Any]) -> None:
    vm = cloud.instantiate(ground["template"])
    cloud.wait_vm(vm, RUNNING)
    assert cloud.ok("one.vm.recover", vm, 3) == vm
    cloud.wait_vm(vm, DONE)


@pytest.mark.not_observed
def test_undeploy_and_suspend(cloud: Cloud, running: int) -> None:
    for action, state in (("suspend", ("5", "0")), ("undeploy-hard", ("9", "0"))):
        cloud.ok("one.vm.action", action, running)
        cloud.wait_vm(running, state)
        cloud.ok("one.vm.action", "resume", running)
        cloud.wait_vm(running, RUNNING)


def test_resize_while_running(cloud: Cloud, running: int) -> None:
    assert cloud.ok("one.vm.resize", running, 'CPU="0.2"\nMEMORY="128"\nVCPU="2"', True) == running
    cloud.until(lambda: cloud.vm_state(running) == RUNNING, "RUNNING after resize")
    assert cloud.xml("one.vm.info", running).findtext("TEMPLATE/MEMORY") == "128"


@pytest.mark.not_observed
def test_devices_of_a_vm_that_is_off(cloud: Cloud, ground: dict[str, Any], running: int) -> None:
    image = cloud.image()
    cloud.ok("one.vm.action", "poweroff-hard", running)
    cloud.wait_vm(running, POWEROFF)
    cloud.ok("one.vm.attachnic", running, f'NIC=[NETWORK="{ground["net"]}"]')
    cloud.wait_vm(running, POWEROFF)
    cloud.ok("one.vm.attach", running, f'DISK=[IMAGE_ID="{image}"]')
    cloud.wait_vm(running, POWEROFF)
    disk = cloud.xml("one.vm.info", running).find("TEMPLATE/DISK")
    assert disk is not None
    number, size = int(disk.findtext("DISK_ID") or "-1"), int(disk.findtext("SIZE") or "0")
    assert cloud.error("one.vm.diskresize", running, number, str(size)) == (
        2048, "New disk size has to be greater than current one",
    )  # fmt: skip
    cloud.ok("one.vm.diskresize", running, number, str(size + 8))
    cloud.wait_vm(running, POWEROFF)
    assert cloud.xml("one.vm.info", running).findtext("TEMPLATE/DISK/SIZE") == str(size + 8)
    cloud.ok("one.vm.detachnic", running, 1)
    assert len(cloud.xml("one.vm.info", running).findall("TEMPLATE/NIC")) == 1


@pytest.mark.not_observed
def test_devices_in_a_state_that_does_not_allow_them(cloud: Cloud, ground: dict[str, Any], running: int) -> None:
    assert cloud.error("one.vm.attachpci", running, 'PCI=[VENDOR="10de"]') == (
        2048, "VM in wrong state, it has to be in poweroff",
    )  # fmt: skip
    cloud.ok("one.vm.action", "suspend", running)
    cloud.wait_vm(running, ("5", "0"))
    assert cloud.error("one.vm.attachnic", running, f'NIC=[NETWORK="{ground["net"]}"]') == (
        2048, f"Could not add a new NIC to VM {running}, wrong state SUSPENDED.",
    )  # fmt: skip
    assert cloud.error("one.vm.resize", running, 'MEMORY="96"', True) == (
        2048, "Cannot resize a VM in state SUSPENDED",
    )  # fmt: skip
    assert cloud.error("one.vm.recover", running, 2) == (
        2048, f"Could not perform a retry on VM {running}, wrong state SUSPENDED.",
    )  # fmt: skip


@pytest.mark.not_observed
def test_recover_recreates(cloud: Cloud, ground: dict[str, Any], running: int) -> None:
    assert cloud.ok("one.vm.recover", running, 1) == running, "there is nothing to recover, which is no fault"
    assert cloud.vm_state(running) == RUNNING
    assert cloud.ok("one.vm.recover", running, 4) == running
    cloud.wait_vm(running, RUNNING)
    cloud.end(running)
    assert cloud.error("one.vm.recover", running, 4) == (2048, "Cannot delete-recreate a VM already in DONE state")
