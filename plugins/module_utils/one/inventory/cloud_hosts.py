# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Hosts of an inventory: their addresses, groups and variables. Names are in inventory_names.

VMs of services get the names, groups and variables of `hosts.service_hosts`, and more of them. Pure functions over
what `inventory_read.read_cloud` returns.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..data.marks import mark_of
from ..service.hosts import BASE_GROUP, group_name, settled_state
from .filter import cluster_of, labels_of
from .read import Cloud, Machine, is_chosen

#: Attribute in USER_TEMPLATE that says what a VM without a service is for.
ROLE_ATTRIBUTE = "FLOWER_ROLE"
# OneFlow writes these into its VMs; OneGate lets no VM change them.
_SERVICE_ID, _SERVICE_ROLE = "SERVICE_ID", "ROLE_NAME"

#: Choices of the option group_by.
GROUPINGS = ("role", "federation", "service", "label", "owner", "group", "host", "cluster", "state", "network")


@dataclass(frozen=True)
class AddressChoice:
    """Which address a host is reached at.

    network: name or id of the network. nic: its NIC_ID or NAME. family: one of prefer_ipv4, prefer_ipv6, ipv4, ipv6.
    external: take the address of an external alias, if there is one.
    """

    network: str | None = None
    nic: str | None = None
    family: str = "prefer_ipv4"
    external: bool = False


@dataclass
class Member:
    """A VM, and what it is part of. service_name and mark are None where nobody knows or there are none."""

    vm: Machine
    role: str | None = None
    service_id: int | None = None
    service_name: str | None = None
    mark: str | None = None


def address_of(vm: Machine, choice: AddressChoice) -> str | None:
    """The address that the choice means for this VM: of the first NIC that has one of a kind asked for, else None."""
    aliases = [nic for nic in vm["nics"] if nic["parent"]]
    nics = [nic for nic in vm["nics"] if not nic["parent"]]
    if choice.external:
        nics = [nic for nic in aliases if nic["external"]] + nics
    elif choice.nic is not None or choice.network is not None:
        # An alias is somebody's choice only when its network or name is told.
        nics += aliases
    for nic in nics:
        if choice.network is not None and choice.network not in (nic["network"], str(nic["network_id"])):
            continue
        if choice.nic is not None and choice.nic not in (str(nic["id"]), nic["name"]):
            continue
        address = _of_family(nic, choice.family)
        if address:
            return address
    return None


def _of_family(nic: Mapping[str, Any], family: str) -> str | None:
    four, six = nic["ip"], nic["ip6"]
    if family == "ipv4":
        found = four
    elif family == "ipv6":
        found = six
    elif family == "prefer_ipv6":
        found = six or four
    else:
        found = four or six
    return str(found) if found else None


def members_of(cloud: Cloud) -> Iterator[Member]:
    """All VMs that were read: those of services by service, role and id, then those without one by id.

    The role and mark of a VM without a service are what its attributes say. Where OneFlow was not asked, these name
    the service too.
    """
    by_id = {vm["id"]: vm for vm in cloud["machines"]}
    for service in cloud["services"]:
        for role, details in service["roles"].items():
            for number in sorted(details["vms"]):
                vm = by_id.pop(number, None)
                if vm is not None:
                    yield Member(vm, role, service["id"], service["name"], service["mark"])
    for vm in by_id.values():
        yield _by_attributes(vm, told=not cloud["query"]["oneflow_url"])


@dataclass(frozen=True)
class Choice:
    """Which members become hosts by what they are part of; empty means any.

    services: names or ids; VMs without a service are in none, and count only with `standalone`.
    """

    services: Sequence[str] = ()
    federations: Sequence[str] = ()
    roles: Sequence[str] = ()
    standalone: bool = True

    def takes(self, member: Member) -> bool:
        """Whether the member is one of them."""
        if member.service_id is None and (self.services or not self.standalone):
            return False
        service = {"id": member.service_id, "name": member.service_name, "mark": member.mark}
        return is_chosen(service, self.services, self.federations) and (not self.roles or member.role in self.roles)


def _by_attributes(vm: Machine, told: bool) -> Member:
    """told: nobody but the attributes can say which service the VM is part of."""
    attributes = vm["attributes"]
    number, role = attributes.get(_SERVICE_ID), attributes.get(_SERVICE_ROLE)
    if told and isinstance(number, str) and number.isdigit() and isinstance(role, str):
        return Member(vm, role, int(number), None, mark_of(attributes))
    role = attributes.get(ROLE_ATTRIBUTE)
    return Member(vm, role if isinstance(role, str) and role else None, None, None, mark_of(attributes))


class Grouping:
    """Names of groups. The same raw names come up for thousands of VMs, so each is made fit once."""

    def __init__(self, group_by: Collection[str], clusters: Mapping[str, str]) -> None:
        self._by = [name for name in GROUPINGS if name in group_by]
        self._clusters = clusters
        self._fit: dict[str, str] = {}

    def of(self, member: Member) -> list[str]:
        """The groups of a host, the one of all hosts last."""
        raw = [name for by in self._by for name in self._raw(by, member)]
        names = dict.fromkeys(self._fitting(name) for name in raw)
        return [*names, BASE_GROUP]

    def _fitting(self, raw: str) -> str:
        found = self._fit.get(raw)
        if found is None:
            found = self._fit[raw] = group_name(raw)
        return found

    def _raw(self, by: str, member: Member) -> Sequence[str]:
        vm = member.vm
        if by == "role":
            return [member.role] if member.role else []
        if by == "federation":
            federation = member.mark or member.service_name
            return [f"federation_{federation}"] if federation else []
        if by == "service":
            service = member.service_name or member.service_id
            return [] if service is None else [f"service_{service}"]
        if by == "label":
            return [f"label_{name}" for label in labels_of(vm) for name in _with_ancestors(label)]
        if by == "network":
            return [f"network_{nic['network']}" for nic in vm["nics"] if nic["network"]]
        value = {
            "owner": vm["owner"]["name"],
            "group": vm["group"]["name"],
            "host": vm["host"],
            "cluster": cluster_of(vm, self._clusters)["name"] if by == "cluster" else "",
            "state": settled_state(vm["state"]),
        }[by]
        return [f"{by}_{value}"] if value else []


def _with_ancestors(label: str) -> list[str]:
    """`a/b/c` belongs to a and a/b too."""
    parts = [part for part in label.split("/") if part]
    return ["/".join(parts[:length]) for length in range(1, len(parts) + 1)]


def variables_of(member: Member, address: str | None) -> dict[str, Any]:
    """The variables that every host has; ansible_host is there only with an address."""
    vm = member.vm
    variables: dict[str, Any] = {} if address is None else {"ansible_host": address}
    variables["one_vm_id"] = vm["id"]
    variables["one_vm_name"] = vm["name"]
    variables["one_attributes"] = vm["attributes"]
    if member.role is not None:
        variables["one_role"] = member.role
    if member.service_id is not None:
        variables["one_service_id"] = member.service_id
    if member.service_name is not None:
        variables["one_service_name"] = member.service_name
    return variables


def more_variables_of(member: Member, clusters: Mapping[str, str]) -> dict[str, Any]:
    """What else may be said of a host; expressions know all of it, a host has what was asked for."""
    vm = member.vm
    return {
        "one_state": vm["state"],
        "one_labels": labels_of(vm),
        "one_owner": vm["owner"]["name"],
        "one_group": vm["group"]["name"],
        "one_host": vm["host"],
        "one_cluster": cluster_of(vm, clusters)["name"] or None,
        "one_nics": vm["nics"],
    }
