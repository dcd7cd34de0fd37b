# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A training that is supervised survives what a run does not: kill -9 of the SuperLink, and of the supervisor."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import pytest
from flower_ops import profiles

from .conftest import Make
from .processes import wait_until
from .supervised import ROUNDS, Supervised

#: A server with a state of its own, and nodes that draw random numbers: were moments or seeds lost, it would show.
LEARNING = {"strategy": "FedAdam", "by-chance": True}


def arrays(place: Path) -> dict[str, bytes]:
    """The arrays of a model.npz, as they were written."""
    with zipfile.ZipFile(place) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def uninterrupted(stage: Supervised) -> str:
    """A training that nothing happens to; its name."""
    whole = stage.ask(**LEARNING)
    assert stage.finish(whole)["state"] == "completed", stage.told(whole)
    assert len(stage.state(whole)["runs"]) == 1
    return whole


def killed_in(stage: Supervised, number: int, whole: str) -> None:
    """A training whose SuperLink is killed in a round ends by itself, as the uninterrupted one did."""
    before = stage.messages()
    broken = stage.ask(**LEARNING)
    if number == 1:
        wait_until(lambda: stage.messages() != before, 120, f"no node was asked: {stage.told(broken)}")
    else:
        stage.reach(broken, number - 1)
    stage.kill_superlink()
    ended = stage.finish(broken)
    assert ended["state"] == "completed", stage.told(broken)
    assert [one["ended"] for one in ended["runs"]] == ["broken", "done"], stage.told(broken)
    assert ended["runs"][1]["from_round"] >= number - 1
    executed = [after - earlier for earlier, after in zip(before, stage.messages(), strict=True)]
    assert all(ROUNDS <= rounds <= ROUNDS + 1 for rounds in executed), executed
    folders = [stage.lane.hub.file(f"runs/{name}") for name in (whole, broken)]
    models = [arrays(folder / "model.npz") for folder in folders]
    assert models[0] == models[1]
    told = [json.loads((folder / "metrics.json").read_text())["rounds"] for folder in folders]
    figures = [[{**one, "seconds": 0} for one in rounds] for rounds in told]
    assert figures[0] == figures[1] and len(figures[0]) == ROUNDS + 1


@pytest.mark.parametrize("version", profiles.known())
def test_a_training_survives_the_death_of_its_superlink(federation: Make, version: str) -> None:
    stage = Supervised(federation(version))
    killed_in(stage, 3, uninterrupted(stage))


def test_it_does_so_in_whatever_round(federation: Make) -> None:
    stage = Supervised(federation(profiles.DEFAULT))
    whole = uninterrupted(stage)
    for number in (1, 2, 4, 5):
        killed_in(stage, number, whole)


def test_a_supervisor_that_is_killed_never_submits_twice(federation: Make) -> None:
    stage = Supervised(federation(profiles.DEFAULT))
    training = stage.ask(**{"num-server-rounds": 3})
    # Whenever a run comes into being, and some more times: the supervisor is killed before, in and after that moment.
    for _time in range(6):
        wait_until(lambda: stage.supervisor.running, 10, "it does not run")
        stage.supervisor.kill()
        stage.supervisor.start()
        wait_until(lambda: stage.lane.cli.list_runs() or stage.supervisor.said(), 60, "it does nothing")
    assert stage.finish(training)["state"] == "completed", stage.told(training)
    assert len(stage.lane.cli.list_runs()) == 1


def test_an_error_of_the_app_ends_its_training_with_the_reason(federation: Make) -> None:
    stage = Supervised(federation(profiles.DEFAULT))
    training = stage.ask(strategy="FedSGD")
    ended = stage.finish(training)
    assert ended["state"] == "failed" and len(ended["runs"]) == 1
    assert "strategy = 'FedSGD': expected one of FedAvg" in ended["reason"]
