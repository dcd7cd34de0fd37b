# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Flower's registration as it behaves, and a registrar that a test drives by hand."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from fake_onegate import FakeOneGate
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.machine.files import Files
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.membership.membership import Membership
from flower_ops.membership.registrar import Registrar
from flower_ops.pki import keys

PAIRS = [keys.new_key_pair() for _turn in range(4)]
KEYS = [keys.check_public(public.decode()) for _private, public in PAIRS]


class FakeFlower:
    """Flower's registration: a key is taken once in its life, ids are given in order.

    `statuses`: what is not just registered; `offline_at`: epoch seconds by node id. `refused`: keys it cannot read.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.retired: set[str] = set()
        self.refused: set[str] = set()
        self.statuses: dict[str, str] = {}
        self.offline_at: dict[str, float] = {}
        self.calls: list[str] = []
        self.down = False
        self._last = 100

    def register(self, public_key: Path) -> str:
        """Node id of a key file."""
        self._call("register")
        key = public_key.read_text().strip()
        if key in self.refused:
            raise FlwrCliError("Cannot register a SuperNode: The provided public key is not usable.")
        if key in self.nodes.values() or key in self.retired:
            raise FlwrCliError("Cannot register a SuperNode: [code: 23] Public key already in use.")
        self._last += 1
        self.nodes[str(self._last)] = key
        return str(self._last)

    def unregister(self, node_id: str) -> None:
        """Its key is never taken again."""
        self._call("unregister")
        if node_id not in self.nodes:
            raise FlwrCliError("Cannot unregister: [code: 24] Node ID not found for account.")
        self.retired.add(self.nodes.pop(node_id))

    def supernodes(self) -> list[dict[str, Any]]:
        """As flwr lists them in JSON."""
        self._call("supernodes")
        return [
            {
                "node-id": node_id,
                "status": self.statuses.get(node_id, "registered"),
                "offline-at": _stamp(self.offline_at.get(node_id)),
            }
            for node_id in self.nodes
        ]

    def id_of(self, key: str) -> str:
        """The node id of a registered key."""
        return next(node_id for node_id, present in self.nodes.items() if present == key)

    def _call(self, what: str) -> None:
        if self.down:
            raise FlwrCliError("Connection to the SuperLink is unavailable", unreachable=True)
        self.calls.append(what)


def _stamp(seconds: float | None) -> str:
    if seconds is None:
        return "N/A"
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%SZ")


def federation(root: Path, flower: FakeFlower, count: int = 2, auth: bool = True) -> Membership:
    """The membership of a configured SuperLink."""
    paths = Paths(root)
    Files(paths).store(paths.federation, json.dumps({"auth": auth, "num_partitions": count}).encode())
    return Membership(paths, flower)


class Watch:
    """A registrar and its surroundings; `now` is its clock, `said` its journal."""

    def __init__(self, root: Path, gate: FakeOneGate, flower: FakeFlower, count: int = 2) -> None:
        self.root = root
        self.gate = gate
        self.flower = flower
        self.now = 1000.0
        self.said: list[str] = []
        self.members = federation(root, flower, count)
        self.restart()

    def restart(self) -> None:
        """A registrar that remembers only what is on the disk."""
        paths = Paths(self.root)
        self.members = Membership(paths, self.flower, lambda: self.now)
        client = OneGate(self.gate.endpoint, "4", "token-4", sleep=lambda seconds: None)
        self.registrar = Registrar(client, self.members, self.said.append, lambda: self.now)

    def ask(self, vm_id: str, key: str, **attributes: str) -> None:
        """What a node publishes to be admitted."""
        self.gate.of(vm_id).update(FL_ROLE="supernode", FL_NODE_PUBKEY=key, **attributes)

    def poll(self, times: int = 1, pause: float = 3.0) -> bool:
        """Polls with some seconds between them; whether the last one expects somebody."""
        somebody = False
        for _turn in range(times):
            self.now += pause
            somebody = self.registrar.poll()
        return somebody

    def partitions(self) -> dict[str, int]:
        """Partition by name of the member."""
        return {member.name: member.partition_id for member in self.members.members()}
