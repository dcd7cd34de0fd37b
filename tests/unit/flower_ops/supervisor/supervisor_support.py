# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A fake Flower that can be killed, with nodes that come and go, and a supervisor that can be killed at any call."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Any

from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor.model import Asked, Cause, Memory, Seen, State
from flower_ops.supervisor.quiet import Life
from flower_ops.supervisor.shelf import Shelf
from flower_ops.supervisor.supervisor import Supervisor
from flower_ops.supervisor.world import Entry, Hindered, Unanswered

BEGIN = 1_800_000_000.0


class Killed(BaseException):
    """kill -9 of the supervisor."""


@dataclass
class Run:
    """A run as the fake SuperLink knows it. `done`: the round that it has done."""

    run_id: str
    training: str
    at: float
    done: int
    cause: Cause | None = None
    reason: str = ""
    #: The SuperLink that it ran in is gone, and Flower does not know it yet.
    orphan: bool = False


class FakeFlower:
    """World of a supervisor. Checkpoints outlive everything; the list of runs is Flower's."""

    def __init__(self, rounds: int = 5) -> None:
        self.clock = BEGIN
        self.rounds = rounds
        self.listed: list[Run] = []
        self.checkpoints: dict[str, int] = {}
        #: Rounds that nodes were made to train, per training.
        self.executed: list[tuple[str, int]] = []
        self.nodes = 2
        self.up = True
        #: Seconds by which the clock was set; which process the SuperLink is, empty: nobody knows.
        self.set_by = 0.0
        self.process = "first"
        #: Runs that have stopped to log; how often watchers wrote; trainings reduced to the last checkpoint.
        self.silent: set[str] = set()
        self.written = 0
        #: How many of its runs it lists, the newest; which rounds lacked results.
        self.shown = 1000
        self.lacked = ""
        self.reduced: list[str] = []
        #: Why checkpoints cannot be removed.
        self.stuck = ""
        #: Why the next submissions fail.
        self.hinders: list[str] = []
        self.refuses = ""
        #: Where the run of the next submission goes, which gets no answer.
        self.unlisted: list[Run] | None = None
        #: Calls to live through before the next one is a kill; None: immortal.
        self.lives: int | None = None
        self.submitted = 0
        self.most_at_once = 0

    # -- what happens in the world -------------------------------------------------------------------------------

    def active(self, training: str) -> list[Run]:
        return [run for run in self.listed if run.training == training and run.cause is None]

    def train(self) -> None:
        """Every run that is alive does a round."""
        for run in self.listed:
            if run.cause is None and not run.orphan and self.up:
                if run.done >= self.rounds:
                    # The checkpoint holds all rounds: nothing is trained.
                    run.cause = Cause.DONE
                    continue
                run.done += 1
                self.executed.append((run.training, run.done))
                self.checkpoints[run.training] = max(run.done, self.checkpoints.get(run.training, 0))
                if run.done >= self.rounds:
                    run.cause = Cause.DONE

    def end(self, cause: Cause, reason: str = "something") -> None:
        for run in self.listed:
            if run.cause is None:
                run.cause, run.reason = cause, reason

    def reboot(self, at_once: bool = True) -> None:
        """The SuperLink is killed and started: what ran is lost, and Flower learns of it at once or later."""
        self.process = f"started at {self.clock}"
        for run in self.listed:
            if run.cause is None:
                run.orphan = True
        if at_once:
            self.heartbeats_expire()

    def cut_off(self) -> list[Run]:
        """The next submission is cut off, and Flower takes it all the same: its run will be here, and is not listed."""
        self.unlisted = []
        return self.unlisted

    def heartbeats_expire(self) -> None:
        for run in self.listed:
            if run.orphan and run.cause is None:
                run.cause, run.reason, run.orphan = Cause.BROKEN, "the run ended without a word", False

    def call(self) -> None:
        """One step of the supervisor into the world; it may be its last."""
        if self.lives is not None:
            if self.lives == 0:
                self.lives = None
                raise Killed
            self.lives -= 1

    # -- World ---------------------------------------------------------------------------------------------------

    def now(self) -> float:
        return self.clock

    def steady(self) -> float:
        return self.clock - self.set_by

    def set_clock(self, seconds: float) -> None:
        """As NTP does it after a boot."""
        self.clock += seconds
        self.set_by += seconds

    def runs(self) -> list[Entry]:
        self.call()
        if not self.up:
            raise Unanswered("Connection to the SuperLink is unavailable")
        newest = sorted(self.listed, key=lambda run: run.at)[-self.shown :]
        return [{"run-id": run.run_id, "run": run} for run in newest]

    def run(self, run_id: str) -> Entry | None:
        self.call()
        if not self.up:
            raise Unanswered("Connection to the SuperLink is unavailable")
        return next(({"run-id": run.run_id, "run": run} for run in self.listed if run.run_id == run_id), None)

    def seen(self, asked: Asked, listed: list[Entry], judged: Collection[str]) -> tuple[Seen, ...] | None:
        mine = [entry["run"] for entry in listed if entry["run"].training == asked.name]
        return tuple(
            Seen(run.run_id, float(int(run.at)), run.cause, run.reason, "" if run.cause else self.process)
            for run in mine
        )

    def online(self) -> int:
        self.call()
        if not self.up:
            raise Unanswered("Connection to the SuperLink is unavailable")
        return self.nodes

    def round(self, asked: Asked) -> int:
        return self.checkpoints.get(asked.name, 0)

    def submit(self, asked: Asked) -> str:
        self.call()
        if self.refuses:
            raise RunError(self.refuses)
        if not self.up:
            raise Unanswered("Connection to the SuperLink is unavailable")
        if self.hinders:
            raise Hindered(self.hinders.pop())
        self.submitted += 1
        run = Run(str(99 + self.submitted), asked.name, self.clock, self.checkpoints.get(asked.name, 0))
        if self.unlisted is not None:
            self.unlisted.append(run)
            self.unlisted = None
            raise Unanswered("no answer")
        self.listed.append(run)
        self.most_at_once = max(self.most_at_once, len(self.active(asked.name)))
        # Flower has it, and nobody has written it down yet.
        self.call()
        return run.run_id

    def follow(self, asked: Asked, run_id: str) -> bool:
        self.call()
        return next(run for run in self.listed if run.run_id == run_id).cause is None

    def stop(self, run_id: str) -> None:
        self.call()
        if not self.up:
            raise Unanswered("Connection to the SuperLink is unavailable")
        for run in self.listed:
            if run.run_id == run_id and run.cause is None:
                run.cause, run.reason, run.orphan = Cause.STOPPED, "stopped on request", False
        self.call()

    def progress(self, run_id: str) -> tuple[int, int, str]:
        run = next((run for run in self.listed if run.run_id == run_id), None)
        return (run.done if run else 0), self.rounds, ""

    def life(self, asked: Asked, run_id: str) -> Life:
        self.written += 1
        done = next(run.done for run in self.listed if run.run_id == run_id)
        # A run that is not silent logs something at every look.
        return Life(f"{run_id} {done} {'' if run_id in self.silent else self.written}", self.written)

    def host(self) -> str:
        return self.process

    def reduce(self, asked: Asked) -> str:
        self.reduced.append(asked.name)
        return self.stuck

    def shortfall(self, memory: Memory) -> str:
        return self.lacked

    def rest(self) -> None:
        """Nothing to close."""


