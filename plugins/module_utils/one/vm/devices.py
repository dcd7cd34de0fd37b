# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""NICs, disks and PCI devices that a VM shall have, against those it has: what to attach, to grow and to detach."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..data.template import normalise
from ..data.xml import as_list, number, text, vectors
from ..errors import OneUsageError
from .vm import disk_state, nic_state, pci_state

Vector = Mapping[str, str]


@dataclass(frozen=True)
class Kind:
    """One sort of device: option of the module, section and number in TEMPLATE, word for people, calls, states.

    states: those of a VM in which oned attaches and detaches it, the better one first.
    """

    option: str
    section: str
    number: str
    word: str
    attach: str
    detach: str
    states: tuple[str, ...]
    represent: Callable[[Vector], dict[str, Any]]


NIC = Kind("nics", "NIC", "NIC_ID", "NIC", "one.vm.attachnic", "one.vm.detachnic", ("POWEROFF", "RUNNING"), nic_state)
DISK = Kind("disks", "DISK", "DISK_ID", "disk", "one.vm.attach", "one.vm.detach", ("POWEROFF", "RUNNING"), disk_state)
PCI = Kind(
    "pcis", "PCI", "PCI_ID", "PCI device", "one.vm.attachpci", "one.vm.detachpci", ("POWEROFF", "UNDEPLOYED"), pci_state
)
KINDS = (DISK, NIC, PCI)

_MEGABYTES = re.compile(r"0*[1-9][0-9]*\Z")
# They say whose network or image is meant and are no property of the device.
_SELECTORS = ("_UNAME", "_UID")


@dataclass
class Changes:
    """What leads from the devices that are there to those that are wanted.

    grow: (device, MB). met: the wanted entries for which there is a device already.
    """

    attach: list[Vector] = field(default_factory=list)
    grow: list[tuple[Vector, int]] = field(default_factory=list)
    detach: list[Vector] = field(default_factory=list)
    keep: list[Vector] = field(default_factory=list)
    met: list[Vector] = field(default_factory=list)

    def __bool__(self) -> bool:
        return bool(self.attach or self.grow or self.detach)


def wanted_devices(kind: Kind, given: Sequence[Mapping[str, Any]] | None) -> list[Vector] | None:
    """Return what the user listed as vectors, None where nothing was said. Raises OneUsageError for empty entries."""
    if given is None:
        return None
    found = vectors(normalise({kind.section: list(given)}), kind.section)
    if any(not vector for vector in found):
        raise OneUsageError(f"{kind.option} has an empty entry", hint="say at least which network, image or device")
    if kind is NIC and any("PARENT" in vector for vector in found):
        raise OneUsageError("nics cannot hold NIC aliases (PARENT)", hint="give NIC_ALIAS in the VM template")
    for vector in found if kind is DISK else ():
        if "SIZE" in vector and not _MEGABYTES.match(vector["SIZE"]):
            raise OneUsageError(f"SIZE in disks must be a whole number of MB, such as 20480, not {vector['SIZE']!r}")
    return list(found)


def devices_of(kind: Kind, body: Mapping[str, Any]) -> list[Vector]:
    """Return the devices of that sort that a VM has."""
    found = vectors(body.get("TEMPLATE"), kind.section)
    return list(found)


def compare_devices(kind: Kind, wanted: Sequence[Vector], present: Sequence[Vector], detach: bool) -> Changes:
    """Match wanted entries with devices, each device serving one of them; disks of an image may be too small."""
    pairs = _assign([[fits(entry, device) for device in present] for entry in wanted])
    changes = Changes()
    for index, entry in enumerate(wanted):
        if index in pairs:
            continue
        smaller = _resizable(entry, present, set(pairs.values())) if kind is DISK else None
        if smaller is None:
            changes.attach.append(entry)
            continue
        pairs[index] = smaller
        size = number(entry, "SIZE")
        if size < number(present[smaller], "SIZE"):
            raise OneUsageError(
                f"disk {present[smaller]['DISK_ID']} ({text(present[smaller], 'IMAGE')}) has "
                f"{number(present[smaller], 'SIZE')} MB and cannot shrink to {size} MB"
            )
        changes.grow.append((present[smaller], size))
    if kind is PCI and any(passed_through(entry) for entry in changes.attach):
        raise OneUsageError(
            "a NIC that is passed through (TYPE=NIC in pcis) can only be given to a new VM",
            hint="attach it with onevm nic-attach, or make the VM anew",
        )
    changes.met.extend(wanted[index] for index in sorted(pairs))
    for index, device in enumerate(present):
        # A NIC that is passed through is a NIC, which pcis never takes away.
        going = detach and index not in pairs.values() and not (kind is PCI and passed_through(device))
        listed = changes.detach if going else changes.keep
        listed.append(device)
    return changes


