# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names in a file of the inventory plugin that mean nothing in the cloud: mostly typing errors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from .cloud_hosts import AddressChoice, Choice, Member
from .filter import Filters, cluster_of
from .read import Cloud, is_chosen


def unmatched(
    cloud: Cloud, members: Sequence[Member], choice: Choice, filters: Filters, address: AddressChoice
) -> Iterator[tuple[str, str]]:
    """Each `(option, value)` that matches nothing of what was read, whatever the other options say.

    Where no VM was read, nobody can tell about what only VMs know, and just services and federations are judged.
    """
    services = [
        *cloud["services"],
        *({"id": member.service_id, "name": member.service_name, "mark": member.mark} for member in members),
    ]
    for name in choice.services:
        if not any(is_chosen(service, [name], ()) for service in services):
            yield "services", name
    for mark in choice.federations:
        if not any(service.get("mark") == mark for service in services):
            yield "federations", mark
    if members:
        yield from _unmatched_of_vms(cloud, members, choice, filters, address)


def _unmatched_of_vms(
    cloud: Cloud, members: Sequence[Member], choice: Choice, filters: Filters, address: AddressChoice
) -> Iterator[tuple[str, str]]:
    if choice.roles:
        # A role may have no VMs just now.
        roles = {role for service in cloud["services"] for role in service["roles"]}
        roles.update(member.role for member in members if member.role)
        yield from (("roles", role) for role in choice.roles if role not in roles)
    if filters.hosts:
        hosts = {member.vm["host"] for member in members}
        yield from (("on_hosts", host) for host in filters.hosts if host not in hosts)
    if filters.clusters:
        places = [cluster_of(member.vm, cloud["clusters"]) for member in members]
        clusters = {*cloud["clusters"], *cloud["clusters"].values()}
        clusters.update(str(place[part]) for place in places for part in ("id", "name"))
        yield from (("clusters", cluster) for cluster in filters.clusters if cluster not in clusters)
    if address.network is not None and not any(
        address.network in (nic["network"], str(nic["network_id"])) for member in members for nic in member.vm["nics"]
    ):
        yield "network", address.network
