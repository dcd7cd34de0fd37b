# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who holds what a network or a host lends: VMs by id, all read in one call."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..api.connection import Connection
from ..data.xml import number, pool_to_dicts, text, vectors

# Short bodies of VMs are some 2 kB.
_AT_ONCE = 2000


@dataclass
class Holder:
    """A VM that has an address or a device. name and owner are None where this user may not see the VM."""

    id: int
    name: str | None = None
    owner: str | None = None
    nics: list[Mapping[str, str]] = field(default_factory=list)

    def shown(self) -> dict[str, Any]:
        """The holder as modules hand it to a play."""
        return {"id": self.id, "name": self.name, "owner": self.owner}

    def nic_of(self, mac: str, ip: str) -> int | None:
        """The id of its NIC (or NIC alias) with that address, None where it shows none."""
        for nic in self.nics:
            if (mac and text(nic, "MAC") == mac) or (ip and text(nic, "IP") == ip):
                return number(nic, "NIC_ID")
        return None


def read_holders(connection: Connection, wanted: Iterable[int]) -> dict[int, Holder]:
    """Return the VMs by id, one call for all of them, none for no VM; those that nobody may see are there, nameless."""
    numbers = sorted(set(wanted))
    found = {one: Holder(one) for one in numbers}
    for start in range(0, len(numbers), _AT_ONCE):
        listed = ",".join(map(str, numbers[start : start + _AT_ONCE]))
        for body in pool_to_dicts(connection.call("one.vmpool.infoset", listed, False), "VM"):
            template = body.get("TEMPLATE")
            nics = [*vectors(template, "NIC"), *vectors(template, "NIC_ALIAS")]
            one = number(body, "ID")
            found[one] = Holder(one, text(body, "NAME"), text(body, "UNAME"), list(nics))
    return found
