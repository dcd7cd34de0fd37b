# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs that hang: ended where a deadline says so, told of where none does."""

from __future__ import annotations

from flower_ops.supervisor.decisions import FAILURES
from flower_ops.supervisor.model import State
from flower_ops.supervisor.quiet import GRACE, TELL, Life, Quiet
from supervisor_support import Stage, asked

NAME = "digits-1a2b3c4d"


def test_a_run_that_hangs_is_ended_and_goes_on_from_its_checkpoint() -> None:
    stage = Stage(asked(deadline=600.0))
    stage.until(lambda: stage.world.listed)
    for _look in range(2):
        stage.tick()
        stage.world.train()
    begun = stage.world.clock
    stage.world.silent.add("100")
    stage.until(lambda: stage.world.listed[0].cause, 3000)
    assert 600.0 + GRACE < stage.world.clock - begun < 600.0 + GRACE + 300.0
    assert stage.to_the_end().state is State.COMPLETED
    assert [one.cause for one in stage.memory().attempts] == ["broken", "done"]
    assert "the app hangs: nothing new for" in stage.memory().attempts[0].reason
    assert stage.world.executed == [(NAME, number) for number in (1, 2, 3, 4, 5)]


def test_runs_that_hang_without_a_new_checkpoint_end_the_training() -> None:
    stage = Stage(asked(deadline=600.0))
    stage.world.silent.update(("100", "101", "102"))
    stage.until(lambda: stage.state().final, 9000)
    assert stage.state() is State.FAILED and len(stage.world.listed) == FAILURES
    assert "3 runs in a row ended without a new checkpoint, the last one because the app hangs" in stage.memory().reason


def test_a_silent_run_without_a_deadline_is_told_of_and_left_alone() -> None:
    stage = Stage()
    stage.world.silent.add("100")
    stage.until(lambda: stage.world.listed)
    begun = stage.world.clock
    while stage.world.clock < begun + 5 * TELL:
        stage.tick()
    assert stage.state() is State.RUNNING and "the app has no round-timeout" in stage.shelf.told["reason"]
    assert sum("nothing new for more than 60 min" in line for line in stage.said) == 1
    stage.world.silent.clear()
    for _look in range(40):
        stage.tick()
    assert stage.shelf.told["reason"] == ""


def test_silence_in_which_nobody_listened_does_not_count() -> None:
    quiet = Quiet()
    told = [quiet.seconds("x", Life("a", written), now) for written, now in ((1, 0.0), (2, 60.0), (2, 9e4))]
    assert told == [0.0, 60.0, 60.0]
    # The VM was suspended for a day.
    assert quiet.seconds("x", Life("a", 3), 9e4) == 240.0
    assert quiet.seconds("x", Life("a", 4, waits=True), 9.1e4) == 0.0
    assert quiet.seconds("x", Life("b", 5), 9.2e4) == 0.0
