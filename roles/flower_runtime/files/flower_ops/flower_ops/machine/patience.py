# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How long a node waits for others at boot, and what it says meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from flower_ops.machine.errors import OneGateError

#: 30 tries 10 s apart, after a few quick ones: whoever boots at the same time is met within seconds.
TRIES = 30
PAUSE = 10.0
QUICK = (1.0, 1.0, 2.0, 2.0, 4.0)
#: A server that swallows packets makes each try slow; the wait ends at about the same time all the same.
LIMIT = 310.0
#: What trying again cannot mend: the token or the VM is wrong, or there is no service.
FINAL = (400, 401, 403, 404)

T = TypeVar("T")


class WaitedInVainError(Exception):
    """Nothing came within the time; the text is the last reason."""


def patiently(
    attempt: Callable[[], tuple[T | None, str]],
    sleep: Callable[[float], None],
    clock: Callable[[], float],
    say: Callable[[str], None],
    once: bool = False,
) -> T:
    """Call `attempt` until it gives something; it returns (result or None, why there is none yet).

    An attempt may raise OneGateError: one with a final status is passed on, any other counts as not yet.
    `once`: do not wait. WaitedInVainError when the time is over.
    """
    end, told = clock() + LIMIT, ""
    for pause in (*QUICK, *[PAUSE] * (TRIES - 1), None):
        try:
            result, reason = attempt()
        except OneGateError as error:
            if error.status in FINAL:
                raise
            result, reason = None, str(error)
        if result is not None:
            if told:
                say("the wait is over")
            return result
        if once or pause is None or clock() >= end:
            break
        if reason != told:
            say(f"waiting: {reason}")
            told = reason
        sleep(pause)
    raise WaitedInVainError(reason)
