# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""PCI devices of hosts, and which VM has which.

A host keeps its devices in data["pci"]: dicts of the attributes that its monitoring reports, and VMID, -1 while free.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from . import errors, xml
from . import template as tpl
from .errors import OnedError, RpcFault
from .records import Record

if TYPE_CHECKING:
    from .core import Oned

Device = dict[str, str]
FREE = "-1"
_ASKED = ("VENDOR", "DEVICE", "CLASS")
_GIVEN = ("DOMAIN", "BUS", "SLOT", "FUNCTION", "ADDRESS", "SHORT_ADDRESS", *_ASKED)
_GIVEN_IF_KNOWN = ("NUMA_NODE", "UUID", "MDEV_MODE")
# What the server decides: a template cannot set it.
_ALLOCATION = ("DOMAIN", "BUS", "SLOT", "FUNCTION", "ADDRESS", "PREV_ADDRESS", "NUMA_NODE", "UUID", "MDEV_MODE")
_GUEST_BUS = "0x01"


def check(template: tpl.Template) -> list[tpl.Vector]:
    """The PCI sections of a new VM, numbered. Raises OnedError 16384 for one that asks for nothing or for nonsense."""
    result = []
    for index, wanted in enumerate(tpl.sections(template, "PCI")):
        if wanted.get("TYPE") == "NIC":
            raise RpcFault(-506, "The sandbox does not give PCI devices as network interfaces (PCI with TYPE=NIC).")
        vector = {key: value for key, value in wanted.items() if key not in _ALLOCATION}
        found = False
        for name in _ASKED:
            value = vector.get(name, "")
            if value and _hex(value) is None:
                raise OnedError(errors.ALLOCATE, f"Wrong Hex value for PCI attribute {name}")
            found = found or bool(value)
        if not found and not vector.get("SHORT_ADDRESS"):
            raise OnedError(errors.ALLOCATE, "SHORT_ADDRESS, DEVICE, VENDOR or CLASS must be defined for PCI.")
        if found and vector.get("SHORT_ADDRESS"):
            raise OnedError(errors.ALLOCATE, "SHORT_ADDRESS cannot be set with DEVICE, VENDOR or CLASS")
        vector["PCI_ID"] = str(index)
        vector.setdefault("VM_BUS", _GUEST_BUS)
        result.append(vector)
    return result


def fits(host: Record, vm: Record) -> bool:
    """Whether the host has a free device for each that the VM asks for."""
    return _choose(host, tpl.sections(vm.template, "PCI"), vm.oid) is not None


def settle(oned: Oned, vm: Record, hid: int | None) -> None:
    """The VM takes its room on that host (None: nowhere): give it its devices there and take back those elsewhere."""
    wanted = tpl.sections(vm.template, "PCI")
    if not wanted:
        return
    for host in oned.pools["host"].values():
        if host.oid != hid:
            _take_back(oned, host, vm, wanted)
    home = oned.find("host", hid) if hid is not None else None
    if home is not None and not _held(home, vm.oid):
        _give(oned, home, vm, wanted)
    tpl.set_sections(vm.template, "PCI", wanted)


def _held(host: Record, vm_id: int) -> list[Device]:
    return [device for device in host.data.get("pci", []) if device["VMID"] == str(vm_id)]


def _take_back(oned: Oned, host: Record, vm: Record, wanted: list[tpl.Vector]) -> None:
    for device in _held(host, vm.oid):
        device["VMID"] = FREE
        for vector in wanted:
            if vector.get("ADDRESS") == device["ADDRESS"]:
                del vector["ADDRESS"]
        oned.touch(host)


def _give(oned: Oned, host: Record, vm: Record, wanted: list[tpl.Vector]) -> None:
    # A deployment by force goes on without the devices, as on a real server.
    for vector, device in zip(wanted, _choose(host, wanted, vm.oid) or [], strict=False):
        _hand_over(oned, host, vm, vector, device)


def _hand_over(oned: Oned, host: Record, vm: Record, vector: tpl.Vector, device: Device) -> None:
    device["VMID"] = str(vm.oid)
    vector.update({name: device.get(name, "") for name in _GIVEN})
    vector.update({name: device[name] for name in _GIVEN_IF_KNOWN if device.get(name)})
    slot = int(vector["PCI_ID"]) + 1
    bus = int(vector["VM_BUS"], 16)
    address = f"{bus:02x}:{slot:02x}.0"
    vector.update(
        VM_DOMAIN="0x0000", VM_FUNCTION="0", VM_SLOT=f"0x{slot:02x}", VM_BUS=f"0x{bus:02x}", VM_ADDRESS=address
    )
    context = vm.template.get("CONTEXT")
    if isinstance(context, dict):
        context[f"PCI{vector['PCI_ID']}_ADDRESS"] = address
    oned.touch(host)


def add(oned: Oned, host: Record, vm: Record, vector: tpl.Vector) -> bool:
    """Give a VM that is on the host one device more; False where none is free."""
    chosen = _choose(host, [vector], -1)
    if chosen is None:
        return False
    _hand_over(oned, host, vm, vector, chosen[0])
    return True


def give_back(oned: Oned, host: Record, vm: Record, vector: tpl.Vector) -> None:
    """Take one device from a VM."""
    for device in _held(host, vm.oid):
        if device["ADDRESS"] == vector.get("ADDRESS"):
            device["VMID"] = FREE
            oned.touch(host)


