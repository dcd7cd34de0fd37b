# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs become hosts. Values are compared as OpenNebula has them, before any of them is made a group's name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Any

from ..core.filters import has_label
from ..data.template import scalar
from ..data.xml import as_list
from ..service.hosts import settled_state

Machine = Mapping[str, Any]
Check = Callable[[Machine], bool]

#: Stands for every state.
ANY_STATE = "all"


@dataclass(frozen=True)
class Filters:
    """What is asked for: a VM has to satisfy every filter given, and a filter is satisfied by any of its values.

    Only labels can be asked for all at once (`all_labels`). Owners, groups and clusters are names or ids. names are
    patterns as a shell has them. attributes: by name a value, several of which one must be there, or None for any.
    """

    states: Sequence[str] = ("running",)
    names: Sequence[str] = ()
    labels: Sequence[str] = ()
    all_labels: bool = False
    owners: Sequence[str] = ()
    user_groups: Sequence[str] = ()
    hosts: Sequence[str] = ()
    clusters: Sequence[str] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)


def checks_of(filters: Filters, clusters: Mapping[str, str]) -> list[Check]:
    """One check for every filter that was given; clusters: their names by id."""
    checks: list[Check] = []
    if ANY_STATE not in filters.states:
        states = frozenset(filters.states)
        checks.append(lambda vm: settled_state(vm["state"]) in states)
    if filters.names:
        checks.append(lambda vm: any(fnmatchcase(vm["name"], pattern) for pattern in filters.names))
    if filters.owners:
        checks.append(lambda vm: _means(vm["owner"], filters.owners))
    if filters.user_groups:
        checks.append(lambda vm: _means(vm["group"], filters.user_groups))
    if filters.hosts:
        checks.append(lambda vm: vm["host"] in filters.hosts)
    if filters.clusters:
        checks.append(lambda vm: _means(cluster_of(vm, clusters), filters.clusters))
    if filters.labels:
        enough = all if filters.all_labels else any
        checks.append(lambda vm: enough(has_label(labels_of(vm), label) for label in filters.labels))
    for name, wanted in filters.attributes.items():
        checks.append(_attribute_check(str(name).upper(), wanted))
    return checks


def labels_of(vm: Machine) -> list[str]:
    """The labels as they stand in the attribute LABELS, without blanks around them."""
    value = vm["attributes"].get("LABELS")
    if not isinstance(value, str):
        return []
    return list(dict.fromkeys(part.strip() for part in value.split(",") if part.strip()))


def cluster_of(vm: Machine, clusters: Mapping[str, str]) -> dict[str, Any]:
    """`{id, name}` of the cluster of the VM's host; the name is the id where it is not known, "" without a host."""
    number = vm["cluster_id"]
    return {"id": number, "name": "" if number is None else clusters.get(str(number), str(number))}


def _means(found: Mapping[str, Any], references: Sequence[str]) -> bool:
    return found["name"] in references or str(found["id"]) in references


def _attribute_check(name: str, wanted: Any) -> Check:
    if wanted is None:
        return lambda vm: name in vm["attributes"]
    values = frozenset(scalar(value) for value in as_list(wanted))

    def check(vm: Machine) -> bool:
        return any(isinstance(value, str) and value in values for value in as_list(vm["attributes"].get(name)))

    return check
