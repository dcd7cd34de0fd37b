# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Wait for a state: quick first polls, then slower; failure states end it at once with the object's own words."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import OneFailedStateError, OneTimeoutError

T = TypeVar("T")

FIRST_DELAY = 0.2
GROWTH = 1.5


def wait_argument_spec(timeout: int = 300) -> dict[str, dict[str, Any]]:
    """Return the options wait, wait_timeout and wait_interval (seconds)."""
    return {
        "wait": {"type": "bool", "default": True},
        "wait_timeout": {"type": "int", "default": timeout},
        "wait_interval": {"type": "float", "default": 2.0},
    }


def wait_for(
    poll: Callable[[], T],
    is_done: Callable[[T], bool],
    is_failed: Callable[[T], str | None],
    *,
    what: str,
    timeout: float,
    interval: float = 2.0,
    describe: Callable[[T], str] | None = None,
    known: T | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> T:
    """Poll until is_done and return the last object.

    is_failed returns the reason when the object can never get there: OneFailedStateError at once.
    describe gives the words about the last object for the time-out sentence (its state, the scheduler's message).
    known: an object just read, looked at before the first poll. The wait between polls grows from 0.2 s to interval.
    """
    start = clock()
    delay = min(FIRST_DELAY, interval)
    seen = poll() if known is None else known
    while True:
        reason = is_failed(seen)
        if reason is not None:
            failure = OneFailedStateError(f"{what} failed: {reason}")
            failure.last = seen
            raise failure
        if is_done(seen):
            return seen
        left = timeout - (clock() - start)
        if left <= 0:
            words = describe(seen) if describe else ""
            late = OneTimeoutError(
                f"{what} took longer than {timeout:g} s" + (f" ({words})" if words else ""),
                hint="look at the reason on the cloud, or raise wait_timeout",
            )
            late.last = seen
            raise late
        sleep(max(0.0, min(delay, left)))
        delay = min(delay * GROWTH, interval)
        seen = poll()
