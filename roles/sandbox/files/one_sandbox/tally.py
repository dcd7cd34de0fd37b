# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Lets another process see the call counts of a running sandbox: a file that follows them."""

from __future__ import annotations

import threading

from .home import Home
from .oned.calls import CallCounter

INTERVAL = 0.5


class Tally:
    """Writes the counts into the home when they have changed, twice a second at most, and once more at the end."""

    def __init__(self, home: Home, calls: CallCounter, interval: float = INTERVAL) -> None:
        self._home, self._calls, self._interval = home, calls, interval
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, name="one-tally", daemon=True)

    def start(self) -> None:
        """Begin with what is counted so far, which replaces the counts of an earlier server."""
        self._home.write_calls(self._calls.snapshot())
        self._thread.start()

    def stop(self) -> None:
        """Write the last counts."""
        self._stop.set()
        self._thread.join()

    def _follow(self) -> None:
        written = self._calls.snapshot()
        ended = False
        while not ended:
            ended = self._stop.wait(self._interval)
            counts = self._calls.snapshot()
            if counts != written:
                self._home.write_calls(counts)
                written = counts
