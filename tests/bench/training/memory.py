# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Memory of a service and of all that it has started, the shares of shared pages counted once."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

PAUSE_S = 0.05


class Peak:
    """`with Peak(pids) as peak: …`, then `peak.bytes`: the most that the processes had at one time (PSS)."""

    def __init__(self, pids: Callable[[], list[int]]) -> None:
        self._pids = pids
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._look)
        self.bytes = 0

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._stop.wait(PAUSE_S):
            self.bytes = max(self.bytes, sum(map(proportional, self._pids())))


def proportional(pid: int) -> int:
    """Bytes of a process (PSS); 0 once it is gone."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:")), 0)
