# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Captures read back: packets of every kind, whom they went to, and whether they were encrypted."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from audit_support import LINK, NODE, ip, packet, record, tcp, udp
from flower_ops.audit import packets, pcap
from flower_ops.audit.flows import Flows
from flower_ops.audit.packets import ACK, IPV4, IPV6, SYN
from flower_ops.audit.tls_stream import TlsStream
from hypothesis import given
from hypothesis import strategies as st


@pytest.mark.parametrize(("here", "there"), [(NODE, LINK), ("fd00::2", "fd00::1")])
def test_a_segment_of_tcp(here: str, there: str) -> None:
    found = packet(tcp(here, 40000, there, 9092, b"hello", 77, SYN))
    assert (found.protocol, found.source, found.source_port, found.target, found.target_port) == (
        ("tcp", here, 40000, there, 9092)
    )
    assert (bytes(found.payload), found.sequence, found.flags) == (b"hello", 77, SYN)


def test_what_has_no_ports_is_counted_whole() -> None:
    ping = packet(ip(NODE, LINK, 1, b"\x08\x00" + bytes(62)))
    assert (ping.protocol, ping.source_port, len(ping.payload), ping.length) == ("icmp", 0, 64, 84)
    later = packet(ip(NODE, LINK, 17, b"data of a fragment", fragment=185))
    assert (later.protocol, later.target_port, bytes(later.payload)) == ("udp", 0, b"data of a fragment")
    assert packets.parse(0x0806, bytes(28)).protocol == "arp"
    assert packets.parse(0x1234, bytes(28)).protocol == "ethertype 0x1234"


def test_padding_of_the_link_is_no_payload() -> None:
    found = packets.parse(IPV4, udp(NODE, 68, LINK, 67, b"") + bytes(18))
    assert len(found.payload) == 0 and found.length == 28


def test_extension_headers_of_ipv6_are_walked_over() -> None:
    inner = struct.pack("!HHHH", 5, 53, 12, 0) + b"name"
    body = bytes([17, 0]) + bytes(6) + inner
    found = packets.parse(IPV6, ip("fd00::2", "fd00::1", 0, body))
    assert (found.protocol, found.target_port, bytes(found.payload)) == ("udp", 53, b"name")


@given(st.binary(max_size=120), st.sampled_from([IPV4, IPV6, 0x0806]))
def test_no_packet_is_lost_whatever_it_holds(data: bytes, ethertype: int) -> None:
    flows = Flows()
    flows.add(packets.parse(ethertype, data), outgoing=True)
    (row,) = flows.table()
    assert row["packets"] == 1


def test_a_ring_keeps_the_newest_packets_and_counts_the_others(tmp_path: Path) -> None:
    ring = pcap.Ring(tmp_path, 2 * pcap.LARGEST)
    size = 10000
    for number in range(100):
        ring.add(number % 2 == 0, IPV4, bytes([number]) * size, size)
    ring.close()
    kept = [one for path in pcap.captures(tmp_path) for one in pcap.read(path)]
    numbers = [one.data[0] for one in kept]
    assert numbers == list(range(numbers[0], 100))
    assert ring.lost == numbers[0] * (size + 16)
    assert kept[0].outgoing == (numbers[0] % 2 == 0) and kept[0].length == size
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 2 * pcap.LARGEST + 4096
    assert all(path.stat().st_mode & 0o777 == 0o600 for path in tmp_path.iterdir())


