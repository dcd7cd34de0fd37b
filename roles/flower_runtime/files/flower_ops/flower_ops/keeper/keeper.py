# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The keeper: a resident loop that looks at this VM, lets pure code decide, and does what was decided."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flower_ops.keeper.keeper_look import Action, Kind
from flower_ops.keeper.keeper_sight import LinkSight, NodeSight, Sight
from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.files import Files
from flower_ops.machine.given import recall
from flower_ops.machine.journal import Journal, Lines
from flower_ops.machine.paths import Paths
from flower_ops.machine.systemd import ServiceManager, Systemd
from flower_ops.node import notice
from flower_ops.node.keeper_unit import INSIDE
from flower_ops.profiles import UnknownVersionError

INTERVAL = 10.0
#: Seconds between two looks at a record that says nothing of this VM's role.
DAMAGED = 60.0
#: Seconds after which a run of the agent is given up: it has limits of its own, this is for one that hangs.
LONGEST_RUN = 1800.0
#: What cannot be read now, such as variables that the agent refuses too, may be readable at a later look.
_PASSING = (NodeError, OneGateError, OSError, ValueError, UnknownVersionError)
Configure = Callable[[str], tuple[int, dict[str, Any]]]
_SIGHTS: dict[str, type[LinkSight] | type[NodeSight]] = {"superlink": LinkSight, "supernode": NodeSight}


def _say(line: str) -> None:
    print(line, flush=True)


def run_agent(role: str) -> tuple[int, dict[str, Any]]:
    """The agent with the variables of its last run, in a process of its own: its memory goes back when it ends."""
    command = [sys.executable, "-m", "flower_ops.cli", "configure", "--json", "--role", role]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LONGEST_RUN, check=False
        )
        return done.returncode, dict(json.loads(done.stdout))
    except (OSError, subprocess.TimeoutExpired, ValueError) as error:
        return 1, {"changed": False, "message": f"The agent did not answer ({type(error).__name__})."}


@dataclass(frozen=True)
class Outcome:
    """How an action went. `failed` tells how the agent ended, None where it was not asked.

    `sentence` may be published; `full` is what the journal gets, with what a service logged.
    """

    changed: bool
    failed: bool | None = None
    sentence: str = ""
    full: str = ""


class Keeper:
    """One VM. `tick()` is one look with what follows from it; OneGate and services may be down at any time."""

    def __init__(
        self,
        sight: Sight,
        configure: Configure = run_agent,
        clock: Callable[[], float] = time.monotonic,
        say: Callable[[str], None] = _say,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.sight = sight
        self._configure = configure
        self._clock, self._say, self._wall = clock, say, wall
        self._published: dict[str, str] = {}
        self._told = ""

    def tick(self) -> Action | None:
        """Look, decide, act, publish. Returns what was done."""
        action = self.sight.decide(self._clock())
        if action is not None:
            self._act(action)
        self._publish(self.sight.metrics(self._clock()))
        return action

    def _act(self, action: Action) -> None:
        if action.why:
            self._say(f"{action.why} {action.detail}".strip())
        outcome = self._do(action)
        self.sight.acted(self._clock(), action, outcome.failed)
        # A renewal that found nothing to renew is no event.
        if action.why or outcome.changed:
            if outcome.sentence:
                self._say(outcome.full or outcome.sentence)
            self._publish({"FL_EVENT": notice.event(f"{action.why} {outcome.sentence}".strip(), self._wall)})

    def _do(self, action: Action) -> Outcome:
        if action.kind is Kind.TELL:
            return Outcome(False)
        if action.kind is Kind.RESTART:
            try:
                self.sight.systemd.restart(action.unit)
            except NodeError as error:
                return Outcome(False, None, f"It could not be restarted: {error}")
            return Outcome(True, None, f"{action.unit} was restarted.")
        if action.kind in (Kind.STOP, Kind.START):
            order = self.sight.systemd.stop if action.kind is Kind.STOP else self.sight.systemd.restart
            try:
                order(action.unit)
            except NodeError as error:
                self._say(str(error))
            return Outcome(False)
        if action.kind is Kind.NEW_KEY:
            self.sight.refuse_own_key()
        code, answer = self._configure(self.sight.role)
        if code:
            full = answer.get("message") or "the agent gave no reason"
            head = "That is not mended yet:"
            return Outcome(True, True, f"{head} {answer.get('sentence') or full}", f"{head} {full}")
        changes = [change["after_header"] for change in answer.get("diff", [])]
        if not action.why:
            return Outcome(bool(changes), False, f"Renewed or brought in line: {', '.join(changes)}.")
        done = "The agent has configured this VM anew." if changes else "The agent found all in order."
        return Outcome(bool(changes), False, done)

    def _publish(self, values: dict[str, str]) -> None:
        gate = self.sight.gate
        differing = {name: value for name, value in values.items() if self._published.get(name) != value}
        if gate is None or not differing:
            return
        try:
            gate.put(differing)
        except OneGateError as error:
            # The numbers are published by the next look; a fault is told once.
            if str(error) != self._told:
                self._say(str(error))
            self._told = str(error)
            return
        self._told = ""
        self._published.update(differing)


def serve(
    root: Path = Path("/"),
    systemd: ServiceManager | None = None,
    lines: Lines | None = None,
    stop: threading.Event | None = None,
) -> int:
    """The service: runs until SIGTERM, or until systemd should start it anew. Returns the exit code."""
    paths = Paths(root)
    files = Files(paths)
    if files.read(paths.overrides) is None:
        _say("This VM was never configured; run flower-ops configure or flower-ops boot first.")
        return 1
    if stop is None:
        stop = _until_told()
    # The agent runs below this process and must not restart it.
    os.environ[INSIDE] = "1"
    role, runtime = _role(files, stop), paths.at(paths.venv).resolve()
    if not role:
        return 0
    kind = _SIGHTS[role]
    log = lines or Journal(kind.unit)
    keeper, told = None, ""
    _say(f"watching this {role}")
    try:
        while not stop.is_set():
            now = _role(files, stop)
            if now != role:
                _say(f"This VM is a {now} now; starting anew." if now else "Told to end.")
                break
            if paths.at(paths.venv).resolve() != runtime:
                _say("The code of this keeper has been replaced; starting anew.")
                break
            try:
                keeper = keeper or Keeper(kind(paths, systemd or Systemd(), log, time.monotonic()))
                keeper.tick()
                told = ""
            except _PASSING as error:
                if str(error) != told:
                    _say(f"This look failed: {error}")
                told = str(error)
            stop.wait(INTERVAL)
    finally:
        log.close()
    return 0


def _role(files: Files, stop: threading.Event) -> str:
    """The role that this VM was last configured for; waits until the record says so. Empty when told to end."""
    told = False
    while True:
        role = recall(files).role
        if role in _SIGHTS or stop.is_set():
            return role if role in _SIGHTS else ""
        if not told:
            _say(f"{files.paths.overrides} does not name this VM's role; configure it again (flower-ops configure).")
        told = True
        stop.wait(DAMAGED)


def _until_told() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop
