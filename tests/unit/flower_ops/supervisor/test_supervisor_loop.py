# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor's loop in a fake world: what happens to a training, and what is done about it."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flower_ops.runs.errors import RunError
from flower_ops.supervisor.decisions import FAILURES, PAUSES
from flower_ops.supervisor.model import Asked, Cause, Memory, State
from flower_ops.supervisor.world import Unanswered
from supervisor_support import BEGIN, Run, Stage, asked

NAME = "digits-1a2b3c4d"


def test_a_training_is_submitted_when_enough_nodes_are_online_and_runs_to_its_end() -> None:
    stage = Stage()
    stage.world.nodes = 1
    for _look in range(20):
        stage.tick()
    assert stage.world.listed == [] and stage.memory().reason == "1 of 2 nodes are online"
    assert stage.shelf.told["state"] == "waiting" and stage.said == [f"{NAME}: waiting: 1 of 2 nodes are online."]
    stage.world.nodes = 2
    stage.until(lambda: stage.world.listed)
    assert stage.state() is State.RUNNING and stage.shelf.told["state"] == "running"
    assert stage.to_the_end().state is State.COMPLETED
    stage.tick()
    assert stage.shelf.told == {
        "training": NAME, "run_id": "100", "state": "completed", "round": 5, "rounds": 5, "reason": "",
    }  # fmt: skip
    for _look in range(50):
        stage.tick()
    assert len(stage.world.listed) == 1


def test_flower_is_left_alone_while_a_run_goes_on() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.tick()
    questions = []
    ask = stage.world.runs
    stage.world.runs = lambda: [questions.append(1), ask()][1]  # type: ignore[method-assign, func-returns-value]
    begun = stage.world.clock
    while stage.world.clock < begun + 600:
        stage.tick()
    assert 8 <= len(questions) <= 11


@pytest.mark.parametrize("at_once", [True, False], ids=["Flower says so", "Flower does not know yet"])
def test_a_run_that_dies_with_the_superlink_is_submitted_again_with_the_rounds_left(at_once: bool) -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    for _round in range(3):
        stage.tick()
        stage.world.train()
    stage.world.reboot(at_once)
    begun = stage.world.clock
    stage.until(lambda: len(stage.world.listed) == 2)
    # Far less than the 50 s after which Flower gives a run up; at most one look later than ASK_EVERY otherwise.
    assert stage.world.clock - begun <= (62.0 if at_once else 12.0)
    assert stage.to_the_end().state is State.COMPLETED
    assert stage.world.executed == [(NAME, number) for number in (1, 2, 3, 4, 5)]
    assert [one.cause for one in stage.memory().attempts] == ["broken", "done"]
    assert [one.begun for one in stage.memory().attempts] == [0, 3]


def test_a_superlink_that_is_away_is_waited_for() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.tick()
    stage.world.up = False
    stage.world.process = ""
    for _look in range(60):
        stage.tick()
    assert stage.state() is State.RUNNING and len(stage.world.listed) == 1
    stage.world.up = True
    stage.world.reboot(at_once=False)
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 2


def test_an_error_of_the_app_ends_the_training_with_its_reason() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.world.end(Cause.APP, "ValueError: no such column: age")
    stage.until(lambda: stage.state().final)
    assert (stage.state(), stage.memory().reason) == (State.FAILED, "ValueError: no such column: age")
    assert f"{NAME}: failed: ValueError: no such column: age." in stage.said
    for _look in range(50):
        stage.tick()
    assert len(stage.world.listed) == 1


def test_a_run_that_somebody_stopped_stays_stopped() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.world.end(Cause.STOPPED, "stopped on request")
    stage.until(lambda: stage.state().final)
    assert stage.state() is State.STOPPED and len(stage.world.listed) == 1


def test_runs_that_break_without_a_new_checkpoint_end_the_training() -> None:
    stage = Stage()
    submitted = []
    while not stage.state().final:
        stage.until(lambda: stage.world.active(NAME) or stage.state().final)
        if stage.world.active(NAME):
            submitted.append(stage.world.clock)
        stage.world.end(Cause.BROKEN, "the run ended without a word")
        stage.tick()
    assert stage.state() is State.FAILED and len(submitted) == FAILURES
    assert stage.memory().reason == (
        "3 runs in a row ended without a new checkpoint, the last one because the run ended without a word"
    )
    first, second = (after - before for before, after in zip(submitted, submitted[1:], strict=False))
    assert first >= PAUSES[1] and second >= PAUSES[2]


