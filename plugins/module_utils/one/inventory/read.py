# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Reads a cloud for the inventory: few requests, and of thousands of VM bodies only what hosts are made of.

What is read is plain JSON with secrets masked, because an inventory cache is a file.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from xml.etree.ElementTree import Element

from ..api.connection import Connection
from ..api.oneflow import OneFlow
from ..api.settings import Settings
from ..core.pools import ALL_VISIBLE, PAGE
from ..data.compare import masked
from ..data.states import vm_state_name
from ..data.xml import parse_xml, pool_to_dicts
from ..errors import OneConnectionError, OneError, OneTimeoutError, OneUsageError
from ..service.service import service_view

Machine = dict[str, Any]
Service = dict[str, Any]
Cloud = dict[str, Any]

#: What a cached cloud of this version looks like; a cache of another one is read anew.
FORMAT = 1
_NOT_DONE = -1
# VMs that go while we page move the others towards the front; as many as this do not get lost between two pages.
_OVERLAP = 4


def query_of(
    settings: Settings,
    *,
    use_oneflow: bool,
    standalone: bool,
    services: Sequence[str],
    federations: Sequence[str],
    clusters: bool,
) -> dict[str, Any]:
    """What is asked of which cloud by whom, as plain JSON without secrets: equal queries have equal answers.

    services: names and ids; all services if empty. With `standalone` VMs without a service are read too, unless
    services are named, for then only those count. federations: marks of services.
    Raises OneUsageError for names where there is nobody to know them.
    """
    if not use_oneflow:
        names = [name for name in services if not name.isdigit()]
        if names:
            raise OneUsageError(
                f"services: {', '.join(names)}: names of services are known to OneFlow only",
                hint="give their ids, or set use_oneflow to true",
            )
    everything = not use_oneflow or (standalone and not services)
    return {
        "format": FORMAT,
        "api_url": settings.api_url,
        "oneflow_url": settings.oneflow_url if use_oneflow else "",
        "user": settings.username,
        "everything": everything,
        # VMs of chosen services are read by their ids; with the whole pool the choice is made afterwards.
        "services": [] if everything else sorted(services),
        "federations": [] if everything else sorted(federations),
        "clusters": clusters,
    }


def read_cloud(settings: Settings, query: Mapping[str, Any]) -> Cloud:
    """`{"query", "services": [...], "machines": [...], "clusters": {"<id>": name}}` in 1 + ceil(VMs / 500) requests.

    services: `{id, name, mark, roles: {name: {"vms": [ids]}}}`. machines: see `machine`, lowest id first.
    One request more where names of clusters are wanted. Raises OneError.
    """
    # Not made before it is needed: settings that only a client of OneFlow cannot use do no harm without one.
    services = _services(OneFlow(settings)) if query["oneflow_url"] else []
    connection = Connection(settings)
    if query["everything"]:
        machines = read_everything(connection)
    else:
        chosen = [item for item in services if is_chosen(item, query["services"], query["federations"])]
        numbers = sorted({number for service in chosen for number in service_vms(service)})
        machines = read_some(connection, numbers) if numbers else []
    return {
        "query": dict(query),
        "services": services,
        "machines": machines,
        "clusters": _clusters(connection) if query["clusters"] and machines else {},
    }


def is_chosen(service: Mapping[str, Any], names: Sequence[str], marks: Sequence[str]) -> bool:
    """Whether the service has one of the names (a number is an id) and one of the marks; no names or marks mean any."""
    if marks and service.get("mark") not in marks:
        return False
    return not names or any(
        int(name) == service["id"] if name.isdigit() else name == service.get("name") for name in names
    )


def service_vms(service: Mapping[str, Any]) -> Iterator[int]:
    """The ids of the VMs of all its roles."""
    for role in service["roles"].values():
        yield from role["vms"]


def read_everything(connection: Connection) -> list[Machine]:
    """All VMs that the user may see and that are not done."""
    found: dict[int, Machine] = {}
    offset = 0
    while True:
        answer = connection.call("one.vmpool.infoextended", ALL_VISIBLE, offset, -PAGE, _NOT_DONE, "")
        page = machines_in(answer)
        for item in page:
            found[item["id"]] = item
        if len(page) < PAGE:
            return [found[number] for number in sorted(found)]
        offset += PAGE - _OVERLAP


def read_some(connection: Connection, numbers: Sequence[int]) -> list[Machine]:
    """The VMs with these ids; those that are gone, or that the user may not see, are left out."""
    found: list[Machine] = []
    for start in range(0, len(numbers), PAGE):
        part = ",".join(str(number) for number in numbers[start:start + PAGE])
        found += machines_in(connection.call("one.vmpool.infoset", part, True))
    return sorted((item for item in found if item["state"] != "DONE"), key=_id)


