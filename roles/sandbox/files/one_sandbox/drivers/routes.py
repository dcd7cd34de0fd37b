# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where this host sends addresses already: the engine looks at its own networks only before it makes another one."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network
from pathlib import Path

_TABLE = Path("/proc/net/route")


def holder(subnet: str, table: Path = _TABLE) -> str | None:
    """The interface that a route for the subnet, or for a part of it, leads to; None where there is none.

    Wider routes, the default one among them, do no harm: the narrowest wins. A host without the table has none either.
    """
    wanted = IPv4Network(subnet, strict=False)
    try:
        lines = table.read_text().splitlines()[1:]
    except OSError:
        return None
    for columns in filter(lambda found: len(found) > 7, map(str.split, lines)):
        # The kernel prints addresses as numbers of this machine's byte order, which is little-endian.
        first, mask = (IPv4Address(bytes.fromhex(columns[place])[::-1]) for place in (1, 7))
        if IPv4Network(f"{first}/{mask}", strict=False).subnet_of(wanted):
            return columns[0]
    return None
