# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ids of VM templates, virtual networks, users and groups by name, each pool read once at most, and only for a name."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any

from ..api.connection import Connection
from ..data.xml import pool_to_dicts
from .pools import read_pool, resolve


class Lookups:
    """Names to ids over XML-RPC. The connection is made on the first name, so that ids alone need no oned."""

    def __init__(self, connect: Callable[[], Connection]) -> None:
        self._connect = connect

    def vm_template(self, reference: Any) -> int:
        """The id of a VM template; raises OneUsageError where the name is unknown or means several."""
        return resolve(str(reference), "VM template", lambda: self._vm_templates)

    def network(self, reference: Any) -> int:
        """The id of a virtual network; raises OneUsageError where the name is unknown or means several."""
        return resolve(str(reference), "virtual network", lambda: self._networks)

    def user(self, reference: Any) -> int:
        """The id of a user; raises OneUsageError where the name is unknown."""
        return resolve(str(reference), "user", lambda: self._users)

    def group(self, reference: Any) -> int:
        """The id of a group; raises OneUsageError where the name is unknown."""
        return resolve(str(reference), "group", lambda: self._groups)

    def vm_template_bodies(self) -> list[dict[str, Any]]:
        """All VM templates that the user may see, as dictionaries of their XML."""
        return self._vm_templates

    @cached_property
    def _vm_templates(self) -> list[dict[str, Any]]:
        return read_pool(self._connect(), "one.templatepool.info", "VMTEMPLATE")

    @cached_property
    def _networks(self) -> list[dict[str, Any]]:
        return read_pool(self._connect(), "one.vnpool.info", "VNET")

    @cached_property
    def _users(self) -> list[dict[str, Any]]:
        return pool_to_dicts(self._connect().call("one.userpool.info"), "USER")

    @cached_property
    def _groups(self) -> list[dict[str, Any]]:
        return pool_to_dicts(self._connect().call("one.grouppool.info"), "GROUP")
