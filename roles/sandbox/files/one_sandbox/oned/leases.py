# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Addresses of virtual networks: ranges and leases.

An address range is a dict: id, ip, size, type, mac, next (where to look first for a free address) and leases, a dict
from the offset (as text) to who has it: {"vm": id}, {"vnet": id} or {"hold": -1}.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Any

from . import errors
from .errors import OnedError
from .records import Record
from .template import Vector

if TYPE_CHECKING:
    from .core import Oned

Range = dict[str, Any]


def mac_of(ip: str) -> str:
    """02:00 and the address in hex."""
    packed = ipaddress.IPv4Address(ip).packed
    return "02:00:" + ":".join(f"{byte:02x}" for byte in packed)


def ip_at(ar: Range, offset: int) -> str:
    """The address at an offset of the range."""
    return str(ipaddress.IPv4Address(ar["ip"]) + offset)


def make_range(vector: Vector, ar_id: int) -> Range:
    """From an AR section. Raises OnedError 8192."""
    kind = vector.get("TYPE", "IP4")
    if kind != "IP4":
        raise OnedError(errors.INTERNAL, "Unknown or missing address range TYPE.")
    size = vector.get("SIZE", "")
    if not size.isdigit() or not int(size):
        raise OnedError(errors.INTERNAL, "Wrong SIZE for address range")
    try:
        ip = str(ipaddress.IPv4Address(vector.get("IP", "")))
    except ValueError:
        raise OnedError(errors.INTERNAL, "Wrong IP for address range") from None
    return {
        "id": ar_id, "ip": ip, "size": int(size), "type": kind, "mac": mac_of(ip), "next": 0, "leases": {},
        "shared": "NO",
    }  # fmt: skip


def used(vnet: Record) -> int:
    """Leases in use."""
    return sum(len(ar["leases"]) for ar in vnet.data["ranges"])


def allocate(oned: Oned, vnet: Record, holder: dict[str, int], wanted_ip: str = "") -> tuple[Range, int] | None:
    """Take a free address, or the wanted one; None when there is none."""
    for ar in vnet.data["ranges"]:
        offset = _offset_of(ar, wanted_ip) if wanted_ip else _free_offset(ar)
        if offset is None or str(offset) in ar["leases"]:
            continue
        ar["leases"][str(offset)] = holder
        ar["next"] = (offset + 1) % ar["size"]
        oned.touch(vnet)
        return ar, offset
    return None


def restore(vnet: Record, ar_id: int, ip: str, vm_id: int) -> None:
    """Note again that a VM has an address."""
    for ar in vnet.data["ranges"]:
        offset = _offset_of(ar, ip) if ar["id"] == ar_id else None
        if offset is not None:
            ar["leases"][str(offset)] = {"vm": vm_id}


def _offset_of(ar: Range, ip: str) -> int | None:
    try:
        offset = int(ipaddress.IPv4Address(ip)) - int(ipaddress.IPv4Address(ar["ip"]))
    except ValueError:
        return None
    return offset if 0 <= offset < ar["size"] else None


def _free_offset(ar: Range) -> int | None:
    if len(ar["leases"]) >= ar["size"]:
        return None
    for step in range(ar["size"]):
        offset = (ar["next"] + step) % ar["size"]
        if str(offset) not in ar["leases"]:
            return int(offset)
    return None


def free(oned: Oned, vnet: Record | None, ip: str, holder: dict[str, int] | None = None) -> bool:
    """Give an address back (only the holder's, when one is named)."""
    if vnet is None:
        return False
    for ar in vnet.data["ranges"]:
        offset = _offset_of(ar, ip)
        if offset is None or str(offset) not in ar["leases"]:
            continue
        if holder is not None and ar["leases"][str(offset)] != holder:
            continue
        del ar["leases"][str(offset)]
        oned.touch(vnet)
        return True
    return False


def free_run(vnet: Record, size: int) -> tuple[Range, int] | None:
    """Where that many free addresses stand in a row: range and first offset."""
    for ar in vnet.data["ranges"]:
        run = 0
        for offset in range(ar["size"]):
            run = 0 if str(offset) in ar["leases"] else run + 1
            if run == size:
                return ar, offset - size + 1
    return None


def reserve(oned: Oned, vnet: Record, ar: Range, first: int, size: int, holder: int) -> Range:
    """Take these addresses for the network `holder`; returns its range."""
    for offset in range(first, first + size):
        ar["leases"][str(offset)] = {"vnet": holder}
    ar["next"] = (first + size) % ar["size"]
    oned.touch(vnet)
    ip = ip_at(ar, first)
    return {**ar, "id": 0, "ip": ip, "mac": mac_of(ip), "size": size, "next": 0, "leases": {}, "parent": ar["id"]}


def unreserve(oned: Oned, vnet: Record) -> None:
    """Give back what a network had reserved from its parent."""
    parent = oned.find("vn", vnet.data["parent"])
    if parent is None:
        return
    for ar in parent.data["ranges"]:
        ar["leases"] = {offset: holder for offset, holder in ar["leases"].items() if holder != {"vnet": vnet.oid}}
    oned.touch(parent)


def nic_from(vnet: Record, ar: Range, offset: int, nic_id: int, vm_id: int, wanted: Vector) -> Vector:
    """The NIC section of a VM with that lease."""
    ip = ip_at(ar, offset)
    template = vnet.template
    nic = dict(wanted)
    nic.update(
        AR_ID=str(ar["id"]), BRIDGE=str(template.get("BRIDGE", "")),
        BRIDGE_TYPE=str(template.get("BRIDGE_TYPE", "linux")),
        CLUSTER_ID="0", IP=ip, MAC=mac_of(ip), NETWORK=vnet.name, NETWORK_ID=str(vnet.oid), NIC_ID=str(nic_id),
        SECURITY_GROUPS=str(template.get("SECURITY_GROUPS", "0")), TARGET=f"one-{vm_id}-{nic_id}",
        VN_MAD=str(template.get("VN_MAD", "")),
    )  # fmt: skip
    nic.setdefault("NAME", f"NIC{nic_id}")
    for name in ("DNS", "GATEWAY"):
        if template.get(name):
            nic.setdefault(name, str(template[name]))
    return nic