def test_runs_that_break_after_a_new_checkpoint_each_go_on_for_ever() -> None:
    stage = Stage(rounds=12)
    while not stage.state().final:
        stage.until(lambda: stage.world.active(NAME) or stage.state().final)
        stage.world.train()
        stage.world.end(Cause.BROKEN)
        stage.tick()
    assert stage.state() is State.COMPLETED and len(stage.world.listed) == 12


def test_an_app_without_checkpoints_is_not_run_a_second_time() -> None:
    stage = Stage(asked(resumes=False))
    stage.until(lambda: stage.world.listed)
    stage.world.reboot()
    stage.until(lambda: stage.state().final)
    assert stage.state() is State.FAILED and "keeps no checkpoints" in stage.memory().reason
    assert len(stage.world.listed) == 1


def test_an_app_that_flower_refuses_ends_the_training() -> None:
    stage = Stage()
    stage.world.refuses = "Cannot submit the app: Invalid run configuration."
    stage.until(lambda: stage.state().final)
    assert (stage.state(), stage.memory().reason) == (State.FAILED, stage.world.refuses)


def test_a_submission_that_failed_after_flower_took_the_run_is_no_failure() -> None:
    """The disk of the records was full at that moment, say."""
    stage = Stage()
    submit = stage.world.submit

    def half(asked: Asked) -> str:
        submit(asked)
        raise RunError("Cannot write the record: No space left on device")

    stage.world.submit = half  # type: ignore[method-assign]
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 1


def test_a_training_that_is_no_longer_asked_for_is_stopped() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.shelf.ask(asked(withdrawn=True))
    stage.until(lambda: stage.state().final)
    assert stage.state() is State.STOPPED and stage.world.listed[0].cause is Cause.STOPPED


def test_a_run_that_shows_up_after_its_training_was_withdrawn_is_stopped() -> None:
    """A submission that was cut off, and that Flower had taken all the same."""
    stage = Stage()
    late = stage.world.cut_off()
    stage.until(lambda: late)
    stage.shelf.ask(asked(withdrawn=True))
    stage.tick()
    assert not stage.state().final
    stage.world.listed.extend(late)
    stage.until(lambda: stage.state().final)
    assert stage.state() is State.STOPPED and late[0].cause is Cause.STOPPED


def test_a_training_that_is_done_before_its_stop_is_seen_is_completed() -> None:
    stage = Stage(rounds=1)
    stage.until(lambda: stage.world.listed)
    stage.world.train()
    stage.shelf.ask(asked(withdrawn=True))
    stage.until(lambda: stage.state().final)
    assert stage.state() is State.COMPLETED and stage.world.reduced == [NAME]


def test_a_training_that_has_ended_goes_on_when_it_is_asked_for_again() -> None:
    stage = Stage(rounds=3)
    assert stage.to_the_end().state is State.COMPLETED
    stage.world.rounds = 5
    stage.shelf.ask(asked(at=stage.world.clock))
    stage.tick()
    assert stage.to_the_end().state is State.COMPLETED
    assert stage.world.executed == [(NAME, number) for number in (1, 2, 3, 4, 5)]


def test_a_submission_that_was_cut_off_is_not_forgotten_when_it_is_asked_for_again() -> None:
    """Its run shows up with the values of before: it goes first, and no second one beside it."""
    stage = Stage(rounds=3)
    late = stage.world.cut_off()
    stage.until(lambda: late)
    stage.shelf.ask(asked(at=stage.world.clock + 1.0, run_config={"num-server-rounds": 3}))
    stage.tick()
    assert stage.world.listed == []
    stage.world.listed.extend(late)
    stage.tick()
    assert len(stage.world.listed) == 1
    stage.world.end(Cause.BROKEN)
    stage.world.clock += 120.0
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 2


@pytest.mark.parametrize("cause", [Cause.STOPPED, Cause.APP, Cause.BROKEN])
def test_of_what_was_asked_for_again_the_run_of_before_decides_nothing(cause: Cause) -> None:
    """Whether it was stopped before or after that, Flower does not tell to the second."""
    stage = Stage(rounds=3)
    stage.until(lambda: stage.world.listed)
    stage.world.train()
    stage.shelf.ask(asked(at=stage.world.clock, run_config={"num-server-rounds": 3}))
    stage.tick()
    assert len(stage.world.listed) == 1 and stage.state() is State.RUNNING
    stage.world.end(cause)
    stage.world.clock += 120.0
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 2
    assert stage.world.executed == [(NAME, number) for number in (1, 2, 3)]


