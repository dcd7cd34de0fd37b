# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Submissions that something hinders which passes: tried again, given up in the end, never doubled."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from flower_ops.runs.errors import RunError
from flower_ops.supervisor.decisions import FAILURES, PAUSES
from flower_ops.supervisor.model import Asked, Memory, State
from flower_ops.supervisor.world import Hindered
from supervisor_support import Stage

NAME = "digits-1a2b3c4d"


def test_a_submission_that_something_hinders_is_tried_again() -> None:
    stage = Stage()
    stage.world.hinders = ["flwr gave no answer within 120 s"] * (FAILURES - 1)
    begun = stage.world.clock
    stage.until(lambda: stage.memory().hindered)
    assert stage.state() is State.WAITING and "no answer" in stage.memory().reason
    stage.until(lambda: stage.world.listed)
    assert stage.world.clock - begun >= PAUSES[1] + PAUSES[2]
    assert stage.to_the_end().state is State.COMPLETED and stage.memory().hindered == 0


def test_submissions_that_are_hindered_again_and_again_end_the_training() -> None:
    stage = Stage()
    stage.world.hinders = ["Cannot submit: No space left on device."] * 99
    stage.until(lambda: stage.state().final)
    assert len(stage.world.hinders) == 99 - FAILURES and stage.state() is State.FAILED
    assert stage.memory().reason == "Cannot submit: No space left on device; 3 tries in a row came to nothing"


def test_a_command_that_was_cut_off_late_is_given_time_to_have_its_run_show_up() -> None:
    stage = Stage()
    submit = stage.world.submit
    taken: list[Asked] = []

    def slow(training: Asked) -> str:
        stage.world.submit = submit  # type: ignore[method-assign]
        stage.world.clock += 120.0
        taken.append(training)
        raise Hindered("flwr gave no answer within 120 s")

    stage.world.submit = slow  # type: ignore[method-assign]
    stage.until(lambda: taken)
    stage.tick()
    submit(taken[0])
    assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 1


def test_a_disk_that_is_full_for_a_while_when_something_is_written_down_fails_nothing() -> None:
    """Each write in turn fails once, the note of what was just submitted among them."""
    for number in range(8):
        stage = Stage(rounds=2)
        keep, writes, failing = stage.shelf.keep, itertools.count(), number

        def full(
            name: str, memory: Memory, keep: Any = keep, writes: Iterator[int] = writes, failing: int = failing
        ) -> None:
            if next(writes) == failing:
                raise RunError("Cannot write x.training.json: No space left on device")
            keep(name, memory)

        stage.shelf.keep = full  # type: ignore[method-assign]
        tick = stage.supervisor.tick

        def survived(tick: Any = tick) -> float:
            try:
                return float(tick())
            except RunError:
                return 5.0

        stage.supervisor.tick = survived  # type: ignore[method-assign]
        assert stage.to_the_end().state is State.COMPLETED and len(stage.world.listed) == 1, number
