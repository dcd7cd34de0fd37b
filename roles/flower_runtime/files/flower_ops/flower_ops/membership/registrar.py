# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registrar: watches the own OneFlow service and keeps the federation's members equal to its SuperNode VMs.

Every VM of a service may write the attributes of all its VMs. So attributes are requests, never proofs: which VMs there
are, their roles and their addresses come from OpenNebula, and what was decided once is kept in a file of this VM.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.machine.errors import OneGateError
from flower_ops.machine.onegate import OneGate, Peer, plain
from flower_ops.membership.members import (
    LOCAL,
    KeyHeldError,
    KeyRetiredError,
    Member,
    MembershipError,
    Vm,
    claims,
    reserved_for_others,
)
from flower_ops.membership.membership import Membership
from flower_ops.pki import keys

#: A VM has to be missing this often in a row, and for so many seconds: one odd answer of OneGate must not cost a node
#: its registration.
MISSES = 2
MISSING = 3.0
#: Seconds between two comparisons with Flower's own list, which cost a process of Flower each.
COMPARE = 300.0
#: Seconds for which a VM that is no member yet is awaited eagerly.
EAGER = 300.0
#: Seconds after its start for which a registrar without a member awaits the first: whoever made the SuperLink makes
#: nodes next, and they should not wait for a process of Flower to start.
FIRST = 60.0
#: Seconds between two attempts with a key that was not taken: its node may be gone by then.
HELD = 20.0
#: Attributes cannot be emptied through OneGate; this is what FL_ADMISSION_ERROR and FL_RETIRED_KEY say when unset.
UNSET = "NONE"


def say_line(line: str) -> None:
    """A line for the journal, at once."""
    print(line, flush=True)