def _choose(host: Record, wanted: list[tpl.Vector], vm_id: int) -> list[Device] | None:
    """A device for each section, in their order; None where one of them finds none."""
    free = sorted((d for d in shown(host) if d["VMID"] in (FREE, str(vm_id))), key=lambda device: device["ADDRESS"])
    chosen: dict[int, Device] = {}
    # Those that name their device first: what is left is good for the others.
    for by_address in (True, False):
        for index, vector in enumerate(wanted):
            if (not any(vector.get(name) for name in _ASKED)) != by_address:
                continue
            found = next((device for device in free if _meets(device, vector, by_address)), None)
            if found is None:
                return None
            free.remove(found)
            chosen[index] = found
    return [chosen[index] for index in range(len(wanted))]


def _meets(device: Device, vector: tpl.Vector, by_address: bool) -> bool:
    if by_address:
        return device["SHORT_ADDRESS"] == vector.get("SHORT_ADDRESS")
    return all(not vector.get(name) or _hex(vector[name]) == _hex(device.get(name, "")) for name in _ASKED)


def _hex(value: str) -> int | None:
    return int(value, 16) if re.fullmatch(r"(0[xX])?[0-9a-fA-F]+", value.strip()) else None


def shown(host: Record) -> list[Device]:
    """The devices that PCI_FILTER and PCI_SHORT_ADDRESS of the host let through, and those in use."""
    filters = [_filter(part) for part in tpl.scalar(host.template, "PCI_FILTER").split(",") if part.strip()]
    addresses = [part.strip() for part in tpl.scalar(host.template, "PCI_SHORT_ADDRESS").split(",") if part.strip()]

    def passes(device: Device) -> bool:
        ours = tuple(device.get(name, "") for name in _ASKED)
        by_filter = not filters or any(
            all(want in ("*", have) for want, have in zip(wanted, ours, strict=True)) for wanted in filters
        )
        return by_filter and (not addresses or device["SHORT_ADDRESS"] in addresses)

    devices: list[Device] = host.data.get("pci", [])
    return [device for device in devices if device["VMID"] != FREE or passes(device)]


def _filter(text: str) -> tuple[str, ...]:
    parts = [part.strip() or "*" for part in text.split(":")]
    return tuple((parts + ["*", "*", "*"])[:3])


def render(host: Record) -> str:
    """PCI_DEVICES."""
    return f"<PCI_DEVICES>{''.join(_vector(device) for device in shown(host))}</PCI_DEVICES>"


def _vector(device: Device) -> str:
    return f"<PCI>{''.join(xml.raw(name, device[name]) for name in sorted(device))}</PCI>"


def device(
    short_address: str, kind: str, names: tuple[str, str, str], *, numa_node: int = 0, sriov: str = "no",
    interface: str = "-", **more: str,
) -> Device:  # fmt: skip
    """A free device. short_address: "02:00.0"; kind: "vendor:device:class" in hex; names: of these three."""
    bus, slot, function = re.split("[:.]", short_address)
    vendor, number, klass = kind.split(":")
    return {
        "ADDRESS": f"0000:{bus}:{slot}:{function}", "SHORT_ADDRESS": short_address, "DOMAIN": "0000", "BUS": bus,
        "SLOT": slot, "FUNCTION": function, "TYPE": kind, "VENDOR": vendor, "DEVICE": number, "CLASS": klass,
        "VENDOR_NAME": names[0], "DEVICE_NAME": names[1], "CLASS_NAME": names[2], "NUMA_NODE": str(numa_node),
        "SRIOV": sriov, "IFNAME": interface, "VMID": FREE, **more,
    }  # fmt: skip


_PROFILES = ",".join(
    f"{number} (NVIDIA L40S-{size}{series})"
    for number, (size, series) in enumerate(
        [(size, "B") for size in (1, 2)]
        + [(size, series) for series in "QA" for size in (1, 2, 3, 4, 6, 8, 12, 16, 24, 48)],
        start=1145,
    )
)
_USB, _ETHERNET, _MELLANOX = "USB controller", "Ethernet controller", "Mellanox Technologies"
_FUNCTION = "MT27710 Family [ConnectX-4 Lx Virtual Function]"


def of_driver(driver: str) -> list[Device]:
    """The devices that a host of this driver reports: those of OpenNebula's dummy driver, none for containers."""
    if driver != "dummy":
        return []
    functions = [(0, number) for number in range(2, 8)] + [(1, number) for number in range(8)] + [(2, 0), (2, 1)]
    return [
        device(
            "02:00.0", "10de:0863:0302", ("NVIDIA Corporation", "C79 [GeForce 9400M]", "3D controller"), numa_node=1,
            PROFILES=_PROFILES,
        ),
        device(
            "00:06.0", "1b21:0aa7:0c03", ("ASMedia Technology Inc.", "MCP79 OHCI USB 1.1 Controller", _USB), numa_node=1
        ),
        device("00:06.1", "1022:0aa9:0c03", ("Advanced Micro Devices, Inc.", "MCP79 EHCI USB 2.0 Controller", _USB)),
        device(
            "04:00.1", "14e4:165f:0200",
            ("Broadcom Inc. and subsidiaries", "NetXtreme BCM5720 Gigabit Ethernet PCIe", _ETHERNET),
            interface="eno8403",
        ),
        *(
            device(
                f"81:00.{number}", "15b3:1015:0200", (_MELLANOX, "MT27710 Family [ConnectX-4 Lx]", _ETHERNET),
                sriov="pf", interface=f"pf{number}", SRIOV_NUM="8",
            )
            for number in range(2)
        ),
        *(
            device(
                f"81:{slot:02x}.{number}", "15b3:1016:0200", (_MELLANOX, _FUNCTION, _ETHERNET), sriov="vf",
                interface=f"vf0{slot}{number}",
            )
            for slot, number in functions
        ),
    ]  # fmt: skip
