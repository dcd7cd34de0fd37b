# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts for one_host_info: room, NUMA nodes, and PCI devices with the VM that has each."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from ..api.connection import Connection
from ..core.filters import checked_states, has_state, is_named, is_same
from ..core.objects import State
from ..core.pools import read_one, read_whole_pool
from ..data.states import HOST_STATES, state_name
from ..data.template import Template
from ..data.xml import ids, number, template_of, text, vectors
from .holders import read_holders

_PROFILE = re.compile(r"\s*(\S+)\s*\(([^)]*)\)\s*\Z")


def read_hosts(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"hosts": [...]} for one_host_info: one call, and one more for the VMs that have devices, if any has."""
    wanted = params.get("ids")
    states = checked_states(params.get("states"), HOST_STATES, "hosts")
    if wanted is not None and len(set(wanted)) == 1:
        body = read_one(connection, "one.host.info", wanted[0])
        bodies = [] if body is None else [body]
    else:
        # The pool of hosts has no pages.
        bodies = [] if wanted == [] else read_whole_pool(connection, "one.hostpool.info", "HOST")
    found = [
        host
        for host in sorted(map(represent_host, bodies), key=lambda host: int(host["id"]))
        if (wanted is None or host["id"] in wanted)
        and is_named(host["name"], params.get("name"))
        and is_same(host["cluster"], params.get("cluster"))
        and has_state(host["state"], states)
    ]
    devices = [device for host in found for device in host["pci_devices"] if device["vm_id"] is not None]
    holders = read_holders(connection, (device["vm_id"] for device in devices))
    for device in devices:
        device["vm"] = holders[device["vm_id"]].shown()
    return {"hosts": found}


def represent_host(body: Mapping[str, Any]) -> State:
    """Return a host as modules hand it to a play; memory and disks in MB, CPU in hundredths of a core."""
    share = body.get("HOST_SHARE")
    numa = share.get("NUMA_NODES") if isinstance(share, dict) else None
    devices = share.get("PCI_DEVICES") if isinstance(share, dict) else None
    attributes = template_of(dict(body))
    return {
        "id": number(body, "ID"),
        "name": text(body, "NAME"),
        "state": state_name(HOST_STATES, text(body, "STATE")),
        "state_id": number(body, "STATE"),
        "cluster": {"id": number(body, "CLUSTER_ID"), "name": text(body, "CLUSTER")},
        "im_mad": text(body, "IM_MAD"),
        "vm_mad": text(body, "VM_MAD"),
        "running_vms": number(share, "RUNNING_VMS", default=0),
        "vms": ids(body.get("VMS")),
        "vms_per_thread": number(share, "VMS_THREAD", default=1),
        "cpu": _room(share, "CPU", 1),
        "memory": _room(share, "MEM", 1024),
        "disk": _disk(share),
        "pci_devices": [_pci(device) for device in vectors(devices, "PCI")],
        "numa_nodes": [_numa_node(node) for node in vectors(numa, "NODE")],
        "monitoring": _monitoring(body.get("MONITORING")),
        "attributes": attributes,
        "error": _error(attributes),
    }


def _error(attributes: Template) -> str:
    found = attributes.get("ERROR", "")
    return found if isinstance(found, str) else ""


def _room(share: Any, name: str, unit: int) -> dict[str, int]:
    """What the host has, what of it is kept back (less than 0: lent out more than once), given away, and left."""
    most, used = number(share, f"MAX_{name}", default=0), number(share, f"{name}_USAGE", default=0)
    total = number(share, f"TOTAL_{name}", default=most)
    return {
        "total": total // unit,
        "reserved": (total - most) // unit,
        "used": used // unit,
        "free": (most - used) // unit,
    }


def _disk(share: Any) -> dict[str, Any]:
    disks = share.get("DATASTORES") if isinstance(share, dict) else None
    return {
        "total": number(disks, "MAX_DISK", default=0),
        "used": number(disks, "USED_DISK", default=0),
        "free": number(disks, "FREE_DISK", default=0),
        "datastores": [
            {
                "id": number(one, "ID"),
                "total": number(one, "TOTAL_MB", default=0),
                "used": number(one, "USED_MB", default=0),
                "free": number(one, "FREE_MB", default=0),
            }
            for one in vectors(disks, "DS")
        ],
    }


def _pci(device: Mapping[str, str]) -> dict[str, Any]:
    vm_id = number(device, "VMID")
    return {
        "address": text(device, "ADDRESS"),
        "short_address": text(device, "SHORT_ADDRESS"),
        "type": text(device, "TYPE"),
        "vendor": text(device, "VENDOR"),
        "device": text(device, "DEVICE"),
        "class": text(device, "CLASS"),
        "vendor_name": text(device, "VENDOR_NAME"),
        "device_name": text(device, "DEVICE_NAME"),
        "class_name": text(device, "CLASS_NAME"),
        "numa_node": _or_none(device, "NUMA_NODE"),
        "interface": text(device, "IFNAME").strip("-"),
        "sriov": text(device, "SRIOV", default="no"),
        "sriov_functions": number(device, "SRIOV_NUM", default=0),
        "uuid": text(device, "UUID"),
        "mdev_mode": text(device, "MDEV_MODE"),
        "profiles": [_profile(one) for one in text(device, "PROFILES").split(",") if one.strip()],
        "vm_id": None if vm_id < 0 else vm_id,
        "vm": None,
    }


def _profile(words: str) -> dict[str, str]:
    """A vGPU profile as its driver names it: "1145 (NVIDIA L40S-1B)"."""
    found = _PROFILE.match(words)
    return {"id": found.group(1), "name": found.group(2)} if found else {"id": words.strip(), "name": ""}


def _or_none(body: Any, name: str) -> int | None:
    found = number(body, name)
    return None if found < 0 else found


def _numa_node(node: Mapping[str, Any]) -> dict[str, Any]:
    memory = node.get("MEMORY")
    return {
        "id": number(node, "NODE_ID"),
        "memory": {
            "total": number(memory, "TOTAL", default=0) // 1024,
            "used": number(memory, "USAGE", default=0) // 1024,
        },
        # The nearest node first, which is the node itself.
        "distance": [int(one) for one in text(memory, "DISTANCE").split() if one.isdigit()],
        "hugepages": [
            {
                "size": number(page, "SIZE", default=0),
                "pages": number(page, "PAGES", default=0),
                "used": number(page, "USAGE", default=0),
            }
            for page in vectors(node, "HUGEPAGE")
        ],
        "cores": [
            {
                "id": number(core, "ID"),
                "cpus": _cpus(text(core, "CPUS")),
                "free": number(core, "FREE", default=0),
                "dedicated": text(core, "DEDICATED") == "YES",
            }
            for core in vectors(node, "CORE")
        ],
    }


def _cpus(words: str) -> list[dict[str, Any]]:
    """CPUs of a core from "0:-1,16:7,32:-2": the VM pinned to each, -1 for none, -2 for a CPU that is kept back."""
    found = []
    for pair in filter(None, words.split(",")):
        cpu, _colon, user = pair.strip().partition(":")
        if cpu.isdigit():
            found.append({"id": int(cpu), "vm_id": int(user) if user.isdigit() else None, "reserved": user == "-2"})
    return found


def _monitoring(body: Any) -> dict[str, int]:
    """What was measured last, in the units of the host's room; empty in a pool, where oned does not tell it."""
    if not isinstance(body, dict) or "TIMESTAMP" not in body:
        return {}
    return {
        "timestamp": number(body, "TIMESTAMP"),
        "cpu_used": number(body, "CAPACITY", "USED_CPU", default=0),
        "cpu_free": number(body, "CAPACITY", "FREE_CPU", default=0),
        "memory_used": number(body, "CAPACITY", "USED_MEMORY", default=0) // 1024,
        "memory_free": number(body, "CAPACITY", "FREE_MEMORY", default=0) // 1024,
        "bytes_sent": number(body, "SYSTEM", "NETTX", default=0),
        "bytes_received": number(body, "SYSTEM", "NETRX", default=0),
    }