def machines_in(answer: str) -> list[Machine]:
    """The VMs of one VM_POOL answer."""
    return [machine(node) for node in parse_xml(answer).iterfind("VM")]


def machine(node: Element) -> Machine:
    """One VM: `{id, name, state, owner: {id, name}, group: {id, name}, host, cluster_id, nics, attributes}`.

    nics: `{id, name, network, network_id, ip, ip6, mac, external, parent}`, NICs first, then those passed through, then
    aliases; `parent` names the NIC of an alias, and is None for the others. host and cluster_id are None while the VM
    has not been placed.
    """
    text = node.findtext
    template, user = node.find("TEMPLATE"), node.find("USER_TEMPLATE")
    history = node.findall("HISTORY_RECORDS/HISTORY")
    last = history[-1] if history else None
    nics: list[dict[str, Any]] = []
    if template is not None:
        # A device of the host that is passed through may be a NIC too: then it has a NIC_ID.
        found = [vector for name in ("NIC", "PCI", "NIC_ALIAS") for vector in template.iterfind(name)]
        nics = [_nic(vector) for vector in found if vector.tag != "PCI" or vector.find("NIC_ID") is not None]
    return {
        "id": int(text("ID", "-1")),
        "name": text("NAME", ""),
        "state": vm_state_name(text("STATE"), text("LCM_STATE")),
        "owner": {"id": int(text("UID", "-1")), "name": text("UNAME", "")},
        "group": {"id": int(text("GID", "-1")), "name": text("GNAME", "")},
        "host": None if last is None else last.findtext("HOSTNAME"),
        "cluster_id": None if last is None else _number(last.findtext("CID")),
        "nics": nics,
        "attributes": {} if user is None else _attributes(user),
    }


def _nic(vector: Element) -> dict[str, Any]:
    values = {leaf.tag: leaf.text or "" for leaf in vector}
    parent = values.get("PARENT") or f"NIC{values.get('PARENT_ID', '')}"
    return {
        "id": _number(values.get("NIC_ID")),
        "name": values.get("NAME") or f"{vector.tag}{values.get('NIC_ID', '')}",
        "network": values.get("NETWORK", ""),
        "network_id": _number(values.get("NETWORK_ID")),
        "ip": values.get("IP") or None,
        "ip6": values.get("IP6_GLOBAL") or values.get("IP6_ULA") or values.get("IP6") or None,
        "mac": values.get("MAC") or None,
        "external": values.get("EXTERNAL", "").upper() == "YES",
        "parent": parent if vector.tag == "NIC_ALIAS" else None,
    }


def _attributes(user: Element) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for node in user:
        name = node.tag
        if len(node):
            value: Any = {leaf.tag: _hidden(leaf.tag, leaf.text or "") for leaf in node}
        else:
            value = _hidden(name, node.text or "")
        if name not in found:
            found[name] = value
        elif isinstance(found[name], list):
            found[name].append(value)
        else:
            found[name] = [found[name], value]
    return found


@functools.lru_cache(maxsize=4096)
def _hidden(name: str, value: str) -> str:
    """The value, or stars in place of a secret. Most attributes repeat from VM to VM, so most answers are known."""
    return str(masked(value, name))


def _number(text: str | None) -> int | None:
    return int(text) if text and text.lstrip("-").isdigit() else None


def _id(item: Machine) -> int:
    return int(item["id"])


def _services(flow: OneFlow) -> list[Service]:
    try:
        documents = flow.services()
    except (OneConnectionError, OneTimeoutError) as error:
        # A firewall may swallow requests to a port where nobody listens.
        error.hint = f"{error.hint}; on a cloud without OneFlow set use_oneflow to false"
        raise
    views = (service_view(document) for document in documents)
    return [
        {
            "id": view["id"],
            "name": view["name"],
            "mark": view["mark"],
            "roles": {name: {"vms": role["vms"]} for name, role in view["roles"].items()},
        }
        for view in sorted(views, key=_id)
    ]


def _clusters(connection: Connection) -> dict[str, str]:
    """Names of the clusters by id (as text, for JSON has no other keys); empty where the user may not list them."""
    try:
        answer = connection.call("one.clusterpool.info")
    except OneError:
        return {}
    return {str(body.get("ID")): str(body.get("NAME")) for body in pool_to_dicts(answer, "CLUSTER")}
