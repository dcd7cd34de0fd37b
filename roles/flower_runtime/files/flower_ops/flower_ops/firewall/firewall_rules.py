# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Text of the host firewall: what nftables reads. Nothing here looks at a machine or changes one."""

from __future__ import annotations

import hashlib
import ipaddress
from collections.abc import Iterable

#: The only table that is ever touched; tables of others (Docker, ufw, the operator) stay as they are.
TABLE = "inet flower"
#: Ports by which a VM could send mail: no part of a federation does.
MAIL_PORTS = (25, 26, 465, 587, 2525)
#: Where the addresses of the members are, in a file of their own because they change without a configuration run.
MEMBERS_PATTERN = "/etc/flower-ops/firewall.d/*.nft"

_HEAD = "# Written by flower-ops configure; the next run overwrites what is changed here.\n"

_INPUT = """\
    ct state established,related accept
    ct state invalid drop
    icmp type {{ echo-request, destination-unreachable, time-exceeded, parameter-problem }} accept
    icmpv6 type {{ echo-request, destination-unreachable, packet-too-big, time-exceeded, parameter-problem }} accept
    icmpv6 type {{ nd-router-advert, nd-neighbor-solicit, nd-neighbor-advert, mld-listener-query }} accept
    udp sport 67 udp dport 68 accept
    ip6 saddr fe80::/10 udp sport 547 udp dport 546 accept
    tcp dport 22 accept
{fleet}"""

_TABLE = """\
table {table}
delete table {table}
table {table} {{
{sets}  chain input {{
    type filter hook input priority filter; policy drop;
    iif lo accept comment "{mark}"
{input}  }}
  chain forward {{
    type filter hook forward priority filter; policy accept;
    tcp dport {{ {mail} }} reject with tcp reset
  }}
  chain output {{
    type filter hook output priority filter; policy accept;
    oif != lo tcp dport {{ {mail} }} reject with tcp reset
  }}
}}
include "{members}"
"""


def rules(fleet_port: int | None = None, networks: Iterable[str] = ()) -> str:
    """The whole table, in a form that nftables exchanges for the old one in one step.

    `fleet_port` is opened to the members and to `networks` (CIDRs); None opens no port of Flower at all.
    """
    sets = fleet = ""
    if fleet_port is not None:
        four, six = families(networks)
        sets = (
            _set("federation4", "ipv4_addr", [])
            + _set("federation6", "ipv6_addr", [])
            + _set("allowed4", "ipv4_addr", four)
            + _set("allowed6", "ipv6_addr", six)
        )
        fleet = "".join(
            f"    {family} saddr @{name} tcp dport {fleet_port} accept\n"
            for family, name in (
                ("ip", "federation4"),
                ("ip6", "federation6"),
                ("ip", "allowed4"),
                ("ip6", "allowed6"),
            )
        )
    parts = {"table": TABLE, "sets": sets, "input": _INPUT.format(fleet=fleet), "members": MEMBERS_PATTERN}
    parts["mail"] = ", ".join(map(str, MAIL_PORTS))
    # A SuperNode includes no members: it has no set to put them in.
    body = _TABLE if fleet_port is not None else _TABLE.replace('include "{members}"\n', "")
    # The mark is what tells later whether the rules in force are these.
    digest = hashlib.sha256(body.format(mark="", **parts).encode()).hexdigest()[:16]
    return _HEAD + body.format(mark=mark(digest), **parts)


def mark(digest: str) -> str:
    """Comment of the first rule."""
    return f"flower {digest}"


def mark_of(text: str) -> str:
    """The mark in a text of rules; empty when there is none."""
    return text.partition('comment "')[2].partition('"')[0]


def members(addresses: Iterable[str]) -> str:
    """Commands that make the sets of the members hold exactly these addresses or networks."""
    lines = ["# Addresses of the members; kept by flower-ops."]
    for name, found in zip(("federation4", "federation6"), families(addresses), strict=True):
        lines.append(f"flush set {TABLE} {name}")
        if found:
            lines.append(f"add element {TABLE} {name} {{ {', '.join(found)} }}")
    return "\n".join(lines) + "\n"


def families(addresses: Iterable[str]) -> tuple[list[str], list[str]]:
    """IPv4 and IPv6 of addresses and networks, each sorted and merged where they overlap; ValueError for others."""
    networks = [ipaddress.ip_network(item, strict=False) for item in addresses]
    four = ipaddress.collapse_addresses(item for item in networks if isinstance(item, ipaddress.IPv4Network))
    six = ipaddress.collapse_addresses(item for item in networks if isinstance(item, ipaddress.IPv6Network))
    return [_shown(item) for item in four], [_shown(item) for item in six]


def _shown(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> str:
    return str(network.network_address) if network.prefixlen == network.max_prefixlen else str(network)


def _set(name: str, kind: str, elements: list[str]) -> str:
    content = f" elements = {{ {', '.join(elements)} }};" if elements else ""
    return f"  set {name} {{ type {kind}; flags interval;{content} }}\n"
