# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever happens in whatever order, kills of the supervisor at any call included: what must always hold."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from flower_ops.supervisor.decisions import FAILURES, barren, decide, observe
from flower_ops.supervisor.model import Asked, Attempt, Cause, Kind, Look, Memory, Seen, State
from hypothesis import given, settings
from hypothesis import strategies as st
from supervisor_support import BEGIN, Stage, asked

NAME = "digits-1a2b3c4d"
EVENTS = (
    *("look", "look", "look", "train", "train", "reboot", "reboot unnoticed", "heartbeats", "broken"),
    *("away", "back", "nodes gone", "nodes back", "forget"),
)


def happen(stage: Stage, event: str) -> None:
    world = stage.world
    if event == "look":
        stage.tick()
    elif event == "train":
        world.train()
    elif event.startswith("reboot"):
        world.reboot(at_once=event == "reboot")
    elif event == "heartbeats":
        world.heartbeats_expire()
    elif event == "broken":
        world.end(Cause.BROKEN)
    elif event in ("away", "back"):
        world.up = event == "back"
    elif event == "forget":
        stage.shelf.memories.clear()
        stage.start()
    else:
        world.nodes = 0 if event == "nodes gone" else 2
    world.clock += 1.0
    assert len(world.active(NAME)) <= 1 and world.most_at_once <= 1, "two runs of one training"


def finish(stage: Stage) -> Memory:
    """Nothing breaks any more."""
    stage.world.lives, stage.world.up, stage.world.nodes = None, True, 2
    stage.world.heartbeats_expire()
    return stage.to_the_end(600)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.tuples(st.sampled_from(EVENTS), st.none() | st.integers(0, 9)), max_size=60))
def test_any_sequence_of_faults_and_kills(steps: list[tuple[str, int | None]]) -> None:
    stage = Stage(rounds=4)
    for event, lives in steps:
        stage.world.lives = lives
        happen(stage, event)
        stage.world.lives = None
        assert not (stage.state().final and stage.world.active(NAME)), "given up while it runs"
    memory = finish(stage)
    rounds = [number for name, number in stage.world.executed]
    # No round is trained twice: each begins after the newest checkpoint.
    assert rounds == list(range(1, len(rounds) + 1))
    if memory.state is State.COMPLETED:
        assert stage.world.checkpoints[NAME] == 4
    elif memory.state is State.STOPPED:
        # A run that was ended here looks to Flower like one that a person stopped, and so it does without memory.
        assert "forget" in [event for event, _lives in steps]
    else:
        assert memory.state is State.FAILED and "without a new checkpoint" in memory.reason
        # It takes as many faults of what carries a run as are allowed in a row.
        faults = [event for event, _lives in steps if event in ("reboot", "reboot unnoticed", "broken")]
        assert len(faults) >= FAILURES


@settings(deadline=None, max_examples=200)
@given(st.lists(st.integers(0, 25), max_size=12))
def test_a_supervisor_that_is_killed_again_and_again_submits_once(lives: list[int]) -> None:
    stage = Stage()
    for one in lives:
        stage.world.lives = one
        stage.tick()
        stage.world.lives = None
        stage.world.clock += 3.0
    assert len(stage.world.listed) <= 1
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 1


def test_a_kill_at_each_call_from_the_first_look_to_the_end() -> None:
    killed = 0
    for lives in range(60):
        stage = Stage(rounds=2)
        stage.world.lives = lives
        assert stage.to_the_end().state is State.COMPLETED
        assert len(stage.world.listed) == 1 and len(stage.world.executed) == 2, lives
        killed += stage.world.lives is None
    assert 15 <= killed < 60, "the kills reached the end"


RUNS = st.lists(
    st.builds(
        Seen,
        run_id=st.sampled_from("123456"),
        at=st.floats(BEGIN - 50, BEGIN + 500),
        cause=st.none() | st.sampled_from(list(Cause)),
        reason=st.text(max_size=5),
        host=st.sampled_from(["", "one process", "another process"]),
    ),
    max_size=6,
    unique_by=lambda seen: seen.run_id,
).map(lambda found: tuple(sorted(found, key=lambda seen: seen.at)))
LOOKS = st.builds(
    Look,
    now=st.floats(BEGIN, BEGIN + 1000),
    runs=st.none() | RUNS,
    online=st.none() | st.integers(0, 4),
    round=st.integers(0, 9),
    busy=st.sampled_from(["", "other-00000000"]),
    hangs=st.sampled_from(["", "", "the app hangs"]),
)