class FakeShelf(Shelf):
    """In memory; a kill comes before or after a write, never within."""

    def __init__(self, world: FakeFlower, *trainings: Asked) -> None:
        super().__init__(Places())
        self.world = world
        self.asked = {one.name: one for one in trainings}
        self.memories: dict[str, Memory] = {}
        self.told: dict[str, Any] = {}

    def all(self) -> list[Asked]:
        return sorted(self.asked.values(), key=lambda one: (one.at, one.name))

    def ask(self, asked: Asked) -> None:
        self.asked[asked.name] = asked

    def recall(self, name: str) -> Memory:
        return self.memories.get(name, Memory())

    def keep(self, name: str, memory: Memory) -> None:
        self.world.call()
        self.memories[name] = memory
        self.world.call()

    def tell(self, summary: dict[str, Any]) -> None:
        self.told = summary


def asked(name: str = "digits-1a2b3c4d", **more: Any) -> Asked:
    """A training for two nodes that keeps checkpoints."""
    base = Asked(name, name.rpartition("-")[2], "/app", nodes=2, at=BEGIN, resumes=True, place=f"/checkpoints/{name}")
    return replace(base, **more)


class Stage:
    """A supervisor in a fake world: killed, it is started anew with what is on the shelf."""

    def __init__(self, *trainings: Asked, rounds: int = 5) -> None:
        self.world = FakeFlower(rounds)
        self.shelf = FakeShelf(self.world, *(trainings or (asked(),)))
        self.said: list[str] = []
        self.start()

    def start(self) -> None:
        self.supervisor = Supervisor(self.world, self.shelf, self.said.append)

    def tick(self) -> None:
        """One look, after which time passes; a supervisor that is killed in it is started anew."""
        pause = 2.0
        try:
            pause = self.supervisor.tick()
        except Killed:
            self.start()
        self.world.clock += pause

    def until(self, true: Callable[[], object], most: int = 400) -> None:
        for _number in range(most):
            if true():
                return
            self.tick()
        raise AssertionError(f"it did not come to that: {self.said[-5:]}, {self.memory()}")

    def memory(self, name: str = "") -> Memory:
        return self.shelf.recall(name or next(iter(self.shelf.asked)))

    def state(self, name: str = "") -> State:
        return self.memory(name).state

    def to_the_end(self, most: int = 400) -> Memory:
        """Rounds are trained until the training has ended."""

        def ended() -> bool:
            self.world.train()
            return self.state().final

        self.until(ended, most)
        return self.memory()
