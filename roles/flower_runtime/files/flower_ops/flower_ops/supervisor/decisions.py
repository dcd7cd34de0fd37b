# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor decides about one training. Pure: it looks at nothing and does nothing itself.

Which runs there are is Flower's word, never memory's: between a submission and the note of it lies a moment in which
everything may be killed. Memory says what Flower does not: how far a run came, and what was said about its end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flower_ops.supervisor.model import Action, Asked, Attempt, Cause, Kind, Look, Memory, Seen, State

#: Runs in a row that may break without a new checkpoint.
FAILURES = 3
#: Seconds before the next run, by how many broke in a row without a new checkpoint.
PAUSES = (0.0, 30.0, 120.0)
#: Of a memory whose submission is over, well or not.
AFRESH: dict[str, Any] = {"intent": 0.0, "intent_past": False, "refused": "", "hindered": 0, "hindrance": ""}
#: Seconds that a submission which was cut off may take to show up in Flower's list.
SETTLE = 15.0


def observe(asked: Asked, memory: Memory, look: Look) -> Memory:
    """Memory after a look: runs that came into being, and how runs ended."""
    if memory.asked != asked.at:
        # Asked for again: what has ended goes on, and earlier failures count no more.
        past = tuple(replace(one, past=True) for one in memory.attempts)
        # A submission that was cut off may show up all the same, and is then a run of what was asked for before.
        cut_off = {"intent": memory.intent, "intent_past": True} if memory.intent and not memory.hindered else {}
        fresh = {**AFRESH, **cut_off}
        memory = replace(memory, asked=asked.at, attempts=past, state=State.WAITING, reason="", **fresh)
    if look.runs is None or memory.state.final:
        return memory
    attempts = {one.run_id: one for one in memory.attempts}
    for seen in look.runs:
        known = attempts.get(seen.run_id)
        if known is None:
            # What was about to be submitted came after it was asked for, also where the clock was set back since.
            known = (
                Attempt(seen.run_id, max(seen.at, asked.at), memory.intent_round, past=memory.intent_past)
                if memory.intent
                # Nothing is remembered of it, so its time must tell. Flower's times are whole seconds.
                else Attempt(seen.run_id, seen.at, past=seen.at < float(int(asked.at)))
            )
            memory = replace(memory, **AFRESH)
        # Not by when it began to run: a clock that is set meanwhile would make the SuperLink younger than its runs.
        known = replace(known, host=known.host or seen.host)
        if seen.cause is not None and not known.cause:
            known = _ended(known, memory, seen, look)
        attempts[seen.run_id] = known
    present = {seen.run_id for seen in look.runs}
    for one in memory.attempts:
        if not one.cause and one.run_id not in present:
            lost = Seen(one.run_id, one.at, Cause.BROKEN, "the SuperLink has no record of the run any more")
            attempts[one.run_id] = _ended(one, memory, lost, look)
    # As they were seen to end, then what goes on. Not by their times: a clock that is set would change which was last.
    ordered = tuple(sorted(attempts.values(), key=lambda one: not one.cause))
    return memory if ordered == memory.attempts else replace(memory, attempts=ordered)


def _ended(attempt: Attempt, memory: Memory, seen: Seen, look: Look) -> Attempt:
    cause, reason = seen.cause or Cause.BROKEN, seen.reason
    if seen.run_id in memory.dead and cause is not Cause.DONE:
        cause, reason = Cause.BROKEN, memory.dead[seen.run_id]
    return replace(attempt, cause=cause.value, reason=reason, reached=look.round, ended=look.now)