@settings(deadline=None, max_examples=500)
@given(st.lists(LOOKS, min_size=1, max_size=12), st.booleans(), st.booleans())
def test_no_look_however_odd_leads_to_a_second_run(looks: list[Look], resumes: bool, withdrawn: bool) -> None:
    """Looks that contradict each other, as no Flower would answer."""
    wanted, memory = asked(resumes=resumes, withdrawn=withdrawn), Memory()
    for look in looks:
        memory = observe(wanted, memory, look)
        assert observe(wanted, memory, look) == memory, "a look that is taken in twice changes nothing"
        action = decide(wanted, memory, look)
        if action.kind is Kind.SUBMIT:
            assert look.runs is not None and all(seen.cause is not None for seen in look.runs)
            assert not look.busy and look.online is not None and look.online >= wanted.nodes and not withdrawn
        if action.kind in (Kind.FOLLOW, Kind.END, Kind.STOP):
            assert any(seen.run_id == action.run_id and seen.cause is None for seen in look.runs or ())
        if action.kind is Kind.FINISH:
            assert action.state.final and not any(seen.cause is None for seen in look.runs or ())


def run(number: int, begun: int, reached: int, cause: Cause = Cause.BROKEN) -> Attempt:
    return Attempt(str(number), BEGIN + number, begun, cause.value, "", reached, BEGIN + number + 0.5)


def test_progress_is_a_checkpoint_beyond_all_before() -> None:
    assert barren([]) == 0
    assert barren([run(1, 0, 0)]) == 1
    assert barren([run(1, 0, 0), run(2, 0, 1), run(3, 1, 1)]) == 1
    assert barren([run(1, 0, 4), run(2, -1, 4), run(3, 4, 4)]) == 2
    # Whose beginning nobody knows is judged by those before.
    assert barren([run(1, -1, 3)]) == 0


def test_an_interrupted_submission_is_given_time_to_show_up() -> None:
    wanted: Asked = asked()
    memory = Memory(asked=wanted.at, intent=BEGIN + 10)

    def at(now: float) -> Kind:
        return decide(wanted, memory, Look(now, (), online=2)).kind

    assert [at(BEGIN + 10), at(BEGIN + 24), at(BEGIN + 26)] == [Kind.WAIT, Kind.WAIT, Kind.SUBMIT]
    # A clock that was set back.
    assert at(BEGIN + 1) is Kind.SUBMIT


def test_a_training_is_called_stopped_only_when_no_submission_may_show_up_any_more() -> None:
    wanted = asked(withdrawn=True)
    memory = Memory(asked=wanted.at, intent=BEGIN + 10)

    def at(now: float, **more: Any) -> Kind:
        return decide(wanted, replace(memory, **more), Look(now, ())).kind

    assert [at(BEGIN + 10), at(BEGIN + 24), at(BEGIN + 26)] == [Kind.WAIT, Kind.WAIT, Kind.FINISH]
    assert at(BEGIN + 11, hindered=1) is at(BEGIN + 11, refused="no") is Kind.WAIT
    assert at(BEGIN + 1) is at(BEGIN + 11, intent=0.0) is Kind.FINISH, "a clock that was set back; nothing submitted"


def test_what_is_done_and_withdrawn_is_completed() -> None:
    wanted = asked(withdrawn=True)

    def end(*attempts: Attempt) -> State:
        return decide(wanted, Memory(asked=wanted.at, attempts=attempts), Look(BEGIN + 9, ())).state

    done = run(1, 0, 4, Cause.DONE)
    assert end(done) is State.COMPLETED
    assert end(replace(done, past=True)) is end(run(1, 0, 4, Cause.STOPPED)) is end() is State.STOPPED
