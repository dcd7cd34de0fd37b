# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who a machine has talked to, how much, and whether it was encrypted: figures of packets, kept while they pass."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from flower_ops.audit.packets import ACK, SYN, Packet
from flower_ops.audit.tls_stream import CLIENT_HELLO, SERVER_HELLO, TlsStream

#: Connections of their own; all others are counted together.
MOST = 20000
#: Ports from here on are taken for connections that somebody opened, unless a SYN says otherwise.
EPHEMERAL = 32768


@dataclass
class Flow:
    """One connection, or all packets of a protocol without ports between two machines. Bytes with IP headers."""

    protocol: str
    local_port: int
    remote: str
    remote_port: int
    opened_here: bool | None = None
    bytes_out: int = 0
    bytes_in: int = 0
    payload_out: int = 0
    payload_in: int = 0
    packets: int = 0
    out: TlsStream = field(default_factory=TlsStream)
    back: TlsStream = field(default_factory=TlsStream)

    @property
    def from_here(self) -> bool:
        """Whether this machine opened it; where no SYN was seen, the higher port is the one of who did."""
        return self.opened_here if self.opened_here is not None else self.local_port >= self.remote_port


class Flows:
    """All of a machine."""

    def __init__(self) -> None:
        self.packets = 0
        self._flows: dict[tuple[str, int, str, int], Flow] = {}

    def add(self, packet: Packet, outgoing: bool) -> Flow:
        """Count a packet."""
        self.packets += 1
        here, there = (packet.source_port, packet.target_port) if outgoing else (packet.target_port, packet.source_port)
        remote = packet.target if outgoing else packet.source
        key = (packet.protocol, here, remote, there)
        flow = self._flows.get(key)
        if flow is None:
            if len(self._flows) >= MOST:
                key = (packet.protocol, 0, remote, there)
            flow = self._flows.setdefault(key, Flow(packet.protocol, key[1], remote, there))
        flow.packets += 1
        size = len(packet.payload)
        if outgoing:
            flow.bytes_out += packet.length
            flow.payload_out += size
        else:
            flow.bytes_in += packet.length
            flow.payload_in += size
        if packet.protocol == "tcp":
            self._tcp(flow, packet, outgoing)
        return flow

    @staticmethod
    def _tcp(flow: Flow, packet: Packet, outgoing: bool) -> None:
        stream = flow.out if outgoing else flow.back
        if packet.flags & SYN:
            stream.syn(packet.sequence)
            flow.opened_here = outgoing != bool(packet.flags & ACK)
        elif packet.payload:
            stream.feed(packet.sequence, bytes(packet.payload))

    def table(self) -> list[dict[str, Any]]:
        """One row per peer, protocol and port of the service, the greatest first."""
        rows: dict[tuple[str, str, int, bool], list[Flow]] = {}
        for flow in self._flows.values():
            port = flow.remote_port if flow.from_here else flow.local_port
            rows.setdefault((flow.protocol, flow.remote, port, flow.from_here), []).append(flow)
        found = [_row(key, flows) for key, flows in rows.items()]
        return sorted(found, key=lambda row: -int(row["bytes_out"]) - int(row["bytes_in"]))


def _row(key: tuple[str, str, int, bool], flows: Iterable[Flow]) -> dict[str, Any]:
    protocol, remote, port, from_here = key
    all_flows = list(flows)
    row: dict[str, Any] = {
        "protocol": protocol,
        "address": remote,
        "port": port,
        "opened_by": "node" if from_here else "peer",
        "connections": len(all_flows),
    }
    for name in ("bytes_out", "bytes_in", "payload_out", "payload_in", "packets"):
        row[name] = sum(getattr(flow, name) for flow in all_flows)
    if protocol == "tcp":
        row["tls"] = _tls([flow for flow in all_flows if flow.payload_out or flow.payload_in], from_here)
    return row


def _tls(flows: list[Flow], from_here: bool) -> dict[str, Any]:
    """`connections` that carried anything; `handshakes`: those whose two hellos were seen; `opened_before`: whose
    beginning was not; `plain_bytes`: outside of every record, both ways."""
    hellos = (CLIENT_HELLO, SERVER_HELLO) if from_here else (SERVER_HELLO, CLIENT_HELLO)
    streams = [stream for flow in flows for stream in (flow.out, flow.back)]
    return {
        "encrypted": bool(flows) and all(stream.plain == 0 for stream in streams) and any(s.records for s in streams),
        "connections": len(flows),
        "handshakes": sum((flow.out.hello, flow.back.hello) == hellos for flow in flows),
        "opened_before": sum(not flow.out.opened for flow in flows),
        "records": sum(stream.records for stream in streams),
        "plain_bytes": sum(stream.plain for stream in streams),
        "gaps": sum(stream.missing for stream in streams),
    }
