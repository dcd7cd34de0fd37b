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
from .pools import pick, read_pool, resolve


class Lookups:
    """Names to ids over XML-RPC. The connection is made on the first name, so that ids alone need no oned."""

    def __init__(self, connect: Callable[[], Connection], check_mode: bool = False) -> None:
        self._connect = connect
        self.check_mode = check_mode
        self._promised: dict[str, None] = {}

    @property
    def warnings(self) -> list[str]:
        """One for every name that check mode took for what an earlier task makes."""
        return list(self._promised)

    def promised(self, kind: str, name: str) -> str:
        """The name of what does not exist yet, in place of its id: an earlier task of the play may be about to make it,
        which check mode only promises. To be called in check mode only.
        """
        self._promised[f"{kind} {name} does not exist yet: the real run fails unless an earlier task makes it"] = None
        return name

    def vm_template(self, reference: Any) -> int | str:
        """The id of a VM template; raises OneUsageError where the name is unknown or means several.

        In check mode an unknown name comes back as it is, with a warning.
        """
        return self._object(str(reference), "VM template", lambda: self._vm_templates)

    def network(self, reference: Any) -> int | str:
        """The id of a virtual network; an unknown name as with `vm_template`."""
        return self._object(str(reference), "virtual network", lambda: self._networks)

    def _object(self, reference: str, kind: str, pool: Callable[[], list[dict[str, Any]]]) -> int | str:
        name = reference.strip()
        if self.check_mode and not name.isdigit() and pick(pool(), kind, name) is None:
            return self.promised(kind, name)
        return resolve(reference, kind, pool)

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
