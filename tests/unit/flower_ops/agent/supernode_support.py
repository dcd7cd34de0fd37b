# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a SuperNode meets: a SuperLink that is up, and a registrar that answers."""

from __future__ import annotations

import base64

from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.pki import tls

CA = tls.new_ca()[1]


def superlink_is_up(gate: FakeOneGate, **changes: str) -> None:
    """What a SuperLink publishes."""
    gate.of("4").update(
        {
            "FL_READY": "YES",
            "FL_ENDPOINT": "10.0.0.4:9092",
            "FL_VERSION": "1.34.0",
            "FL_TLS": "YES",
            "FL_CA_CERT": base64.b64encode(CA).decode(),
            **changes,
        }
    )


def admitted(gate: FakeOneGate) -> None:
    """What the registrar publishes for VM 5."""
    gate.of("5").update({"FL_PARTITION_ID": "1", "FL_NUM_PARTITIONS": "3", "FL_NODE_ID": "77"})


def environment(node: FakeNode) -> str:
    return node.path("/opt/flower/config/supernode.env").read_text()


class Registrar(dict[str, str]):
    """Attributes of the VM; answers to each public key as the registrar would. `retire` is the number to refuse."""

    def __init__(self, start: dict[str, str], retire: int = 0) -> None:
        super().__init__(start)
        self.keys: list[str] = []
        self._retire = retire

    def __setitem__(self, key: str, value: str) -> None:
        super().__setitem__(key, value)
        if key != "FL_NODE_PUBKEY":
            return
        self.keys.append(value)
        if len(self.keys) <= self._retire:
            self.update(FL_RETIRED_KEY=value, FL_ADMISSION_ERROR="Flower takes a key only once.")
        else:
            self.update(FL_PARTITION_ID="0", FL_NUM_PARTITIONS="2", FL_NODE_ID=str(100 + len(self.keys)))


def with_registrar(gate: FakeOneGate, retire: int = 0) -> Registrar:
    """A registrar that answers VM 5 at once."""
    registrar = Registrar(gate.of("5"), retire)
    gate.vms["5"] = ("supernode", registrar)
    return registrar
