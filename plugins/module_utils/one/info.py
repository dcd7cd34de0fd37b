# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reading for the info modules: one call for one object, pages for many, filters that all objects share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from . import image, vm, vm_template
from .connection import Connection
from .marks import mark_of
from .objects import IMAGE, VM_TEMPLATE, Kind, State
from .pools import read_one, read_pool
from .settings import api_argument_spec
from .states import HOST_STATES, VNET_STATES, state_name
from .xml import common_fields, ids, labels_of, number, pool_to_dicts, template_of, text, vectors

# Details of a VM are some 10 kB, so that this many make an answer of about 5 MB.
VM_PAGE = 500


def info_argument_spec(*without: str) -> dict[str, dict[str, Any]]:
    """Return the options of an info module; names in `without` are left out."""
    spec: dict[str, dict[str, Any]] = {
        **api_argument_spec(),
        "ids": {"type": "list", "elements": "int", "aliases": ["id"]},
        "name": {"type": "str"},
        "owner": {"type": "str"},
        "labels": {"type": "list", "elements": "str", "default": []},
        "mark": {"type": "str"},
    }
    return {name: option for name, option in spec.items() if name not in without}


def matches(state: State, params: Mapping[str, Any]) -> bool:
    """Tell whether an object passes the filters ids, name (shell wildcards), owner, labels (all of them) and mark."""
    wanted_ids, name, owner, mark = (params.get(key) for key in ("ids", "name", "owner", "mark"))
    if wanted_ids is not None and state["id"] not in wanted_ids:
        return False
    if name is not None and not fnmatchcase(state["name"], name):
        return False
    if owner is not None and state["owner"]["name"] != owner:
        return False
    if not set(params.get("labels") or []) <= set(state.get("labels", [])):
        return False
    return mark is None or mark_of(state["attributes"]) == mark


def read_objects(
    connection: Connection, kind: Kind, represent: Callable[[Mapping[str, Any]], State], params: Mapping[str, Any]
) -> list[State]:
    """Return the objects of a pool that pass the filters, lowest id first."""
    wanted = params.get("ids")
    bodies: Sequence[Mapping[str, Any]]
    if wanted is not None and len(wanted) == 1:
        body = read_one(connection, f"{kind.prefix}.info", wanted[0])
        bodies = [] if body is None else [body]
    elif wanted is not None and not wanted:
        bodies = []
    else:
        bodies = read_pool(connection, kind.pool, kind.element)
    return [state for state in map(represent, bodies) if matches(state, params)]


def read_images(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"images": [...]} for one_image_info."""
    found = read_objects(connection, IMAGE, image.represent, params)
    wanted = params.get("datastore")
    if wanted is not None:
        found = [one for one in found if wanted in (one["datastore"]["name"], str(one["datastore"]["id"]))]
    return {"images": found}


def read_templates(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"templates": [...]} for one_template_info."""
    return {"templates": read_objects(connection, VM_TEMPLATE, vm_template.represent, params)}


def read_vm_info(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"vms": [...]} for one_vm_info: with ids one call, otherwise the short list and one for the details."""
    wanted = params.get("ids")
    if wanted is None:
        wanted = [
            number(body, "ID")
            for body in vm.list_vms(connection)
            if (params["name"] is None or fnmatchcase(text(body, "NAME"), params["name"]))
            and params["owner"] in (None, text(body, "UNAME"))
        ]
    found: list[State] = []
    for start in range(0, len(wanted), VM_PAGE):
        found.extend(vm.read_vms(connection, wanted[start : start + VM_PAGE]))
    states = {name.upper() for name in params.get("states") or []}
    found = [one for one in found if matches(one, params) and (not states or one["state"] in states)]
    return {"vms": found}


def represent_vnet(body: Mapping[str, Any]) -> State:
    """Return a virtual network as modules hand it to a play."""
    ranges = vectors(body.get("AR_POOL"), "AR")
    size = sum(max(0, number(one, "SIZE", default=0)) for one in ranges)
    used = number(body, "USED_LEASES", default=0)
    return {
        **common_fields(dict(body)),
        "state": state_name(VNET_STATES, text(body, "STATE", default="1")),
        "bridge": text(body, "BRIDGE"),
        "vn_mad": text(body, "VN_MAD"),
        "clusters": ids(body.get("CLUSTERS")),
        "size": size,
        "used": used,
        "free": size - used,
        "address_ranges": [
            {
                "id": number(one, "AR_ID"),
                "type": text(one, "TYPE"),
                "ip": text(one, "IP"),
                "mac": text(one, "MAC"),
                "size": number(one, "SIZE", default=0),
                "used": number(one, "USED_LEASES", default=0),
            }
            for one in ranges
        ],
        "labels": labels_of(template_of(dict(body))),
        "attributes": template_of(dict(body)),
    }


VNET = Kind("virtual network", "VNET", "one.vn", "one.vnpool.info")


def read_vnets(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"vnets": [...]} for one_vnet_info."""
    return {"vnets": read_objects(connection, VNET, represent_vnet, params)}


def represent_host(body: Mapping[str, Any]) -> State:
    """Return a host as modules hand it to a play; memory in MB, CPU in percent of one core, as oned counts them."""
    share = body.get("HOST_SHARE")
    devices = vectors(share.get("PCI_DEVICES"), "PCI") if isinstance(share, dict) else []
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
        "cpu": {"total": number(share, "MAX_CPU", default=0), "used": number(share, "CPU_USAGE", default=0)},
        "memory": {
            "total": number(share, "MAX_MEM", default=0) // 1024,
            "used": number(share, "MEM_USAGE", default=0) // 1024,
        },
        "pci_devices": [_pci(device) for device in devices],
        "attributes": template_of(dict(body)),
    }


def read_hosts(connection: Connection, params: Mapping[str, Any]) -> dict[str, Any]:
    """Return {"hosts": [...]} for one_host_info; the host pool has no pages."""
    wanted = params.get("ids")
    if wanted is not None and len(wanted) == 1:
        body = read_one(connection, "one.host.info", wanted[0])
        bodies = [] if body is None else [body]
    else:
        bodies = pool_to_dicts(connection.call("one.hostpool.info"), "HOST")
    found = []
    for host in map(represent_host, bodies):
        named = params.get("name") is None or fnmatchcase(host["name"], params["name"])
        if named and (wanted is None or host["id"] in wanted):
            found.append(host)
    return {"hosts": found}


def _pci(device: Mapping[str, str]) -> dict[str, Any]:
    return {
        "address": text(device, "SHORT_ADDRESS") or text(device, "ADDRESS"),
        "vendor": text(device, "VENDOR"),
        "device": text(device, "DEVICE"),
        "class": text(device, "CLASS"),
        "name": text(device, "DEVICE_NAME"),
        "vendor_name": text(device, "VENDOR_NAME"),
        "vm_id": number(device, "VMID"),
    }