def decide(asked: Asked, memory: Memory, look: Look) -> Action:
    """The one thing to do now; `memory` has taken in the look."""
    if memory.state.final:
        return Action(Kind.WAIT, memory.reason, state=memory.state)
    if look.runs is None:
        return Action(Kind.WAIT, "Flower has not said yet what became of its runs")
    active = [seen for seen in look.runs if seen.cause is None]
    if asked.withdrawn:
        if active:
            return Action(Kind.STOP, "the training is no longer asked for", active[-1].run_id)
        if _unsettled(memory, look):
            # Once the training has ended nobody would stop that run.
            return Action(Kind.WAIT, "no longer asked for; a submission may yet show up, and is stopped then")
        # It may have been done before anybody withdrew it, or before a stop had reached its run.
        return _completed(memory) or Action(Kind.FINISH, "no longer asked for", state=State.STOPPED)
    if len(active) > 1:
        # Nothing here submits twice; somebody else did.
        return Action(Kind.END, f"the training runs already, as run {active[0].run_id}", active[-1].run_id)
    if active:
        (one,) = active
        dead = memory.dead.get(one.run_id) or _orphan(memory, one) or look.hangs
        return Action(Kind.END, dead, one.run_id) if dead else Action(Kind.FOLLOW, look.quiet, one.run_id)
    return _after(asked, memory, look)


def _orphan(memory: Memory, seen: Seen) -> str:
    """Processes of apps live and die with their SuperLink's, but Flower takes 50 s to believe it."""
    host = next((one.host for one in memory.attempts if one.run_id == seen.run_id), "")
    return "the SuperLink was started anew while it ran" if seen.host and host != seen.host else ""


def counting(memory: Memory) -> list[Attempt]:
    """The runs since the training was last asked for."""
    return [one for one in memory.attempts if not one.past]


def barren(attempts: list[Attempt]) -> int:
    """How many of the last runs broke without a checkpoint beyond those before."""
    best, count = 0, 0
    for one in attempts:
        best = max(best, one.begun)
        count = count + 1 if one.cause == Cause.BROKEN.value and one.reached <= best else 0
        best = max(best, one.reached)
    return count


def _unsettled(memory: Memory, look: Look) -> bool:
    """Whether a submission of which nobody knows the end may still show up as a run."""
    return memory.intent > 0 and 0 <= look.now - memory.intent < SETTLE


def _completed(memory: Memory) -> Action | None:
    """The end of a training that has a run which is done."""
    done = [one for one in counting(memory) if one.cause == Cause.DONE.value]
    return Action(Kind.FINISH, done[-1].reason, done[-1].run_id, State.COMPLETED) if done else None


def _after(asked: Asked, memory: Memory, look: Look) -> Action:
    """No run is under way: the end, or the next one."""
    attempts = counting(memory)
    if completed := _completed(memory):
        return completed
    if attempts:
        last = attempts[-1]
        if last.cause == Cause.STOPPED.value:
            return Action(Kind.FINISH, last.reason, last.run_id, State.STOPPED)
        if last.cause == Cause.APP.value:
            return Action(Kind.FINISH, last.reason, last.run_id, State.FAILED)
        if not asked.resumes:
            return Action(
                Kind.FINISH,
                f"{last.reason}; the app keeps no checkpoints from which another run could go on",
                last.run_id,
                State.FAILED,
            )
        failures = barren(attempts)
        if failures >= FAILURES:
            text = f"{failures} runs in a row ended without a new checkpoint, the last one because {last.reason}"
            return Action(Kind.FINISH, text, last.run_id, State.FAILED)
        left = last.ended + PAUSES[failures] - look.now
        # A clock that was set back must not make this a wait of years.
        if 0 < left <= PAUSES[-1]:
            return Action(Kind.WAIT, f"{last.reason}; the next run comes in {PAUSES[failures]:.0f} s at most")
    if memory.hindered:
        failures = barren(attempts) + memory.hindered
        if failures >= FAILURES:
            text = f"{memory.hindrance.rstrip('.')}; {failures} tries in a row came to nothing"
            return Action(Kind.FINISH, text, state=State.FAILED)
        if 0 <= look.now - memory.intent < PAUSES[failures]:
            return Action(Kind.WAIT, memory.hindrance)
    elif _unsettled(memory, look):
        return Action(Kind.WAIT, memory.refused or "a submission was cut off, and may yet show up")
    if memory.refused:
        return Action(Kind.FINISH, memory.refused, state=State.FAILED)
    if look.busy:
        return Action(Kind.WAIT, f"the training {look.busy} runs")
    if look.online is None or look.online < asked.nodes:
        return Action(Kind.WAIT, f"{look.online or 0} of {asked.nodes} nodes are online")
    return Action(Kind.SUBMIT)
