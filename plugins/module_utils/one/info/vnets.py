# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks for one_vnet_info: address ranges, and which VM, network or router has which address."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from ..api.connection import Connection
from ..core.filters import checked_states, has_state
from ..core.lock import lock_of
from ..core.objects import Kind, State
from ..core.pools import read_whole_pool, resolve
from ..data.states import VNET_STATES, state_name
from ..data.xml import common_fields, ids, labels_of, number, template_of, text, vectors
from .holders import read_holders
from .objects import read_objects

VNET = Kind("virtual network", "VNET", "one.vn", "one.vnpool.info")

# In ALLOCATED of a pool the upper half of a number says what has the address.
_VM, _VNET, _VROUTER, _OBJECT = 1 << 36, 1 << 38, 1 << 50, 0xFFFFFFFF
# OpenNebula keeps an address on hold as that of a VM which cannot be.
_HELD = -1
_OWN_FIELDS = frozenset(
    "AR_ID TYPE IP IP_END IP6 IP6_END IP6_GLOBAL IP6_GLOBAL_END IP6_ULA IP6_ULA_END MAC MAC_END SIZE USED_LEASES "
    "SHARED PARENT_NETWORK_AR_ID ALLOCATED LEASES NEXT_INDEX".split()
)


def read_vnets(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"vnets": [...]} for one_vnet_info."""
    cluster = params.get("cluster")
    states = checked_states(params.get("states"), VNET_STATES, "virtual networks")
    cluster_id = None if cluster is None else _cluster_id(connection, cluster)
    found = [
        one
        for one in read_objects(connection, VNET, represent_vnet, params)
        if has_state(one["state"], states)
        and (cluster_id is None or cluster_id in one["clusters"])
        and params.get("vn_mad") in (None, one["vn_mad"])
        and _is_reserved_from(one, params.get("parent"))
    ]
    if params.get("lease_holders"):
        _name_holders(connection, found)
    return {"vnets": found}


def _cluster_id(connection: Connection, reference: str) -> int:
    return resolve(reference, "cluster", lambda: read_whole_pool(connection, "one.clusterpool.info", "CLUSTER"))


def _is_reserved_from(vnet: State, parent: int | None) -> bool:
    return parent is None or vnet["parent"] == parent


def represent_vnet(body: Mapping[str, Any]) -> State:
    """Return a virtual network as modules hand it to a play; vlan ids are text, as a cloud may give names to them."""
    ranges = [_range(one) for one in vectors(body.get("AR_POOL"), "AR")]
    size = sum(one["size"] for one in ranges)
    used = number(body, "USED_LEASES", default=0)
    attributes = template_of(dict(body))
    return {
        **common_fields(dict(body)),
        "state": state_name(VNET_STATES, text(body, "STATE", default="1")),
        "state_id": number(body, "STATE", default=1),
        "lock": lock_of(body),
        "bridge": text(body, "BRIDGE"),
        "bridge_type": text(body, "BRIDGE_TYPE"),
        "vn_mad": text(body, "VN_MAD"),
        "phydev": text(body, "PHYDEV"),
        "vlan_id": text(body, "VLAN_ID"),
        "outer_vlan_id": text(body, "OUTER_VLAN_ID"),
        "clusters": ids(body.get("CLUSTERS")),
        "security_groups": [
            int(one) for one in text(attributes, "SECURITY_GROUPS").split(",") if one.strip().isdigit()
        ],
        "parent": _or_none(body, "PARENT_NETWORK_ID"),
        "template_id": _or_none(body, "TEMPLATE_ID"),
        "size": size,
        "used": used,
        "free": size - used,
        "address_ranges": ranges,
        "leases": [lease for one in ranges for lease in one.pop("leases")],
        "vrouters": ids(body.get("VROUTERS")),
        "vms": {
            name: ids(body.get(f"{name.upper()}_VMS")) for name in ("updated", "outdated", "updating", "error")
        },
        "labels": labels_of(attributes),
        "attributes": attributes,
        "error": text(attributes, "ERROR"),
    }


def _or_none(body: Any, name: str) -> int | None:
    found = number(body, name)
    return None if found < 0 else found


def _range(body: Mapping[str, Any]) -> dict[str, Any]:
    leases = _listed(body) or list(_unpacked(body))
    size = max(0, number(body, "SIZE", default=0))
    used = number(body, "USED_LEASES", default=len(leases))
    return {
        "id": number(body, "AR_ID"),
        "type": text(body, "TYPE"),
        "ip": text(body, "IP"),
        "ip_end": text(body, "IP_END") or _after(text(body, "IP"), size - 1),
        "ip6": text(body, "IP6_GLOBAL") or text(body, "IP6_ULA") or text(body, "IP6"),
        "ip6_end": text(body, "IP6_GLOBAL_END") or text(body, "IP6_ULA_END") or text(body, "IP6_END"),
        "mac": text(body, "MAC"),
        "mac_end": text(body, "MAC_END") or _mac_after(text(body, "MAC"), size - 1),
        "size": size,
        "used": used,
        "free": size - used,
        "shared": text(body, "SHARED") == "YES",
        "parent": _or_none(body, "PARENT_NETWORK_AR_ID"),
        "attributes": {name: value for name, value in body.items() if name not in _OWN_FIELDS},
        "leases": leases,
    }


def _lease(ar_id: int, kind: str, owner: int, **addresses: str) -> dict[str, Any]:
    return {
        "address_range": ar_id,
        "ip": addresses.get("ip", ""),
        "ip6": addresses.get("ip6", ""),
        "mac": addresses.get("mac", ""),
        "vm_id": owner if kind == "VM" and owner != _HELD else None,
        "vnet_id": owner if kind == "VNET" else None,
        "vrouter_id": owner if kind == "VROUTER" else None,
        "on_hold": kind == "VM" and owner == _HELD,
    }


def _listed(body: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Leases as one.vn.info lists them."""
    found = []
    for one in vectors(body.get("LEASES"), "LEASE"):
        kind = next((name for name in ("VM", "VNET", "VROUTER") if name in one), "VM")
        ip6 = text(one, "IP6_GLOBAL") or text(one, "IP6_ULA") or text(one, "IP6")
        found.append(
            _lease(number(body, "AR_ID"), kind, number(one, kind), ip=text(one, "IP"), ip6=ip6, mac=text(one, "MAC"))
        )
    return found


