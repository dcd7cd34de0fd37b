# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults that a Flower version is known for, made to happen, and what its profile does about them."""

from __future__ import annotations

from pathlib import Path

import pytest
from flower_ops import profiles

from .conftest import Make
from .federation import START_S, Federation
from .processes import wait_until


def zombie_lines(lane: Federation, number: int) -> list[str]:
    """What a node has said that its profile takes for the end of its answers."""
    return [line for line in lane.nodes[number].said().splitlines() if lane.profile.is_zombie_line(line)]


def test_a_message_that_is_still_being_uploaded_is_lost_on_1_25_and_not_with_the_workaround(
    federation: Make, tmp_path: Path
) -> None:
    lane = federation("1.25.0")
    lane.start(**lane.fault("late-upload", tmp_path))
    run = lane.train()
    assert (tmp_path / "late-upload.happened").exists()
    assert run["succeeded"] and not run["degraded"], run
    assert not zombie_lines(lane, 0) + zombie_lines(lane, 1)

    # The same without the work-around: the fault is there, and the profile knows its words.
    lane.superlink.stop()
    (tmp_path / "late-upload.happened").unlink()
    lane.start_superlink(PYTHONPATH="", **lane.fault("late-upload", tmp_path))
    lane.wait_online()
    run = lane.train(round_timeout=40.0)
    assert run["status"] == "finished:completed" and run["degraded"] and run["rounds"][0]["results"] == 1, run
    (victim,) = [number for number in (0, 1) if zombie_lines(lane, number)]
    assert "cannot be zero" in lane.nodes[victim].said()

    lane.nodes[victim].stop()
    lane.nodes[victim].start()
    lane.wait_online()
    assert not lane.train()["degraded"]


@pytest.mark.parametrize("version", profiles.known())
def test_a_node_that_could_not_receive_a_message_answers_again_within_two_rounds(
    federation: Make, tmp_path: Path, version: str
) -> None:
    """On versions where it never would by itself, its log says so, and a restart heals it in the middle of the run."""
    lane = federation(version)
    lane.start(first_node=lane.fault("failed-pull", tmp_path))
    run_id = lane.submit(num_server_rounds=3, round_timeout=40.0)
    wait_until(lambda: "Failed to receive message" in lane.nodes[0].said(), START_S, "the fault has not happened")
    hangs = bool(lane.profile.zombie_patterns)
    assert bool(zombie_lines(lane, 0)) == hangs

    def first_round_is_over() -> bool:
        rounds = lane.status(run_id)["rounds"]
        return bool(rounds) and rounds[0]["done"]

    wait_until(first_round_is_over, START_S, "the first round does not end")
    assert [node["status"] for node in lane.cli.supernodes()] == ["online", "online"]
    if hangs:
        lane.nodes[0].stop()
        lane.nodes[0].start()
    run = lane.finish(run_id)
    assert [one["results"] for one in run["rounds"]][::2] == [1, 2], run
    assert run["status"] == "finished:completed" and run["degraded"] and "round 1: 1 of 2" in run["reason"]


@pytest.mark.parametrize(
    ("version", "cured"), [*((known, True) for known in profiles.known()), (profiles.DEFAULT, False)]
)
def test_an_answer_for_a_run_that_ended_makes_no_later_answer_late(
    federation: Make, tmp_path: Path, version: str, cured: bool
) -> None:
    """Without the cure such a node is one message late for ever; by the code of Flower on every version."""
    lane = federation(version)
    environment = {} if cured else {"PYTHONPATH": ""}
    lane.start(first_node={**lane.fault("ended-pull", tmp_path), **environment})
    run = lane.train(num_server_rounds=3, round_timeout=40.0)
    assert "Ignoring message" in lane.nodes[0].said()
    assert [one["results"] for one in run["rounds"]] == ([1, 2, 2] if cured else [1, 1, 1]), run
