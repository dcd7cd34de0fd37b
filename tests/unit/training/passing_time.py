# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A clock for tests of waits."""

from __future__ import annotations

from typing import Any


class Time:
    """Passes while somebody sleeps; `at` holds what happens when."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now
        self.at: dict[float, Any] = {}

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        assert seconds > 0
        self.now += seconds
        for moment in sorted(self.at):
            if moment <= self.now:
                self.at.pop(moment)()
