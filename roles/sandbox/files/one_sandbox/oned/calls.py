# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Counts what clients ask of the sandbox, so that tests can say "the second run wrote nothing"."""

from __future__ import annotations

import threading
from collections import Counter

_READS = ("info", "infoextended", "infoset", "version", "monitoring", "accounting", "showback", "config")


def is_write(method: str) -> bool:
    """Whether an XML-RPC method changes something."""
    return method.rsplit(".", 1)[-1] not in _READS


class CallCounter:
    """Calls over the network by name: "one.vm.info", "POST /service/:id/scale"; not those inside the process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        """Start again at zero."""
        self.by_method: dict[str, int] = Counter()
        self.total = 0
        self.writes = 0

    def count(self, name: str, write: bool) -> None:
        """One call. REST routes: method and route pattern; `write` = not GET."""
        with self._lock:
            self.by_method[name] += 1
            self.total += 1
            self.writes += write
