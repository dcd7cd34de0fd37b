# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Both ways into a cloud for the modules about services: OneFlow always, oned when VMs or names are looked at."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any

from ..api.connection import Connection
from ..api.oneflow import OneFlow
from ..api.settings import Settings

if TYPE_CHECKING:
    from .lookups import Lookups


class FlowSession:
    """OneFlow, oned and the look-ups of names for one user, made from module parameters."""

    def __init__(self, params: Mapping[str, Any], check_mode: bool = False) -> None:
        self.settings = Settings.from_params(params)
        self.flow = OneFlow(self.settings)
        self._check_mode = check_mode

    def connect(self) -> Connection:
        """The connection to oned, made when it is first needed."""
        return self._connection

    @cached_property
    def lookups(self) -> Lookups:
        """The look-ups of names."""
        from .lookups import Lookups

        return Lookups(self.connect, self._check_mode)

    @cached_property
    def _connection(self) -> Connection:
        return Connection(self.settings)
