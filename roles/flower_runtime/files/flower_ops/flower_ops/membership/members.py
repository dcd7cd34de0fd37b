# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a member of a federation is, what its VM brings along, and which data partition it gets."""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

LOCAL = "local"
#: Seconds for which a node has to be away before another key may take its place without its consent: longer than a VM
#: takes to boot, so that nobody slips in while it does.
AWAY = 60.0


class MembershipError(Exception):
    """A member cannot be admitted or removed; one sentence for the operator."""


class KeyRetiredError(MembershipError):
    """Flower has removed this key once and never takes it again; the node needs a new pair."""


class KeyHeldError(MembershipError):
    """A node that is there with its registered key; somebody published another key in its name."""


@dataclass
class Member:
    """A SuperNode. `vm_id` is empty for one that was added by hand; `node_id` is empty without authentication.

    `addresses` are those from which it may reach the Fleet API: addresses, or networks in CIDR form.
    """

    site: str
    name: str
    partition_id: int
    node_id: str = ""
    public_key: str = ""
    vm_id: str = ""
    addresses: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Vm:
    """What the registrar knows of a VM that wants to be a member, or is one.

    addresses: those of its NICs, from OpenNebula. partition: what it was told by a SuperLink before, None if nothing.
    reserved: partitions that other VMs had before. proof: signature by its present key over the one it wants.
    """

    vm_id: str
    addresses: tuple[str, ...] = ()
    partition: int | None = None
    reserved: frozenset[int] = frozenset()
    proof: str = ""


def free_partition(members: Iterable[Member], count: int, vm: Vm | None) -> int:
    """The partition that the VM had before if nobody else has or had it, else the lowest that is free."""
    if not count:
        raise MembershipError("The number of partitions is not fixed; set ONEAPP_FL_NUM_PARTITIONS on the SuperLink.")
    taken = {member.partition_id for member in members}
    free = [number for number in range(count) if number not in taken]
    if not free:
        raise MembershipError(
            f"All {count} partitions are in use; raise ONEAPP_FL_NUM_PARTITIONS on the SuperLink or remove a node."
        )
    reserved = vm.reserved if vm else frozenset()
    if vm and vm.partition in free and vm.partition not in reserved:
        return vm.partition
    return next((number for number in free if number not in reserved), free[0])


def claims(attributes: Mapping[str, Mapping[str, str]]) -> dict[str, int]:
    """Partitions that VMs were told before, by VM id, out of the attributes of all VMs that are no members."""
    found = {vm_id: own.get("FL_PARTITION_ID", "") for vm_id, own in attributes.items()}
    # Nine digits are more than any federation has, and fewer than what turns a comparison into work.
    return {vm_id: int(text) for vm_id, text in found.items() if text.isascii() and text.isdecimal() and len(text) < 10}


def reserved_for_others(wanted: Mapping[str, int], vm_id: str) -> frozenset[int]:
    """Partitions that a VM must leave to others: what they claim, and what it claims itself if somebody else does too.

    Every VM may write what it likes. Two with one claim are one too many, and nobody knows which of them lies: neither
    gets it by asking.
    """
    twice = {number for number, times in Counter(wanted.values()).items() if times > 1}
    return frozenset({number for other, number in wanted.items() if other != vm_id} | twice)


def is_away(row: Mapping[str, Any] | None, now: float) -> bool:
    """Whether a node, as `flwr supernode list` shows it, has not been there for long enough; None: Flower has none."""
    if row is None or row.get("status") in ("registered", "unregistered", "deleted"):
        return True
    if row.get("status") == "online":
        return False
    try:
        since = datetime.datetime.fromisoformat(str(row.get("offline-at", "")).replace("Z", "+00:00"))
    except ValueError:
        return True
    return now - since.timestamp() >= AWAY
