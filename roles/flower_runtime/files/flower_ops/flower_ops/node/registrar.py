# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registrar: watches the own OneFlow service and keeps the federation's members equal to its SuperNode VMs."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from flower_ops import context as variables
from flower_ops.node import keys
from flower_ops.node.errors import OneGateError
from flower_ops.node.flwr_cli import FlwrCli, FlwrCliError
from flower_ops.node.membership import LOCAL, KeyRetiredError, Membership, MembershipError
from flower_ops.node.onegate import OneGate, Peer, plain
from flower_ops.node.paths import Paths

INTERVAL = 3.0
LONGEST = 60.0
# A VM has to be missing this often in a row: one odd answer of OneGate must not cost a node its registration.
MISSES = 2
# Attributes cannot be emptied through OneGate; this is what FL_ADMISSION_ERROR says when there is none.
ADMITTED = "NONE"


def _say(line: str) -> None:
    print(line, flush=True)


class Registrar:
    """One poll at a time; `say` gets one line per event, and the same fault is told once until it changes."""

    def __init__(self, gate: OneGate, membership: Membership, say: Callable[[str], None] = _say) -> None:
        self._gate = gate
        self._membership = membership
        self._say = say
        self._missing: dict[str, int] = {}
        self._told: dict[str, str] = {}
        self._restored = False

    def poll(self) -> None:
        """Admit new SuperNodes, tell them their partition, remove those whose VM is gone.

        OneGateError, FlwrCliError or MembershipError when nothing could be done at all.
        """
        if not self._restored:
            for name in self._membership.restore():
                self._say(f"{name} registered again")
            self._restored = True
        peers = self._gate.peers()
        for peer in peers:
            if peer.role != "superlink" and peer.attributes.get("FL_ROLE") == "supernode":
                self._admit(peer)
        if any(peer.vm_id == self._gate.vm_id for peer in peers):
            self._remove_vanished({peer.vm_id for peer in peers})

    def _admit(self, peer: Peer) -> None:
        auth, count = self._membership.settings()
        name = f"vm-{peer.vm_id}"
        published = peer.attributes.get("FL_NODE_PUBKEY", "")
        if auth and (not published or peer.attributes.get("FL_RETIRED_KEY") == published):
            return
        try:
            key = keys.check_public(published) if auth else ""
            member, changed = self._membership.admit(LOCAL, name, key, peer.vm_id)
        except ValueError as error:
            self._refuse(peer, f"Its FL_NODE_PUBKEY is {error}.")
            return
        except KeyRetiredError as error:
            # The node makes a new pair when it reads this; until then it is not tried again.
            self._refuse(peer, str(error), {"FL_RETIRED_KEY": key})
            return
        except MembershipError as error:
            self._refuse(peer, str(error))
            return
        if changed:
            self._say(f"{name} admitted with partition {member.partition_id} of {count}")
        self._told.pop(peer.vm_id, None)
        answer = {"FL_PARTITION_ID": str(member.partition_id), "FL_NUM_PARTITIONS": str(count)}
        if member.node_id:
            answer["FL_NODE_ID"] = member.node_id
        if peer.attributes.get("FL_ADMISSION_ERROR", ADMITTED) != ADMITTED:
            answer["FL_ADMISSION_ERROR"] = ADMITTED
        self._tell(peer, answer)

    def _refuse(self, peer: Peer, reason: str, more: dict[str, str] | None = None) -> None:
        if self._told.get(peer.vm_id) != reason:
            self._told[peer.vm_id] = reason
            self._say(f"vm-{peer.vm_id} not admitted: {reason}")
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
            self._missing[member.vm_id] = self._missing.get(member.vm_id, 0) + 1
            if self._missing[member.vm_id] >= MISSES:
                self._membership.remove(member.site, member.name)
                del self._missing[member.vm_id]
                self._say(f"{member.name} removed: its VM is gone, partition {member.partition_id} is free")


def loop(
    registrar: Registrar, stop: threading.Event, say: Callable[[str], None] = _say, interval: float = INTERVAL
) -> None:
    """Poll until told to stop; longer and longer pauses while nothing works."""
    pause, last = interval, ""
    while not stop.is_set():
        try:
            registrar.poll()
            if last:
                say("working again")
            pause, last = interval, ""
        except (OneGateError, FlwrCliError, MembershipError, OSError, ValueError) as error:
            if str(error) != last:
                say(f"cannot go on: {error}")
            last, pause = str(error), min(pause * 2, LONGEST)
        stop.wait(pause)


def serve(root: Path = Path("/")) -> int:
    """The service: runs until SIGTERM. Returns the exit code."""
    paths = Paths(root)
    try:
        context = variables.parse_one_env(paths.at(paths.one_env).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        context = {}
    gate = OneGate.from_context(context)
    if gate is None:
        _say("This VM has no OneGate token; SuperNodes are added with flower-ops member add.")
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    cli = FlwrCli(paths.at(f"{paths.venv}/bin/flwr"), paths.at(paths.cli))
    loop(Registrar(gate, Membership(paths, cli)), stop)
    return 0
