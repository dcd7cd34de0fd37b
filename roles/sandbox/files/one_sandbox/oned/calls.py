# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what clients ask of the sandbox, so that tests can say "the second run wrote nothing"."""

from __future__ import annotations

import threading
from collections import Counter
from typing import Any

_READS = ("info", "infoextended", "infoset", "version", "monitoring", "accounting", "showback", "config")


def is_write(method: str) -> bool:
    """Whether an XML-RPC method changes something."""
    return method.rsplit(".", 1)[-1] not in _READS


class CallCounter:
    """Calls over the network by name: "one.vm.info", "POST /service/:id/scale"; not those inside the process.

    `total` and `writes` count the interfaces that clients of the cloud use, XML-RPC and OneFlow; `gate_total` and
    `gate_writes` count OneGate, which only VMs use, at times of their own choosing.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Start again at zero."""
        self.by_method: dict[str, int] = Counter()
        self.total = self.writes = 0
        self.gate_total = self.gate_writes = 0

    def count(self, name: str, write: bool, gate: bool = False) -> None:
        """One call. REST routes: method and route pattern; `write` = not GET; `gate`: it came through OneGate."""
        with self._lock:
            self.by_method[name] += 1
            if gate:
                self.gate_total += 1
                self.gate_writes += write
            else:
                self.total += 1
                self.writes += write

    def snapshot(self) -> dict[str, Any]:
        """All counts at one moment: total, writes, gate_total, gate_writes, by_method."""
        with self._lock:
            return {
                "total": self.total, "writes": self.writes, "gate_total": self.gate_total,
                "gate_writes": self.gate_writes, "by_method": dict(sorted(self.by_method.items())),
            }  # fmt: skip