def test_one_training_after_the_other() -> None:
    stage = Stage(asked("a-11111111"), asked("b-22222222", at=BEGIN + 1.0))
    seen = set()

    def both() -> bool:
        seen.add(tuple(name for name in stage.shelf.asked if stage.world.active(name)))
        stage.world.train()
        return all(stage.state(name).final for name in stage.shelf.asked)

    stage.until(both)
    assert seen == {(), ("a-11111111",), ("b-22222222",)}
    assert [run.training for run in stage.world.listed] == ["a-11111111", "b-22222222"]


def test_a_training_that_waits_for_nodes_does_not_hold_up_another() -> None:
    stage = Stage(asked("a-11111111", nodes=9), asked("b-22222222", at=BEGIN + 1.0))
    stage.until(lambda: stage.world.listed)
    assert [run.training for run in stage.world.listed] == ["b-22222222"]


def test_a_second_run_that_somebody_else_submitted_is_ended() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.tick()
    stage.world.listed.append(replace(stage.world.listed[0], run_id="999", at=stage.world.clock))
    stage.until(lambda: len(stage.world.active(NAME)) == 1)
    assert stage.world.listed[1].cause is Cause.STOPPED
    assert stage.to_the_end().state is State.COMPLETED


def test_lost_memory_is_made_up_for_by_flowers_list() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.world.train()
    stage.shelf.memories.clear()
    stage.start()
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 1
    stage.shelf.memories.clear()
    stage.until(lambda: stage.state().final)
    assert stage.state() is State.COMPLETED and len(stage.world.listed) == 1


def test_a_superlink_that_forgot_all_runs_is_given_the_training_again() -> None:
    """As after its disk was lost while that of the checkpoints was not."""
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    for _round in range(2):
        stage.world.train()
        stage.tick()
    stage.world.listed.clear()
    stage.world.process = "another"
    assert stage.to_the_end().state is State.COMPLETED
    assert stage.world.executed == [(NAME, number) for number in (1, 2, 3, 4, 5)]


def test_of_two_runs_the_last_is_the_one_that_ended_last() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.tick()
    stage.world.listed.append(replace(stage.world.listed[0], run_id="999", at=stage.world.clock))
    stage.until(lambda: any(one.cause for one in stage.memory().attempts))
    stage.world.end(Cause.STOPPED)
    stage.until(lambda: stage.state().final)
    assert stage.state() is State.STOPPED and [one.run_id for one in stage.memory().attempts] == ["999", "100"]


def test_a_run_that_is_too_old_for_flowers_list_is_asked_for_by_its_id() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.tick()
    stage.world.shown = 2
    stage.world.listed += [Run(str(number), "another-00000000", stage.world.clock + number, 0) for number in (1, 2, 3)]
    for _look in range(200):
        stage.tick()
    assert stage.state() is State.RUNNING and len(stage.world.active(NAME)) == 1
    run = stage.world.run
    stage.world.run = lambda run_id: silent()  # type: ignore[method-assign]

    def silent() -> None:
        raise Unanswered("database is locked")

    for _look in range(200):
        stage.tick()
    assert stage.state() is State.RUNNING and stage.world.submitted == 1
    stage.world.run = run  # type: ignore[method-assign]
    assert stage.to_the_end().state is State.COMPLETED and stage.world.submitted == 1


def test_what_an_earlier_run_lacked_is_told_of_a_training_that_completed() -> None:
    stage = Stage()
    stage.world.lacked, stage.world.stuck = "round 1: 1 of 2 results", "earlier checkpoints cannot be removed"
    assert stage.to_the_end().state is State.COMPLETED
    stage.tick()
    assert stage.memory().reason == stage.shelf.told["reason"] == "round 1: 1 of 2 results"
    assert stage.said[-2:] == [
        f"{NAME}: earlier checkpoints cannot be removed.",
        f"{NAME}: completed: round 1: 1 of 2 results.",
    ]


def test_nothing_asked_for_costs_nothing() -> None:
    stage = Stage()
    stage.shelf.asked.clear()
    stage.world.lives = 0
    assert stage.supervisor.tick() == 10.0 and stage.memory("none") == Memory()
