# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What runs at every boot of an appliance: the agent, told line by line to journal and console."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from flower_ops.agent import agent
from flower_ops.machine.systemd import ServiceManager


def _say(line: str) -> None:
    print(line, flush=True)


def processor_time() -> float:
    """Seconds that this process and the commands it has waited for have kept a core busy, since it started."""
    return sum(os.times()[:4])


def boot(
    root: Path = Path("/"),
    timeout: float = 120.0,
    systemd: ServiceManager | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
    say: Callable[[str], None] = _say,
) -> int:
    """Configure this VM from its CONTEXT until it is READY.

    Returns 0 when it is healthy, 1 when a step failed (trying again makes sense), 2 when the variables are wrong.
    """
    started = clock()
    code, answer = agent.configure(agent.Request("auto", None, root=root, timeout=timeout), systemd, sleep, clock, say)
    for warning in answer["warnings"]:
        say(f"warning: {warning}")
    if code == agent.OK and not answer["facts"]["ready"]:
        say("Settings are in place; nothing was started.")
    elif code == agent.OK:
        took = f"{clock() - started:.1f} s ({processor_time():.2f} s of processor time)"
        say(f"Flower is ready: this {answer['facts']['role']} took {took}.")
    elif code == agent.INVALID:
        say(f"Flower was not started: {answer['message']} Correct them in the VM's CONTEXT and start the VM again.")
    else:
        say(f"Flower is not ready: {answer['message']} This is tried again; by hand: systemctl restart flower-boot")
    return code
