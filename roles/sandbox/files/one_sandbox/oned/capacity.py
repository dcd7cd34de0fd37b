# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Room on hosts and in datastores."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from .records import Record
from .template import scalar

if TYPE_CHECKING:
    from .core import Oned


def vm_needs(vm: Record) -> tuple[int, int]:
    """(CPU in hundredths of a core, memory in KB) of a VM."""
    return round(float(scalar(vm.template, "CPU", "0")) * 100), int(scalar(vm.template, "MEMORY", "0")) * 1024


class HostUsage:
    """What VMs use on each host, counted as they come and go (asking every VM each time would be slow)."""

    def __init__(self) -> None:
        self._by_vm: dict[int, tuple[int, int, int]] = {}
        self._vms: dict[int, set[int]] = {}
        self._sums: dict[int, tuple[int, int]] = {}

    def set(self, vm: Record, hid: int | None) -> None:
        """The VM now takes its room on that host (None: nowhere)."""
        if vm.oid in self._by_vm:
            old, cpu, memory = self._by_vm.pop(vm.oid)
            self._vms[old].discard(vm.oid)
            self._add(old, -cpu, -memory)
        if hid is not None:
            cpu, memory = vm_needs(vm)
            self._by_vm[vm.oid] = (hid, cpu, memory)
            self._vms.setdefault(hid, set()).add(vm.oid)
            self._add(hid, cpu, memory)

    def _add(self, hid: int, cpu: int, memory: int) -> None:
        used = self.used(hid)
        self._sums[hid] = (used[0] + cpu, used[1] + memory)

    def vms(self, hid: int) -> list[int]:
        """VMs on a host."""
        return sorted(self._vms.get(hid, ()))

    def count(self, hid: int) -> int:
        """How many."""
        return len(self._vms.get(hid, ()))

    def used(self, hid: int) -> tuple[int, int]:
        """(CPU in hundredths, memory in KB) in use."""
        return self._sums.get(hid, (0, 0))


def datastore_images(oned: Oned, oid: int) -> Iterator[Record]:
    """Images of a datastore."""
    return (image for image in oned.pools["image"].values() if image.data["datastore"] == oid)


def datastore_used(oned: Oned, oid: int) -> int:
    """MB that images take there."""
    return sum(image.data["size"] for image in datastore_images(oned, oid))
