# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For the SuperLink of Flower 1.25 only: a message whose content is still on its way is not lost.

A SuperNode may ask for a part of a message that the ServerApp has announced and not uploaded yet. The SuperLink means
to answer "not there yet", but on the way it counts the traffic, and counting nothing is an error there. The SuperNode
takes that error for the end of the message, which nobody sends again, and the round waits for it until its timeout.
Here counting nothing counts nothing. Python imports this file by its name when a process starts with its folder on the
import path; it waits for Flower's modules and never loads one itself.
"""

from __future__ import annotations

import functools
import importlib.abc
import importlib.machinery
import sys
from collections.abc import Sequence
from types import ModuleType
from typing import Any

CLASSES = {
    "flwr.server.superlink.linkstate.in_memory_linkstate": "InMemoryLinkState",
    "flwr.server.superlink.linkstate.sqlite_linkstate": "SqliteLinkState",
}


def without_zero(store_traffic: Any) -> Any:
    """`store_traffic(run_id, *, bytes_sent, bytes_recv)` that leaves out what is no traffic."""

    @functools.wraps(store_traffic)
    def counted(state: Any, run_id: int, *, bytes_sent: int, bytes_recv: int) -> None:
        if bytes_sent or bytes_recv:
            store_traffic(state, run_id, bytes_sent=bytes_sent, bytes_recv=bytes_recv)

    return counted


class _Loader(importlib.abc.Loader):
    """Loads a module as its own loader does, then changes the one method."""

    def __init__(self, real: importlib.abc.Loader, name: str) -> None:
        self._real = real
        self._class = name

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> ModuleType | None:
        """As the module's own loader does."""
        return self._real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        """As the module's own loader does, and the change."""
        self._real.exec_module(module)
        found = getattr(module, self._class, None)
        if found is not None:
            found.store_traffic = without_zero(found.store_traffic)


class _Finder(importlib.abc.MetaPathFinder):
    """Finds the modules to change by the finders that come after it."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        """See importlib."""
        if fullname not in CLASSES:
            return None
        for finder in sys.meta_path:
            if finder is self:
                continue
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader, CLASSES[fullname])
                return spec
        return None


sys.meta_path.insert(0, _Finder())
