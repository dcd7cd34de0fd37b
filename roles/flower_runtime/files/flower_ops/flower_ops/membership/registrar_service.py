# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of flower-registrar.service: polls for ever, eagerly while VMs are on their way."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from pathlib import Path

from flower_ops import context as variables
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.flower_cli.flwr_session import FlwrSession
from flower_ops.machine.errors import OneGateError
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.membership.members import MembershipError
from flower_ops.membership.membership import Membership
from flower_ops.membership.registrar import Registrar, say_line

INTERVAL = 3.0
#: While a VM is on its way: its boot should not wait for the next poll.
EAGER_INTERVAL = 1.0
LONGEST = 60.0


def loop(
    registrar: Registrar,
    stop: threading.Event,
    say: Callable[[str], None] = say_line,
    expect: Callable[[bool], None] = lambda somebody: None,
) -> None:
    """Poll until told to stop; longer and longer pauses while nothing works.

    `expect` hears after each poll whether a registration is likely to follow.
    """
    pause, last = INTERVAL, ""
    while not stop.is_set():
        try:
            somebody = registrar.poll()
            expect(somebody)
            if last:
                say("working again")
            pause, last = EAGER_INTERVAL if somebody else INTERVAL, ""
        except (OneGateError, FlwrCliError, MembershipError, OSError, ValueError) as error:
            if str(error) != last:
                say(f"cannot go on: {error}")
            last, pause = str(error), min(max(pause, INTERVAL) * 2, LONGEST)
        stop.wait(pause)


def serve(root: Path = Path("/")) -> int:
    """The service: runs until SIGTERM. Returns the exit code."""
    paths = Paths(root)
    try:
        context = variables.parse_one_env(paths.at(paths.one_env).read_text(encoding="utf-8", errors="replace"))
    except FileNotFoundError:
        context = {}
    gate = OneGate.from_context(context)
    if gate is None:
        say_line("This VM has no OneGate token; SuperNodes are added with flower-ops member add.")
        return 1
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    flower = FlwrSession(paths.at(f"{paths.venv}/bin/flwr"), paths.at(paths.cli))
    try:
        loop(Registrar(gate, Membership(paths, flower)), stop, expect=flower.expect)
    finally:
        flower.close()
    return 0
