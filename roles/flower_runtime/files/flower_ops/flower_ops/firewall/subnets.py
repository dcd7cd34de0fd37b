# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The networks that a VM is directly on: as CONTEXT gives them, else as the kernel has them."""

from __future__ import annotations

import ipaddress
import re
import socket
import struct
from collections.abc import Mapping
from pathlib import Path

#: What contextualization assumes where the network says nothing.
_MASK, _PREFIX = "255.255.255.0", "64"
_UP = 0x1
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


def own(context: Mapping[str, str], root: Path = Path("/")) -> list[str]:
    """CIDRs of the networks of the VM's own NICs, IPv4 first. Empty when it has none."""
    found = _of_context(context) or _of_kernel(root)
    # A mask of nothing is a typing error in the network, never a reason to let in the whole world.
    networks = {item for item in found if item.prefixlen and not (item.is_loopback or item.is_link_local)}
    return [str(item) for item in sorted(networks, key=lambda item: (item.version, int(item.network_address)))]


def _of_context(context: Mapping[str, str]) -> list[Network]:
    found: list[Network] = []
    for key, address in context.items():
        match = re.fullmatch(r"(ETH[0-9]+)_(IP|IP6|IP6_ULA)", key)
        if not match or not address:
            continue
        if match.group(2) == "IP":
            mask = context.get(f"{match.group(1)}_MASK") or _MASK
        else:
            mask = context.get(f"{match.group(1)}_IP6_PREFIX_LENGTH") or _PREFIX
        try:
            found.append(ipaddress.ip_network(f"{address}/{mask}", strict=False))
        except ValueError:
            # An address that the network scripts could not use either.
            continue
    return found


def _of_kernel(root: Path) -> list[Network]:
    routes: list[tuple[str, Network]] = [*_routes4(root), *_routes6(root)]
    return [network for name, network in routes if not _is_bridge(root, name)]


def _routes4(root: Path) -> list[tuple[str, ipaddress.IPv4Network]]:
    """On-link routes: those without a gateway. Numbers are in host byte order, in hexadecimal."""
    found = []
    for line in _lines(root / "proc/net/route")[1:]:
        name, target, gateway, flags, *_counters = line.split()
        mask = line.split()[7]
        if int(flags, 16) & _UP and int(gateway, 16) == 0 and int(mask, 16):
            address, netmask = (socket.inet_ntoa(struct.pack("=L", int(text, 16))) for text in (target, mask))
            found.append((name, ipaddress.IPv4Network(f"{address}/{netmask}", strict=False)))
    return found


def _routes6(root: Path) -> list[tuple[str, ipaddress.IPv6Network]]:
    found = []
    for line in _lines(root / "proc/net/ipv6_route"):
        target, length, _source, _source_length, gateway, _metric, _references, _use, flags, name = line.split()
        network = ipaddress.IPv6Network((int(target, 16), int(length, 16)))
        # Host routes and multicast belong to the machine itself, not to its neighbours.
        usable = int(flags, 16) & _UP and 0 < network.prefixlen < 128 and not network.is_multicast
        if usable and int(gateway, 16) == 0 and name != "lo":
            found.append((name, network))
    return found


def _is_bridge(root: Path, name: str) -> bool:
    """Networks of containers inside the VM hang on bridges; nobody there is another VM."""
    return (root / f"sys/class/net/{name}/bridge").exists()


def _lines(place: Path) -> list[str]:
    try:
        return place.read_text(encoding="ascii").splitlines()
    except OSError:
        return []
