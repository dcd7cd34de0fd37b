# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of hosts: unique, and the same whichever VMs are asked for or happen to run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterable

from ..service.hosts import host_name, service_host_name
from .cloud_hosts import Member


def names_of(
    strategy: str,
    members: Iterable[Member],
    address: Callable[[Member], str | None],
    reserved: Collection[str] = (),
) -> dict[int, str]:
    """The name of every member by VM id.

    `members` must be all VMs that were read, not only those that become hosts: a name that several of them have gets
    the id of the VM appended for each, so that it never depends on filters or states, and never means another VM than
    it did a moment ago. Names made of ids are kept as they are. reserved: names that mean something else, as those of
    groups do; whoever is called so gets its id appended too.
    """
    fixed: dict[int, str] = {}
    plain: dict[int, str] = {}
    for member in members:
        vm = member.vm
        number: int = vm["id"]
        if strategy == "id":
            fixed[number] = f"one-{number}"
        elif strategy == "role" and member.service_id is not None:
            service = member.service_name or f"service-{member.service_id}"
            fixed[number] = service_host_name(service, str(member.role), number)
        elif strategy == "address":
            plain[number] = address(member) or host_name(vm["name"])
        else:
            plain[number] = host_name(vm["name"])
    return {**fixed, **_apart(plain, {*fixed.values(), *reserved})}


def _apart(plain: dict[int, str], taken: set[str]) -> dict[int, str]:
    """The names with ids appended wherever two would be the same."""
    count = Counter(plain.values())
    single = {name for name, times in count.items() if times == 1 and name not in taken}
    taken = taken | single
    names: dict[int, str] = {}
    for number, name in sorted(plain.items()):
        if name not in single:
            name = f"{name}-{number}"
            # Somebody may have named a VM like that.
            while name in taken:
                name = f"{name}-{number}"
            taken.add(name)
        names[number] = name
    return names
