# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A capture searched for the node's own samples: what went out without encryption tells its content."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from flower_ops.audit import packets, pcap
from flower_ops.audit.forms import FORMS
from flower_ops.audit.prints import Prints, named
from flower_ops.audit.scan import MOST_UNPACKED, Flow, Scanner
from flower_ops.audit.unpack import Packed

#: Bytes of a connection that are put together before they are looked at.
TOGETHER = 1 << 18
Key = tuple[str, str, int, int]


def search(folder: Path, prints: Prints, salt: bytes) -> list[dict[str, Any]]:
    """One row per peer that got samples in plain: address, port, protocol, number and names of samples, forms."""
    scanner = Scanner([prints], salt)
    found: dict[tuple[str, str, int], tuple[set[tuple[int, int]], set[str]]] = {}
    flows: dict[Key, Flow] = {}
    for key, data in _streams(folder):
        protocol, address, port, _own = key
        # For as long as the connection lasts: what is packed may be longer than what is put together.
        flow = flows.setdefault(key, Flow(scanner, Packed(MOST_UNPACKED)))
        for hit in flow.end() if data is None else flow.feed(data):
            samples, forms = found.setdefault((protocol, address, port), (set(), set()))
            samples.add((prints.files[hit.owner], prints.rows[hit.owner]))
            forms.add(FORMS[prints.forms[hit.owner]])
    return [
        {
            "protocol": protocol,
            "address": address,
            "port": port,
            "samples": len(samples),
            "forms": sorted(forms),
            "named": named(samples),
        }
        for (protocol, address, port), (samples, forms) in sorted(found.items())
    ]


def _streams(folder: Path) -> Iterator[tuple[Key, bytes | None]]:
    """What left the node, by connection, in pieces; None when there is no more of one."""
    held: dict[Key, bytearray] = {}
    for path in pcap.captures(folder):
        for record in pcap.read(path):
            if not record.outgoing:
                continue
            packet = packets.parse(record.ethertype, record.data)
            if not packet.payload:
                continue
            key = (packet.protocol, packet.target, packet.target_port, packet.source_port)
            data = held.setdefault(key, bytearray())
            data += packet.payload
            if len(data) >= TOGETHER:
                yield key, bytes(data)
                data.clear()
    for key, data in held.items():
        yield key, bytes(data)
        yield key, None
