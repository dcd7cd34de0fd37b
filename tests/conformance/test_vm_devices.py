# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Disks and PCI devices of VMs that exist."""

from __future__ import annotations

from typing import Any

import pytest

from .conformance_client import RUNNING, Cloud

POWEROFF = ("8", "0")


@pytest.fixture
def running(cloud: Cloud, ground: dict[str, Any]) -> int:
    """A VM in RUNNING."""
    vm = cloud.instantiate(ground["template"])
    cloud.wait_vm(vm, RUNNING)
    return vm


def test_disk_comes_and_goes(cloud: Cloud, running: int) -> None:
    image = cloud.image()
    name = cloud.xml("one.image.info", image).findtext("NAME")
    assert cloud.ok("one.vm.attach", running, f'DISK=[IMAGE="{name}"]') == running
    cloud.until(lambda: cloud.vm_state(running) == RUNNING, "RUNNING after attach")
    disk = cloud.xml("one.vm.info", running).find("TEMPLATE/DISK")
    assert disk is not None
    assert (disk.findtext("IMAGE_ID"), disk.findtext("DISK_ID")) == (str(image), "1")
    assert cloud.error("one.vm.detach", running, 0) == (2048, "VM disk does not exist")
    assert cloud.ok("one.vm.detach", running, 1) == running
    cloud.until(lambda: cloud.xml("one.vm.info", running).find("TEMPLATE/DISK") is None, "disk gone")
    cloud.until(lambda: cloud.vm_state(running) == RUNNING, "RUNNING after detach")
    cloud.wait_image(image, "1")


@pytest.mark.not_observed
def test_disk_grows(cloud: Cloud, ground: dict[str, Any]) -> None:
    image = cloud.image()
    vm = cloud.instantiate(cloud.template(f'{ground["placed"]}\nDISK=[IMAGE_ID="{image}"]'))
    cloud.wait_vm(vm, RUNNING)
    assert cloud.ok("one.vm.diskresize", vm, 0, "16") == vm
    cloud.until(lambda: cloud.vm_state(vm) == RUNNING, "RUNNING after diskresize")
    assert cloud.xml("one.vm.info", vm).findtext("TEMPLATE/DISK/SIZE") == "16"
    assert cloud.error("one.vm.diskresize", vm, 0, "8")[0] == 2048


@pytest.mark.not_observed
def test_pci_device_of_a_vm_that_is_off(cloud: Cloud, ground: dict[str, Any], running: int) -> None:
    wanted = 'PCI=[SHORT_ADDRESS="02:00.0"]'
    assert cloud.error("one.vm.attachpci", running, wanted)[0] == 2048
    cloud.ok("one.vm.action", "poweroff-hard", running)
    cloud.wait_vm(running, POWEROFF)
    assert cloud.ok("one.vm.attachpci", running, wanted) == running
    given = cloud.xml("one.vm.info", running).find("TEMPLATE/PCI")
    assert given is not None
    assert [given.findtext(name) for name in ("PCI_ID", "ADDRESS", "VENDOR")] == ["0", "0000:02:00:0", "10de"]

    def holder() -> str | None:
        listed = cloud.xml("one.host.info", ground["host"]).findall("HOST_SHARE/PCI_DEVICES/PCI")
        return {item.findtext("SHORT_ADDRESS"): item.findtext("VMID") for item in listed}["02:00.0"]

    assert holder() == str(running)
    assert cloud.error("one.vm.detachpci", running, 7) == (2048, "PCI device not found")
    assert cloud.ok("one.vm.detachpci", running, 0) == running
    assert cloud.xml("one.vm.info", running).find("TEMPLATE/PCI") is None
    assert holder() == "-1"


@pytest.mark.not_observed
def test_vm_without_a_template(cloud: Cloud) -> None:
    name = cloud.name()
    vm = cloud.ok("one.vm.allocate", f'NAME="{name}"\nCPU="0.1"\nMEMORY="64"', True)
    cloud.undo(lambda: cloud.end(vm))
    assert cloud.xml("one.vm.info", vm).findtext("NAME") == name
    assert cloud.vm_state(vm) == ("2", "0")
