# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM says about itself in OneGate beyond its settings: failures, events, and that a reboot made it unready."""

from __future__ import annotations

import time
from collections.abc import Callable

from flower_ops.machine.errors import OneGateError
from flower_ops.machine.onegate import OneGate, plain
from flower_ops.node.node import Node

#: The attribute by which each role says that its service is healthy.
READY_OF = {"superlink": "FL_READY", "supernode": "FL_NODE_READY"}
LONGEST = 400


def event(text: str, now: Callable[[], float] = time.time) -> str:
    """A sentence for FL_EVENT, with the time in UTC."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(now()))
    return f"{stamp} {shortened(text)}"


def shortened(text: str) -> str:
    """A sentence that OneGate takes, of a length that a person reads."""
    sentence = plain(text)
    return sentence if len(sentence) <= LONGEST else sentence[: LONGEST - 2] + " …"


def unready_after_reboot(node: Node) -> bool:
    """Take back what an earlier boot said of readiness, in the first run since the VM started.

    OneFlow looks at READY only while it waits for new VMs, so a service that runs is not disturbed by this.
    Returns whether there was something to take back.
    """
    if node.check or not node.systemd.available or node.files.read(node.paths.booted) is not None:
        return False
    stale: dict[str, str] = {}
    if node.gate is not None:
        own = node.own_attributes()
        stale = {name: "NO" for name in ("READY", READY_OF[node.role]) if own.get(name) == "YES"}
        if stale:
            stale["FL_EVENT"] = event("The VM was started anew; it is not ready until its service is healthy.")
            node.publish(stale)
    node.files.store(node.paths.booted, b"")
    return bool(stale)


def failure(gate: OneGate, role: str, code: str, text: str, goes_on: bool = False) -> None:
    """Publish a failure, best effort: who reads the journal or the answer of the run knows it already.

    `goes_on`: what was asked for was refused, and the service runs on untouched; a VM that was ready still is.
    """
    wanted = {"FL_ERROR": code, "FL_ERROR_TEXT": shortened(text)}
    try:
        own = gate.own()
        ready = own.get("READY") == "YES"
        if role in READY_OF and not (goes_on and ready):
            wanted[READY_OF[role]] = "NO"
        if ready and not goes_on:
            wanted["READY"] = "NO"
        differing = {name: value for name, value in wanted.items() if own.get(name) != value}
        if differing:
            gate.put(differing)
    except OneGateError:
        return
