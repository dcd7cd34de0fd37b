# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a cloud that was read to the hosts of an inventory, by the options of a user."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api.settings import Settings
from .cloud_hosts import (
    AddressChoice,
    Choice,
    Grouping,
    Member,
    address_of,
    members_of,
    more_variables_of,
    variables_of,
)
from .filter import Filters, checks_of
from .names import names_of
from .read import Cloud
from .unmatched import unmatched

__all__ = ["Built", "InventoryHost", "Wishes", "build", "query_options"]


@dataclass(frozen=True)
class Wishes:
    """The options of the inventory plugin, as its documentation has them, in groups."""

    choice: Choice
    filters: Filters
    address: AddressChoice
    require_address: bool
    hostname: str
    group_by: Collection[str]
    variables: Collection[str]

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> Wishes:
        """From the plugin's options by name."""
        return cls(
            choice=Choice(
                services=texts(options["services"]),
                federations=texts(options["federations"]),
                roles=texts(options["roles"]),
                standalone=bool(options["include_standalone"]),
            ),
            filters=Filters(
                states=options["states"],
                names=texts(options["names"]),
                labels=texts(options["labels"]),
                all_labels=options["match_labels"] == "all",
                owners=texts(options["owners"]),
                user_groups=texts(options["user_groups"]),
                hosts=texts(options["on_hosts"]),
                clusters=texts(options["clusters"]),
                attributes=options["attributes"],
            ),
            address=AddressChoice(
                network=options["network"],
                nic=options["nic"],
                family=options["ip_version"],
                external=bool(options["prefer_external"]),
            ),
            require_address=bool(options["require_address"]),
            hostname=options["hostname"],
            group_by=options["group_by"],
            variables=options["variables"],
        )


@dataclass
class InventoryHost:
    """One host. more: what expressions may use besides the variables; empty unless it was asked for."""

    name: str
    groups: list[str]
    variables: dict[str, Any]
    more: dict[str, Any]


@dataclass
class Built:
    """The hosts in the order of `members_of`, the VMs that have no suitable address, and options that match nothing.

    unmatched: `(option, value)`.
    """

    hosts: list[InventoryHost] = field(default_factory=list)
    without_address: list[Member] = field(default_factory=list)
    unmatched: list[tuple[str, str]] = field(default_factory=list)


def texts(values: Any) -> list[str]:
    """The values of a list option: YAML makes numbers of ids, and of some names."""
    return [str(value) for value in values]


def query_options(options: Mapping[str, Any], settings: Settings) -> dict[str, Any]:
    """The arguments of `inventory_read.query_of`."""
    asked = "cluster" in (*options["group_by"], *options["variables"])
    return {
        "settings": settings,
        "use_oneflow": bool(options["use_oneflow"]),
        "standalone": bool(options["include_standalone"]),
        "services": texts(options["services"]),
        "federations": texts(options["federations"]),
        # VMs know ids of clusters only.
        "clusters": asked or not all(reference.isdigit() for reference in texts(options["clusters"])),
    }


def build(cloud: Cloud, wishes: Wishes, reserved: Collection[str], *, expressions: bool) -> Built:
    """The hosts of the inventory. reserved: names that no host may have; expressions: whether `more` is wanted."""
    clusters = cloud["clusters"]
    grouping = Grouping(wishes.group_by, clusters)
    members = list(members_of(cloud))
    groups = {member.vm["id"]: grouping.of(member) for member in members}
    # For Ansible a name means a group before it means a host: whoever names a VM must not be able to reach for one.
    taken = {*reserved, *(group for names in groups.values() for group in names)}
    names = names_of(wishes.hostname, members, lambda member: address_of(member.vm, wishes.address), taken)
    checks = checks_of(wishes.filters, clusters)
    shown = [f"one_{name}" for name in wishes.variables]
    built = Built(unmatched=list(unmatched(cloud, members, wishes.choice, wishes.filters, wishes.address)))
    for member in members:
        vm = member.vm
        if not wishes.choice.takes(member) or not all(check(vm) for check in checks):
            continue
        address = address_of(vm, wishes.address)
        if address is None and wishes.require_address:
            built.without_address.append(member)
            continue
        more = more_variables_of(member, clusters) if shown or expressions else {}
        variables = {**variables_of(member, address), **{name: more[name] for name in shown}}
        built.hosts.append(InventoryHost(names[vm["id"]], groups[vm["id"]], variables, more))
    return built
