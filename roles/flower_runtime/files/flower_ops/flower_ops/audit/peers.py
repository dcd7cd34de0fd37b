# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names for those whom a node may talk to, and how much it may tell them.

The SuperLink is judged by what the run needs. Everybody else gets a limit that leaves little room: services that
a VM cannot do without, and the operator's own SSH session.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flower_ops import rules

PROC = Path("/proc")


@dataclass(frozen=True)
class Rule:
    """`ports` empty: all. `address` empty: any. `opened_by`: node, peer, or empty for both. `limit`: bytes out."""

    name: str
    protocols: tuple[str, ...]
    ports: tuple[int, ...] = ()
    address: str = ""
    opened_by: str = ""
    limit: int = 65536

    def fits(self, row: Mapping[str, Any]) -> bool:
        """Whether it speaks of this peer."""
        if row["protocol"] not in self.protocols or (self.ports and row["port"] not in self.ports):
            return False
        if self.opened_by and row["opened_by"] != self.opened_by:
            return False
        return not self.address or _within(str(row["address"]), self.address)


def _within(address: str, network: str) -> bool:
    try:
        return ipaddress.ip_address(address) in ipaddress.ip_network(network, strict=False)
    except ValueError:
        return False


#: What machines of a network say to each other by themselves.
HOUSEKEEPING = (
    Rule("neighbours on the link", ("arp", "lldp", "igmp"), limit=262144),
    Rule("ICMP", ("icmp", "icmpv6"), limit=65536),
    Rule("DHCP", ("udp",), (67, 68, 546, 547), limit=16384),
    Rule("DNS", ("udp", "tcp"), (53,), limit=65536),
    Rule("names on the link", ("udp",), (5353, 5355), limit=65536),
    Rule("time", ("udp",), (123,), limit=16384),
)
FLEET, ONEGATE, SSH = "SuperLink (Fleet API)", "OneGate", "SSH from the control machine"


def rules_for(fleet: str, gate: str, control: str, more: Sequence[Mapping[str, Any]]) -> list[Rule]:
    """Endpoints are `host:port`, empty where there is none; `more` are an operator's own."""
    found = []
    for name, endpoint, limit in ((FLEET, fleet, -1), (ONEGATE, gate, 1 << 20)):
        if endpoint:
            host, port = rules.split_address(endpoint)
            found += [Rule(name, ("tcp",), (port,), address, "node", limit) for address in sorted(resolve(host))]
    if control:
        # Modules and their answers; the files of fingerprints travel when the capture is over.
        found.append(Rule(SSH, ("tcp",), (22,), control, "peer", 8 << 20))
    for one in more:
        ports = (int(one["port"]),) if one.get("port") else ()
        protocols = (str(one["protocol"]),) if one.get("protocol") else ("tcp", "udp")
        name, address = str(one["name"]), str(one.get("address") or "")
        found.append(Rule(name, protocols, ports, address, "", int(one.get("max_bytes") or 65536)))
    return [*found, *HOUSEKEEPING]


def name(table: Sequence[Mapping[str, Any]], known: Sequence[Rule]) -> list[dict[str, Any]]:
    """Rows with `name`, `limit` (bytes out; -1: judged by the run) and `allowed`. A limit holds for all of a name."""
    rows = []
    for row in table:
        rule = next((one for one in known if one.fits(row)), None)
        rows.append({**row, "name": rule.name if rule else "", "limit": rule.limit if rule else 0})
    sums: dict[str, int] = {}
    for row in rows:
        sums[row["name"]] = sums.get(row["name"], 0) + row["bytes_out"]
    for row in rows:
        row["allowed"] = bool(row["name"]) and (row["limit"] < 0 or sums[row["name"]] <= row["limit"])
    return rows


def resolve(host: str) -> set[str]:
    """Addresses of a host; the text itself where nobody knows more."""
    try:
        return {str(ipaddress.ip_address(host))}
    except ValueError:
        pass
    try:
        return {str(one[4][0]) for one in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except OSError:
        return set()


def control_machine(proc: Path = PROC) -> str:
    """Address of who is logged in by SSH above this process; empty where nobody is. sudo hides the variable."""
    pid = os.getpid()
    while pid > 1:
        try:
            environment = (proc / str(pid) / "environ").read_bytes()
            status = (proc / str(pid) / "status").read_text(encoding="ascii", errors="replace")
        except OSError:
            return ""
        for pair in environment.split(b"\0"):
            if pair.startswith(b"SSH_CLIENT="):
                return pair.partition(b"=")[2].split()[0].decode("ascii", "replace").removeprefix("::ffff:")
        parent = re.search(r"^PPid:\s*(\d+)", status, re.MULTILINE)
        pid = int(parent[1]) if parent else 0
    return ""