def _unpacked(body: Mapping[str, Any]) -> Iterable[dict[str, Any]]:
    """Leases as a pool packs them: pairs of the offset in the range and a number for the holder."""
    words = [word for word in text(body, "ALLOCATED").split() if word.isdigit()]
    for offset, packed in zip(map(int, words[::2]), map(int, words[1::2]), strict=False):
        owner = packed & _OBJECT
        kind = "VNET" if packed & _VNET else "VROUTER" if packed & _VROUTER else "VM"
        yield _lease(
            number(body, "AR_ID"),
            kind,
            _HELD if packed & _VM and owner == _OBJECT else owner,
            ip=_after(text(body, "IP"), offset),
            ip6=_after(text(body, "IP6"), offset),
            mac=_mac_after(text(body, "MAC"), offset),
        )


def _after(address: str, offset: int) -> str:
    try:
        return str(ip_address(address) + offset)
    except ValueError:
        return ""


def _mac_after(mac: str, offset: int) -> str:
    digits = mac.replace(":", "")
    if len(digits) != 12 or offset < 0:
        return ""
    # Only the lower four bytes count on, as in OpenNebula.
    moved = f"{digits[:4]}{(int(digits[4:], 16) + offset) & 0xFFFFFFFF:08x}"
    return ":".join(moved[index : index + 2] for index in range(0, 12, 2))


def _name_holders(connection: Connection, vnets: list[State]) -> None:
    """Tell of each lease which VM and which of its NICs has it: one call for all."""
    leases = [lease for vnet in vnets for lease in vnet["leases"]]
    holders = read_holders(connection, (lease["vm_id"] for lease in leases if lease["vm_id"] is not None))
    for lease in leases:
        vm_id = lease["vm_id"]
        lease["vm"] = None if vm_id is None else holders[vm_id].shown()
        lease["nic_id"] = None if vm_id is None else holders[vm_id].nic_of(lease["mac"], lease["ip"])
