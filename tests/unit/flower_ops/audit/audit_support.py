# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets and samples as the tests of the audit need them, made byte by byte."""

from __future__ import annotations

import io
import ipaddress
import random
import struct
from pathlib import Path

from flower_ops.audit import forms, prints
from flower_ops.audit.control import npy
from flower_ops.audit.packets import ACK, IPV4, IPV6, Packet, parse
from flower_ops.audit.prints import Prints
from flower_ops.audit.scan import Scanner

SALT = bytes(range(16))
NODE, LINK = "10.0.0.2", "10.0.0.1"


def tcp(source: str, port: int, target: str, other: int, payload: bytes, sequence: int = 0, flags: int = ACK) -> bytes:
    """A TCP segment in a packet of IPv4 or IPv6."""
    segment = struct.pack("!HHIIBBHHH", port, other, sequence & 0xFFFFFFFF, 0, 5 << 4, flags, 1000, 0, 0) + payload
    return ip(source, target, 6, segment)


def udp(source: str, port: int, target: str, other: int, payload: bytes) -> bytes:
    return ip(source, target, 17, struct.pack("!HHHH", port, other, 8 + len(payload), 0) + payload)


def ip(source: str, target: str, number: int, body: bytes, fragment: int = 0) -> bytes:
    here, there = ipaddress.ip_address(source).packed, ipaddress.ip_address(target).packed
    if len(here) == 4:
        head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, fragment, 64, number, 0)
        return head + here + there + body
    return struct.pack("!IHBB", 6 << 28, len(body), number, 64) + here + there + body


def packet(data: bytes) -> Packet:
    return parse(IPV6 if data[0] >> 4 == 6 else IPV4, data)


def record(kind: int, body: bytes) -> bytes:
    """A record of TLS."""
    return bytes([kind, 3, 3]) + len(body).to_bytes(2, "big") + body


def samples(seed: int, count: int = 20, columns: int = 64, greatest: int = 255) -> bytes:
    chance = random.Random(seed)
    return bytes(chance.randrange(greatest + 1) for _turn in range(count * columns))


def prints_of(folder: Path, name: str = "node-1", limit: int = 10**6) -> Prints:
    return prints.make(name, [folder], SALT, limit)


def node_with(folder: Path, seed: int, name: str, columns: int = 64, greatest: int = 255) -> tuple[bytes, Prints]:
    """Samples in a data folder of their own, and their fingerprints."""
    place = folder / name
    place.mkdir()
    data = samples(seed, columns=columns, greatest=greatest)
    (place / "samples.npy").write_bytes(npy(data, columns))
    return data, prints_of(place, name)


def rows_found(whose: Prints, data: bytes) -> set[int]:
    """Rows of the samples that are found in bytes."""
    return {whose.rows[hit.owner] for hit in Scanner([whose], SALT).stream(io.BytesIO(data))}


def forms_found(whose: Prints, data: bytes) -> set[str]:
    """In which forms."""
    return {forms.FORMS[whose.forms[hit.owner]] for hit in Scanner([whose], SALT).stream(io.BytesIO(data))}
