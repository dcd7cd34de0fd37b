# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a new cloud begins with."""

from __future__ import annotations

import os
import secrets
from ipaddress import IPv4Network
from typing import TYPE_CHECKING

from . import infra, users, vnets
from .records import ONEADMIN_GROUP, User

if TYPE_CHECKING:
    from .core import Oned

ADMIN = User(0, ONEADMIN_GROUP, "oneadmin", "oneadmin", (0,))
# A sandbox host gives away more than the machine has: containers use what they need, not what their VM asks for.
_OVERCOMMIT = 8
_HUGE_CPU, _HUGE_MEMORY = 10_000_000, 64 * 2**30
_DATASTORES = (
    ("system", "SYSTEM_DS", "-"), ("default", "IMAGE_DS", "dummy"), ("files", "FILE_DS", "dummy"),
)  # fmt: skip


def plant(oned: Oned, password: str, driver: str, subnet: str, network: str) -> None:
    """Groups, users, cluster, datastores, host and network, when the store is empty."""
    if oned.pools["user"]:
        return
    with oned.transaction():
        for gid, name in enumerate(("oneadmin", "users")):
            oned.set_next_id("group", gid)
            oned.create("group", ADMIN, name, {})
        oned.set_next_id("group", 100)
        # As on a real one, id 1 belongs to the account of the other services: the first user made gets id 2.
        for name, secret in (("oneadmin", password), ("serveradmin", secrets.token_hex(20))):
            oned.create("user", ADMIN, name, {}, password=users.password_hash(secret), groups=[0])
        oned.pools["user"][1].uid = 1
        oned.set_next_id("cluster", 0)
        oned.create("cluster", ADMIN, "default", {"RESERVED_CPU": "", "RESERVED_MEM": ""})
        oned.set_next_id("cluster", 100)
        oned.set_next_id("datastore", 0)
        for name, kind, mad in _DATASTORES:
            infra.add_datastore(oned, ADMIN, name, {"TYPE": kind, "DS_MAD": mad, "TM_MAD": "dummy"}, 20480)
        oned.set_next_id("datastore", 100)
        infra.add_host(oned, ADMIN, "sandbox", driver, *_room(driver))
        vnets.add(oned, ADMIN, "private", _private(driver, subnet, network))


def _room(driver: str) -> tuple[int, int]:
    if driver == "dummy":
        return _HUGE_CPU, _HUGE_MEMORY
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 1024
    return (os.cpu_count() or 1) * 100 * _OVERCOMMIT, memory * _OVERCOMMIT


def _private(driver: str, subnet: str, network: str) -> dict[str, object]:
    if driver == "dummy":
        net, first, size, bridge = IPv4Network("10.0.0.0/16"), 10, 60000, "br0"
    else:
        net, bridge = IPv4Network(subnet), network
        first, size = 10, min(241, net.num_addresses - 12)
    base = net.network_address
    return {
        "VN_MAD": driver, "BRIDGE": bridge, "NETWORK_ADDRESS": str(base), "NETWORK_MASK": str(net.netmask),
        "GATEWAY": str(base + 1), "AR": {"TYPE": "IP4", "IP": str(base + first), "SIZE": str(size)},
    }  # fmt: skip