def passed_through(device: Vector) -> bool:
    """Tell whether a PCI device is the NIC of a network."""
    return device.get("TYPE") == "NIC"


def satisfied(wanted: Sequence[Vector], present: Sequence[Vector]) -> bool:
    """Tell whether there is a device of its own for every wanted entry."""
    return len(_assign([[fits(entry, device) for device in present] for entry in wanted])) == len(wanted)


def fits(wanted: Vector, device: Vector, without: tuple[str, ...] = ()) -> bool:
    """Tell whether a device has all that an entry says of it."""
    if passed_through(wanted) != passed_through(device):
        return False
    for key, value in wanted.items():
        if key in without or key.endswith(_SELECTORS):
            continue
        found = device.get(key, "")
        if key == "SECURITY_GROUPS":
            # Those of the network are added to the ones that the NIC asks for.
            if not _words(value) <= _words(found):
                return False
        elif found.lower() != value.lower():
            return False
    return True


def _words(value: str) -> set[str]:
    return {part.strip() for part in value.split(",")}


def _resizable(wanted: Vector, present: Sequence[Vector], taken: set[int]) -> int | None:
    if "SIZE" not in wanted or not ("IMAGE" in wanted or "IMAGE_ID" in wanted):
        return None
    for index, device in enumerate(present):
        if index not in taken and fits(wanted, device, without=("SIZE",)):
            return index
    return None


def _assign(possible: Sequence[Sequence[bool]]) -> dict[int, int]:
    """Return the largest assignment of wanted entries to devices (Kuhn's algorithm): {wanted: device}."""
    holder: dict[int, int] = {}

    def place(entry: int, tried: set[int]) -> bool:
        for device, right in enumerate(possible[entry]):
            if not right or device in tried:
                continue
            tried.add(device)
            if device not in holder or place(holder[device], tried):
                holder[device] = entry
                return True
        return False

    for entry in range(len(possible)):
        place(entry, set())
    return {entry: device for device, entry in holder.items()}


def words_for(kind: Kind, device: Vector) -> str:
    """Return what a device is in a few words, with its number where it has one."""
    names = ("NETWORK", "IMAGE", "NETWORK_ID", "IMAGE_ID", "SHORT_ADDRESS", "ADDRESS", "VENDOR", "TYPE", "SIZE")
    what = next((f"{name}={device[name]}" for name in names if device.get(name)), "") or next(
        (f"{name}={value}" for name, value in device.items()), ""
    )
    identity = device.get(kind.number)
    return f"{kind.word} {identity} ({what})" if identity else f"{kind.word} ({what})"


def expected(kind: Kind, changes: Changes) -> list[dict[str, Any]]:
    """Return the devices as they will be; a new one has no number and no address yet."""
    grown = {id(device): size for device, size in changes.grow}
    kept = []
    for device in changes.keep:
        state = kind.represent(device)
        if id(device) in grown:
            state["size"] = grown[id(device)]
        kept.append(state)
    return kept + [{**kind.represent(vector), "id": None} for vector in changes.attach]


def shown(devices: Any) -> list[dict[str, Any]]:
    """Return devices for a difference: what is not known yet is left out."""
    return [
        {key: value for key, value in device.items() if value not in (None, "", -1)} for device in as_list(devices)
    ]
