# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor's loop: look at every training that was asked for, let pure code decide, do it, write it down.

It may be killed at any point. What it is about to do is written down before it is done; whether it was done is for
Flower to say.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from flower_ops.runs.errors import RunError
from flower_ops.supervisor.decisions import AFRESH, decide, observe
from flower_ops.supervisor.model import Action, Asked, Attempt, Kind, Look, Memory, Seen, State
from flower_ops.supervisor.quiet import Quiet, verdict
from flower_ops.supervisor.shelf import Shelf
from flower_ops.supervisor.world import Entry, Hindered, Unanswered, World

#: Seconds between two looks: at a run's record, while something waits, while nothing is asked for.
FOLLOWING, WAITING, IDLE = 2.0, 5.0, 10.0
#: Seconds after which Flower is asked about a run that is followed and has told nothing wrong.
ASK_EVERY = 60.0


def _say(line: str) -> None:
    print(line, flush=True)


class Supervisor:
    """`tick()` is one look at all trainings; it returns the seconds until the next one."""

    def __init__(self, world: World, shelf: Shelf, say: Callable[[str], None] = _say) -> None:
        self.world, self.shelf, self._say = world, shelf, say
        self._told: dict[str, str] = {}
        self._asked_flower: dict[str, float] = {}
        self._quiet = Quiet()
        self._summary: dict[str, Any] = {}

    def tick(self) -> float:
        """Look, decide, act, for one training after the other, oldest first."""
        open_ones = [
            (asked, memory)
            for asked in self.shelf.all()
            if not ((memory := self.shelf.recall(asked.name)).state.final and memory.asked == asked.at)
        ]
        if not open_ones:
            self.world.rest()
            return IDLE
        quiet = {asked.name for asked, memory in open_ones if self._goes_on(asked, memory)}
        listed = None if len(quiet) == len(open_ones) else self._listed()
        running = {asked.name: memory.state is State.RUNNING for asked, memory in open_ones}
        done = []
        for asked, memory in open_ones:
            if asked.name not in quiet:
                busy = next((name for name, runs in running.items() if runs and name != asked.name), "")
                memory = self._look(asked, memory, listed, busy)
                running[asked.name] = memory.state is State.RUNNING
            done.append((asked, memory))
        if len(quiet) == len(open_ones):
            self.world.rest()
        shown = next((one for one in done if one[1].state is State.RUNNING), done[-1])
        self._publish(*shown)
        return FOLLOWING if any(running.values()) else WAITING

    def _goes_on(self, asked: Asked, memory: Memory) -> bool:
        """Whether the training's run is followed and nothing speaks against it, so that Flower need not be asked."""
        current = [one for one in memory.attempts if not one.cause]
        if memory.state is not State.RUNNING or len(current) != 1 or asked.withdrawn or memory.asked != asked.at:
            return False
        (one,) = current
        host = self.world.host()
        if one.run_id in memory.dead or (host and host != one.host):
            return False
        if self.world.steady() - self._asked_flower.get(asked.name, float("-inf")) >= ASK_EVERY:
            return False
        return self.world.follow(asked, one.run_id)

    def _listed(self) -> list[Entry] | None:
        try:
            listed = self.world.runs()
        except Unanswered as error:
            self._tell("", f"The SuperLink does not answer: {error}")
            return None
        self._tell("", "")
        return listed

    def _complete(self, memory: Memory, listed: list[Entry] | None) -> list[Entry] | None:
        """The list with the runs that it leaves out and that went on as far as is known: a list may be cut short."""
        if listed is None:
            return None
        told = {str(entry["run-id"]) for entry in listed}
        missing = [one.run_id for one in memory.attempts if not one.cause and one.run_id not in told]
        try:
            found = [self.world.run(run_id) for run_id in missing]
        except Unanswered as error:
            self._tell("", f"The SuperLink does not answer: {error}")
            return None
        return [*(one for one in found if one is not None), *listed]

    def _look(self, asked: Asked, memory: Memory, listed: list[Entry] | None, busy: str) -> Memory:
        now = self.world.now()
        judged = {one.run_id for one in memory.attempts if one.cause}
        listed = self._complete(memory, listed)
        runs = None if listed is None else self.world.seen(asked, listed, judged)
        look = Look(now, runs, None, self.world.round(asked), busy, *self._silence(asked, runs or ()))
        if runs is not None:
            self._asked_flower[asked.name] = self.world.steady()
        before, memory = memory, observe(asked, memory, look)
        if memory != before:
            self._news(asked, before, memory)
            self.shelf.keep(asked.name, memory)
        action = decide(asked, memory, look)
        if action.kind is Kind.WAIT and runs is not None and not memory.state.final:
            # Only whoever is about to submit needs to know how many nodes there are.
            action = decide(asked, memory, replace(look, online=self._online()))
        return self._act(asked, memory, look, action)

    def _silence(self, asked: Asked, runs: tuple[Seen, ...]) -> tuple[str, str]:
        """See quiet.verdict."""
        active = [one.run_id for one in runs if one.cause is None]
        if len(active) != 1:
            return "", ""
        life = self.world.life(asked, active[0])
        return verdict(asked, self._quiet.seconds(asked.name, life, self.world.steady()))

    def _online(self) -> int | None:
        try:
            return self.world.online()
        except Unanswered:
            return None

    def _act(self, asked: Asked, memory: Memory, look: Look, action: Action) -> Memory:
        if action.kind is Kind.SUBMIT:
            return self._submit(asked, memory, look)
        if action.kind is Kind.FOLLOW:
            self.world.follow(asked, action.run_id)
            if action.why:
                self._tell(asked.name, f"{asked.name}: run {action.run_id}: {action.why}.")
            return self._set(asked, memory, State.RUNNING, action.why)
        if action.kind is Kind.END:
            # Before it is done: to Flower it will look like a run that somebody stopped.
            if action.run_id not in memory.dead:
                memory = replace(memory, dead={**memory.dead, action.run_id: action.why})
                self.shelf.keep(asked.name, memory)
                self._say(f"{asked.name}: run {action.run_id} is ended: {action.why}.")
            self._stop(action.run_id)
            return memory
        if action.kind is Kind.STOP:
            self._say(f"{asked.name}: run {action.run_id} is stopped: {action.why}.")
            self._stop(action.run_id)
            return memory
        if action.kind is Kind.FINISH:
            if action.state is State.COMPLETED:
                # The reason of the last run says nothing of what earlier ones lacked.
                action = replace(action, why=self.world.shortfall(memory) or action.why)
                if hindrance := self.world.reduce(asked):
                    self._say(f"{asked.name}: {hindrance}.")
            why = f": {action.why}" if action.why else ""
            self._say(f"{asked.name}: {action.state.value}{why}.")
            return self._set(asked, memory, action.state, action.why)
        if memory.state.final:
            return memory
        self._tell(asked.name, f"{asked.name}: waiting: {action.why}.")
        # While Flower does not answer, what ran may well run on.
        state = memory.state if look.runs is None else State.WAITING
        return self._set(asked, memory, state, action.why)

    def _submit(self, asked: Asked, memory: Memory, look: Look) -> Memory:
        memory = replace(memory, intent=look.now, intent_round=look.round, intent_past=False, refused="")
        self.shelf.keep(asked.name, memory)
        try:
            run_id = self.world.submit(asked)
        except Unanswered as error:
            self._tell(asked.name, f"{asked.name}: not submitted yet: {error}")
            # It may yet show up: within a while from now, not from before a call that took minutes.
            return self._set(asked, replace(memory, intent=self.world.now()), State.WAITING, str(error))
        except Hindered as error:
            self._say(f"{asked.name}: not submitted, which will be tried again: {error}")
            failed = replace(memory, intent=self.world.now(), hindered=memory.hindered + 1, hindrance=str(error))
            return self._set(asked, failed, State.WAITING, str(error))
        except RunError as error:
            # Flower may have taken the run all the same, and something after that failed: the next looks will tell.
            self._say(f"{asked.name}: cannot be submitted: {error}")
            return self._set(asked, replace(memory, refused=str(error), hindered=0), State.WAITING, str(error))
        after = f" after round {look.round}" if look.round else ""
        self._say(f"{asked.name}: submitted as run {run_id}{after}.")
        known = {one.run_id for one in memory.attempts}
        attempt = () if run_id in known else (Attempt(run_id, max(look.now, asked.at), look.round),)
        memory = replace(memory, **AFRESH, attempts=(*memory.attempts, *attempt))
        return self._set(asked, memory, State.RUNNING, "")

    def _set(self, asked: Asked, memory: Memory, state: State, reason: str) -> Memory:
        after = replace(memory, state=state, reason=reason)
        if after != self.shelf.recall(asked.name):
            self.shelf.keep(asked.name, after)
        return after

    def _stop(self, run_id: str) -> None:
        try:
            self.world.stop(run_id)
        except Unanswered as error:
            self._say(f"Run {run_id} could not be stopped yet: {error}")

    def _news(self, asked: Asked, before: Memory, after: Memory) -> None:
        known = {one.run_id: one.cause for one in before.attempts}
        for one in after.attempts:
            if one.cause and not known.get(one.run_id):
                reason = f": {one.reason}" if one.reason else ""
                self._say(f"{asked.name}: run {one.run_id} ended ({one.cause}){reason}.")
            elif one.run_id not in known:
                self._say(f"{asked.name}: run {one.run_id} was found in Flower's list.")

    def _tell(self, about: str, line: str) -> None:
        """Say a line, but not over and over."""
        if line and line != self._told.get(about):
            self._say(line)
        self._told[about] = line

    def _publish(self, asked: Asked, memory: Memory) -> None:
        """For the keeper: the training that runs, else the one asked for last; its last word stays."""
        current = next((one.run_id for one in reversed(memory.attempts)), "")
        done, planned, waiting = self.world.progress(current) if current else (0, 0, "")
        summary = {
            "training": asked.name,
            "run_id": current,
            "state": memory.state.value,
            "round": max(done, self.world.round(asked)),
            "rounds": planned,
            "reason": memory.reason or waiting,
        }
        if summary != self._summary:
            self.shelf.tell(summary)
            self._summary = summary