def test_captures_of_the_other_byte_order_and_broken_ones(tmp_path: Path) -> None:
    path = tmp_path / "capture-0.pcap"
    link = struct.pack("!HHH8sH", 4, 1, 6, bytes(8), IPV4)
    data = link + udp(NODE, 1, LINK, 2, b"x")
    head = struct.pack(">IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 113)
    one = struct.pack(">IIII", 5, 0, len(data), len(data)) + data
    path.write_bytes(head + one + one[:20])
    (found,) = pcap.read(path)
    assert found.outgoing and packet(found.data).target_port == 2
    path.write_bytes(b"no capture at all, but long enough")
    with pytest.raises(ValueError, match="no capture"):
        list(pcap.read(path))


def test_peers_are_told_by_the_port_of_who_was_called() -> None:
    flows = Flows()
    flows.add(packet(tcp(NODE, 50000, LINK, 9092, b"", 1, SYN)), True)
    flows.add(packet(tcp(LINK, 9092, NODE, 50000, b"", 9, SYN | ACK)), False)
    flows.add(packet(tcp(NODE, 50000, LINK, 9092, b"12345", 2)), True)
    flows.add(packet(tcp("10.0.0.9", 22222, NODE, 22, b"abc", 5)), False)
    flows.add(packet(tcp(NODE, 22, "10.0.0.9", 22222, b"defg", 8)), True)
    fleet, ssh = flows.table()
    assert (fleet["port"], fleet["opened_by"], fleet["connections"], fleet["payload_out"]) == (9092, "node", 1, 5)
    assert fleet["bytes_out"] == 40 + 45 and fleet["bytes_in"] == 40
    assert (ssh["port"], ssh["opened_by"], ssh["payload_out"], ssh["payload_in"]) == (22, "peer", 4, 3)


HELLOS = record(22, b"\x01" + bytes(99)), record(22, b"\x02" + bytes(60))


def streams(out: bytes, back: bytes, opened: bool = True, cut: int = 100) -> Flows:
    flows = Flows()
    if opened:
        flows.add(packet(tcp(NODE, 50000, LINK, 9092, b"", 0, SYN)), True)
        flows.add(packet(tcp(LINK, 9092, NODE, 50000, b"", 0, SYN | ACK)), False)
    for at in range(0, max(len(out), len(back)), cut):
        if out[at : at + cut]:
            flows.add(packet(tcp(NODE, 50000, LINK, 9092, out[at : at + cut], at + 1)), True)
        if back[at : at + cut]:
            flows.add(packet(tcp(LINK, 9092, NODE, 50000, back[at : at + cut], at + 1)), False)
    return flows


def test_tls_from_the_first_byte() -> None:
    more = record(23, bytes(3000))
    (row,) = streams(HELLOS[0] + more, HELLOS[1] + more).table()
    assert row["tls"] == {
        "encrypted": True, "connections": 1, "handshakes": 1, "opened_before": 0, "records": 4, "plain_bytes": 0,
        "gaps": 0,
    }  # fmt: skip


def test_a_connection_that_only_looks_like_tls_is_counted_beside_the_one_that_is() -> None:
    flows = streams(HELLOS[0], HELLOS[1])
    flows.add(packet(tcp(NODE, 50001, LINK, 9092, b"", 0, SYN)), True)
    flows.add(packet(tcp(NODE, 50001, LINK, 9092, record(23, bytes(500)), 1)), True)
    # A knock that carried nothing.
    flows.add(packet(tcp(NODE, 50002, LINK, 9092, b"", 0, SYN)), True)
    (row,) = flows.table()
    assert (row["connections"], row["tls"]["connections"], row["tls"]["handshakes"]) == (3, 2, 1)
    assert row["tls"]["encrypted"] and row["tls"]["opened_before"] == 0


@pytest.mark.parametrize("cut", [1, 5, 6, 100])
def test_a_handshake_is_seen_however_its_segments_are_cut(cut: int) -> None:
    (row,) = streams(*HELLOS, cut=cut).table()
    assert row["tls"]["handshakes"] == 1 and row["tls"]["records"] == 2


def test_one_plain_byte_is_not_tls() -> None:
    (row,) = streams(HELLOS[0] + record(23, bytes(500)) + b"GET / HTTP/1.1\r\n", HELLOS[1]).table()
    assert not row["tls"]["encrypted"] and row["tls"]["plain_bytes"] > 0


def test_http2_in_plain_is_not_tls() -> None:
    (row,) = streams(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(200), bytes(50)).table()
    assert not row["tls"]["encrypted"] and row["tls"]["handshakes"] == 0


def test_a_connection_that_began_before_the_capture() -> None:
    (row,) = streams(record(23, bytes(400)), record(23, bytes(400)), opened=False).table()
    assert row["tls"]["encrypted"] and row["tls"]["handshakes"] == 0 and row["tls"]["opened_before"] == 1


@given(st.randoms(use_true_random=False), st.integers(0, 2**32 - 1))
def test_segments_in_any_order_and_any_number_of_times(chance: object, start: int) -> None:
    whole = HELLOS[0] + b"".join(record(23, bytes(length)) for length in (1, 700, 16384, 5))
    cuts = [(at, whole[at : at + 613]) for at in range(0, len(whole), 613)]
    segments = cuts + cuts[::3]
    chance.shuffle(segments)  # type: ignore[attr-defined]
    stream = TlsStream()
    stream.syn(start)
    for at, data in segments:
        stream.feed((start + 1 + at) & 0xFFFFFFFF, data)
    assert stream.encrypted and stream.framed == len(whole) and stream.hello == 1 and stream.gaps == 0


def test_what_was_not_captured_is_a_gap_and_no_plain_text() -> None:
    whole = b"".join(record(23, bytes(95)) for _turn in range(2000))
    stream = TlsStream()
    stream.syn(0)
    for at in range(0, len(whole), 100):
        if at != 5000:
            stream.feed(at + 1, whole[at : at + 100])
    assert stream.gaps == 1 and stream.plain == 0 and stream.records > 1900


def test_what_waits_for_a_piece_that_never_came_was_not_looked_at() -> None:
    flows = streams(HELLOS[0], HELLOS[1])
    flows.add(packet(tcp(NODE, 50000, LINK, 9092, b"in plain, behind a hole", 5000)), True)
    (row,) = flows.table()
    assert row["tls"]["gaps"] == 1
