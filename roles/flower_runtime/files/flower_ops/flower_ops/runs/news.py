# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Waiting for news of a run or training: files are looked at only when one of them was written."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

Look = TypeVar("Look")
LOOK_EVERY_S = 0.2


def until_news(
    look: Callable[[], Look], written: Callable[[], object], is_news: Callable[[Look], bool], wait: float
) -> Look:
    """The first look that is news, or the last one after `wait` seconds. `written`: differs when a new look may."""
    deadline = time.monotonic() + wait
    before = written()
    found = look()
    while not is_news(found) and time.monotonic() < deadline:
        time.sleep(LOOK_EVERY_S)
        now = written()
        if now != before:
            before, found = now, look()
    return found


def modified(path: Path) -> int:
    """When a file was last written, in nanoseconds since the epoch; 0 for one that is not there."""
    try:
        return path.lstat().st_mtime_ns
    except OSError:
        return 0
