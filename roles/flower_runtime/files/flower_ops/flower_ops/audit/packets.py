# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Packets of the network layer, as far as an audit looks into them."""

from __future__ import annotations

import ipaddress
import struct
from dataclasses import dataclass

IPV4, IPV6 = 0x0800, 0x86DD
TCP, UDP = 6, 17
PROTOCOLS = {1: "icmp", 2: "igmp", TCP: "tcp", UDP: "udp", 58: "icmpv6", 132: "sctp", 47: "gre", 50: "esp"}
LINKS = {0x0806: "arp", 0x88CC: "lldp", 0x8100: "vlan", 0x88A8: "vlan", 0x8863: "pppoe", 0x8864: "pppoe"}
#: Headers of IPv6 that stand before the one of the transport.
_EXTENSIONS = (0, 43, 44, 51, 60)
SYN, ACK = 0x02, 0x10


@dataclass(frozen=True)
class Packet:
    """Addresses are text; ports 0 where the protocol has none. `length`: of the packet with its IP header."""

    protocol: str
    source: str
    source_port: int
    target: str
    target_port: int
    length: int
    payload: memoryview
    sequence: int = 0
    flags: int = 0


def parse(ethertype: int, data: bytes | memoryview) -> Packet:
    """What follows the header of the link. Whatever cannot be read is counted by its protocol, never dropped."""
    view = memoryview(data)
    try:
        if ethertype == IPV4:
            return _ipv4(view)
        if ethertype == IPV6:
            return _ipv6(view)
    except (struct.error, IndexError, ValueError):
        return Packet("unreadable", "", 0, "", 0, len(view), view)
    return Packet(LINKS.get(ethertype, f"ethertype {ethertype:#06x}"), "", 0, "", 0, len(view), view)


def _ipv4(view: memoryview) -> Packet:
    header = (view[0] & 0x0F) * 4
    # Zero where the network card cuts a large packet for us.
    length = struct.unpack_from("!H", view, 2)[0] or len(view)
    offset = struct.unpack_from("!H", view, 6)[0] & 0x1FFF
    source, target = (str(ipaddress.IPv4Address(bytes(view[at : at + 4]))) for at in (12, 16))
    return _transport(view[header:length], view[9], source, target, length, fragment=offset > 0)


def _ipv6(view: memoryview) -> Packet:
    length = 40 + (struct.unpack_from("!H", view, 4)[0] or len(view) - 40)
    source, target = (str(ipaddress.IPv6Address(bytes(view[at : at + 16]))) for at in (8, 24))
    number, at, fragment = view[6], 40, False
    while number in _EXTENSIONS:
        if number == 44:
            fragment = struct.unpack_from("!H", view, at + 2)[0] >> 3 > 0
            size = 8
        else:
            size = (view[at + 1] + 2) * 4 if number == 51 else (view[at + 1] + 1) * 8
        number, at = view[at], at + size
    return _transport(view[at:length], number, source, target, length, fragment)


def _transport(view: memoryview, number: int, source: str, target: str, length: int, fragment: bool) -> Packet:
    name = PROTOCOLS.get(number, f"protocol {number}")
    if fragment or number not in (TCP, UDP):
        return Packet(name, source, 0, target, 0, length, view)
    ports = struct.unpack_from("!HH", view, 0)
    if number == UDP:
        return Packet(name, source, ports[0], target, ports[1], length, view[8:])
    sequence = struct.unpack_from("!I", view, 4)[0]
    return Packet(name, source, ports[0], target, ports[1], length, view[(view[12] >> 4) * 4 :], sequence, view[13])
