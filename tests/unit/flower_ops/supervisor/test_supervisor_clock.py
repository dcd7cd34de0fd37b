# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The supervisor under a clock that is set, which neither ends a run nor begins a training over and over."""

from __future__ import annotations

from dataclasses import replace

import pytest
from flower_ops.supervisor.model import Asked, Cause, State
from supervisor_support import BEGIN, Killed, Stage, asked

NAME = "digits-1a2b3c4d"


def test_a_clock_that_was_set_back_makes_no_endless_wait() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.world.end(Cause.BROKEN)
    stage.until(lambda: stage.memory().attempts[-1].cause)
    # Back, but not before the training was asked for: then it would count as another one's.
    late = tuple(replace(one, ended=one.ended + 1e7) for one in stage.memory().attempts)
    stage.shelf.memories[NAME] = replace(stage.memory(), attempts=late)
    stage.until(lambda: len(stage.world.listed) == 2, 30)


@pytest.mark.parametrize(("cause", "state"), [(Cause.APP, State.FAILED), (Cause.STOPPED, State.STOPPED)])
def test_which_run_was_the_last_is_no_matter_of_the_clock(cause: Cause, state: State) -> None:
    """The first one broke before the clock was set back, so it seems to have ended last."""
    stage = Stage(asked(at=BEGIN - 1e6))
    stage.until(lambda: stage.world.listed)
    stage.world.end(Cause.BROKEN)
    stage.until(lambda: stage.memory().attempts[-1].cause)
    stage.world.set_clock(-7 * 3600.0)
    stage.until(lambda: len(stage.world.listed) == 2, 60)
    stage.world.end(cause)
    for _look in range(200):
        stage.tick()
    assert stage.state() is state and len(stage.world.listed) == 2
    assert [one.run_id for one in stage.memory().attempts] == ["100", "101"]


def test_what_ended_before_it_was_asked_for_again_does_not_count_whatever_the_clock_says() -> None:
    """A clock that was ahead for the first run: seen from the second wish, that run seems to come later."""
    stage = Stage()
    stage.world.clock += 1e7
    stage.until(lambda: stage.world.listed)
    stage.world.end(Cause.STOPPED)
    stage.until(lambda: stage.state().final)
    stage.world.set_clock(-1e7)
    stage.shelf.ask(asked(at=BEGIN + 60.0))
    stage.until(lambda: len(stage.world.listed) == 2, 60)
    assert stage.to_the_end().state is State.COMPLETED


@pytest.mark.parametrize("killed", [False, True], ids=["", "killed right after the submission"])
def test_a_clock_that_was_set_back_after_a_training_was_asked_for_does_not_begin_it_over_and_over(killed: bool) -> None:
    """As on a VM that boots with local time in its clock: what comes after seems to have come before."""
    stage = Stage(asked(at=BEGIN + 3600.0))
    submit = stage.world.submit

    def last_words(training: Asked) -> str:
        stage.world.submit = submit  # type: ignore[method-assign]
        submit(training)
        raise Killed

    if killed:
        stage.world.submit = last_words  # type: ignore[method-assign]
    assert stage.to_the_end().state is State.COMPLETED
    assert stage.world.submitted == 1


@pytest.mark.parametrize("seconds", [7 * 3600.0, -7 * 3600.0], ids=["forward", "back"])
def test_a_clock_that_is_set_ends_no_run(seconds: float) -> None:
    stage = Stage(asked(deadline=60.0))
    stage.until(lambda: stage.world.listed)
    for _look in range(3):
        stage.tick()
        stage.world.train()
    stage.world.set_clock(seconds)
    for _look in range(60):
        stage.tick()
    assert stage.state() is State.RUNNING and stage.memory().dead == {}
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 1


def test_after_a_clock_was_set_back_flower_is_still_asked() -> None:
    stage = Stage()
    stage.until(lambda: stage.world.listed)
    stage.tick()
    stage.world.set_clock(-7 * 3600.0)
    stage.world.end(Cause.BROKEN)
    stage.world.follow = lambda asked, run_id: True  # type: ignore[method-assign]
    stage.until(lambda: len(stage.world.listed) == 2, 60)