class Registrar:
    """One poll at a time; `say` gets one line per event, and the same fault is told once until it changes."""

    def __init__(
        self,
        gate: OneGate,
        membership: Membership,
        say: Callable[[str], None] = say_line,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._gate = gate
        self._membership = membership
        self._say = say
        self._clock = clock
        self._missing: dict[str, list[float]] = {}
        self._told: dict[str, str] = {}
        self._strangers: dict[str, float] = {}
        self._held: dict[tuple[str, str], float] = {}
        self._troubled: frozenset[str] = frozenset()
        self._unclear: dict[str, str] = {}
        self._compared: float | None = None
        self._began = clock()

    def poll(self) -> bool:
        """Admit new SuperNodes, tell them their partition, remove those whose VM is gone.

        Returns whether a VM is on its way to becoming a member, so that the next poll should not be long in coming.
        OneGateError, FlwrCliError or MembershipError when nothing could be done at all.
        """
        peers = self._gate.peers()
        nodes = [peer for peer in peers if peer.role != "superlink"]
        self._compare(nodes)
        # What nftables did not take the last time, it may take now.
        self._membership.open_ports()
        members = {member.vm_id: member for member in self._membership.members() if member.vm_id}
        wanted = claims({peer.vm_id: peer.attributes for peer in nodes if peer.vm_id not in members})
        for peer in nodes:
            if peer.attributes.get("FL_ROLE") == "supernode":
                self._attempt(peer, members.get(peer.vm_id), wanted)
        if any(peer.vm_id == self._gate.vm_id for peer in peers):
            self._remove_vanished({peer.vm_id for peer in peers})
        return self._awaited(nodes)

    def _compare(self, nodes: list[Peer]) -> None:
        """Find what Flower forgot or what was revoked: at the start, now and then, and when a node loses touch."""
        troubled = frozenset(peer.vm_id for peer in nodes if _in_trouble(peer))
        due = self._compared is None or self._clock() - self._compared >= COMPARE
        if due or troubled - self._troubled:
            found = self._membership.restore()
            for name in found.registered:
                self._say(f"{name} registered again, which Flower had forgotten")
            for name in found.revoked:
                self._say(f"{name} was unregistered; its node needs a new key")
            for name, reason in found.unclear.items():
                if self._unclear.get(name) != reason:
                    self._say(f"{name} may not be registered: {reason}")
            self._unclear = found.unclear
            self._compared = self._clock()
        self._troubled = troubled

    def _attempt(self, peer: Peer, known: Member | None, wanted: dict[str, int]) -> None:
        """Admit one VM. What is wrong with this one alone must not keep those after it out."""
        try:
            self._admit(peer, known, wanted)
        except OneGateError as error:
            # Any other status, or none, is a fault of OneGate itself.
            if not 400 <= error.status < 500:
                raise
            self._once(peer, str(error))
        except FlwrCliError as error:
            if error.unreachable:
                raise
            # Asking Flower again costs a process of it.
            self._held[peer.vm_id, peer.attributes.get("FL_NODE_PUBKEY", "")] = self._clock() + HELD
            self._once(peer, str(error))

    def _admit(self, peer: Peer, known: Member | None, wanted: dict[str, int]) -> None:
        auth, count = self._membership.settings()
        name, key = f"vm-{peer.vm_id}", peer.attributes.get("FL_NODE_PUBKEY", "")
        if auth and (not key or _is_retired(peer, key, known) or self._clock() < self._held.get((peer.vm_id, key), 0)):
            return
        told = wanted.get(peer.vm_id)
        vm = Vm(
            peer.vm_id,
            peer.addresses,
            told,
            reserved_for_others(wanted, peer.vm_id),
            peer.attributes.get("FL_NODE_KEY_PROOF", ""),
        )
        try:
            key = keys.check_public(key) if auth else ""
        except ValueError as error:
            self._refuse(peer, f"Its FL_NODE_PUBKEY is {error}.")
            return
        try:
            member, changed = self._membership.admit(LOCAL, name, key, vm)
        except KeyRetiredError as error:
            # The node makes a new pair when it reads this; until then it is not tried again. An error beside it would
            # stop the very run that does.
            self._once(peer, str(error))
            # Somebody may take that word away again.
            self._held[peer.vm_id, peer.attributes["FL_NODE_PUBKEY"]] = self._clock() + HELD
            self._tell(peer, {"FL_RETIRED_KEY": key})
            return
        except KeyHeldError as error:
            self._held[peer.vm_id, peer.attributes["FL_NODE_PUBKEY"]] = self._clock() + HELD
            answer = _answer(peer, known, count) if known else {}
            # A node that really has another key must not take the id of its former one for an admission.
            self._refuse(peer, str(error), {name: answer[name] for name in answer if name != "FL_NODE_ID"})
            return
        except MembershipError as error:
            self._refuse(peer, str(error))
            return
        if changed and known is None:
            kept = " as before" if member.partition_id == told else ""
            self._say(f"{name} admitted with partition {member.partition_id} of {count}{kept}")
        elif changed and known and known.public_key != member.public_key:
            self._say(f"{name} has a new key; its partition stays {member.partition_id}")
        answer = _answer(peer, member, count)
        if peer.attributes.get("FL_ADMISSION_ERROR", UNSET) != UNSET:
            answer["FL_ADMISSION_ERROR"] = UNSET
        self._tell(peer, answer)
        self._told.pop(peer.vm_id, None)

    def _once(self, peer: Peer, reason: str) -> None:
        if self._told.get(peer.vm_id) != reason:
            self._told[peer.vm_id] = reason
            self._say(f"vm-{peer.vm_id} not admitted: {reason}")

    def _refuse(self, peer: Peer, reason: str, more: dict[str, str] | None = None) -> None:
        self._once(peer, reason)
        self._tell(peer, {"FL_ADMISSION_ERROR": plain(reason), **(more or {})})

    def _tell(self, peer: Peer, values: dict[str, str]) -> None:
        differing = {key: value for key, value in values.items() if peer.attributes.get(key) != value}
        if differing:
            self._gate.put(differing, peer.vm_id)

    def _remove_vanished(self, present: set[str]) -> None:
        for member in self._membership.members():
            if not member.vm_id or member.vm_id in present:
                self._missing.pop(member.vm_id, None)
                continue
            seen = self._missing.setdefault(member.vm_id, [])
            seen.append(self._clock())
            if len(seen) >= MISSES and seen[-1] - seen[0] >= MISSING:
                self._membership.remove(member.site, member.name)
                del self._missing[member.vm_id]
                self._say(f"{member.name} removed: its VM is gone, partition {member.partition_id} is free")

    def _awaited(self, nodes: list[Peer]) -> bool:
        members = {member.vm_id for member in self._membership.members()}
        now = self._clock()
        self._strangers = {
            peer.vm_id: self._strangers.get(peer.vm_id, now) for peer in nodes if peer.vm_id not in members
        }
        first = not members and now - self._began < FIRST
        return first or any(now - since < EAGER for since in self._strangers.values())


def _answer(peer: Peer, member: Member, count: int) -> dict[str, str]:
    """What the member's VM has to show; what somebody else wrote there is put right."""
    answer = {"FL_PARTITION_ID": str(member.partition_id), "FL_NUM_PARTITIONS": str(count)}
    if member.node_id:
        answer["FL_NODE_ID"] = member.node_id
    if peer.attributes.get("FL_RETIRED_KEY") == member.public_key != "":
        answer["FL_RETIRED_KEY"] = UNSET
    return answer


def _is_retired(peer: Peer, key: str, known: Member | None) -> bool:
    """Whether the node was told to make a new pair, and has not yet. Of a key in good standing that would be a lie."""
    in_use = known is not None and known.node_id != "" and known.public_key == key
    return peer.attributes.get("FL_RETIRED_KEY") == key and not in_use


def _in_trouble(peer: Peer) -> bool:
    """Whether a node says that it is not connected (3: disconnected)."""
    return peer.attributes.get("FL_CLIENT_STATUS") == "3" or peer.attributes.get("FL_NODE_READY") == "NO"
