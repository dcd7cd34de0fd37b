# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Training code on every version of Flower: its tests, and real runs of an app that uses it."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path

import pytest
from flower_ops import profiles

from .conftest import Make
from .inside import TRAINING, run_tests

APP = Path(__file__).parent / "training_app"


@pytest.mark.parametrize("version", [known for known in profiles.known() if known != profiles.DEFAULT])
def test_training_on_another_version(version: str) -> None:
    """With the default version they run among the unit tests."""
    run_tests(version, TRAINING)


@pytest.mark.parametrize("version", profiles.known())
def test_a_run_by_the_one_call(federation: Make, version: str) -> None:
    lane = federation(version)
    lane.start()
    run = lane.train(
        app=APP,
        strategy="FedProx",
        proximal_mu=0.25,
        num_server_rounds=3,
        require_framework="sklearn",
        require_flower_version=version,
    )
    assert run["status"] == "finished:completed" and not run["degraded"], run
    assert [(one["round"], one["nodes"], one["results"]) for one in run["rounds"]] == [(n, 2, 2) for n in (1, 2, 3)]
    assert [one["central"] for one in run["rounds"]] == [{"mean": 1.5 * number} for number in (1, 2, 3)]
    assert [one["train"] for one in run["rounds"]] == [{"mu": 0.25, "round": float(number)} for number in (1, 2, 3)]
    files = {file["name"]: Path(file["path"]) for file in run["files"]}
    assert {"model.npz", "metrics.json"} <= set(files)
    told = json.loads(files["metrics.json"].read_text())
    assert told["parameters"] == 1000 and told["degraded"] is None and len(told["rounds"]) == 4


def test_a_silent_node_costs_a_round_no_more_than_its_deadline(federation: Make) -> None:
    lane = federation(profiles.DEFAULT)
    lane.start()
    run = lane.train(
        app=APP,
        num_server_rounds=2,
        round_timeout=20.0,
        silent_partition=1,
        silent_seconds=60,
    )
    assert run["status"] == "finished:completed" and run["degraded"], run
    first, second = run["rounds"]
    assert (first["results"], second["nodes"], second["results"], second["failures"]) == (2, 2, 1, 1)
    assert second["errors"] == [f"node {lane.node_ids[1]}: no answer within 20 s"]
    assert second["seconds"] < 30 and second["central"] == {"mean": 2.5}


@pytest.mark.parametrize("version", profiles.known())
def test_a_node_that_dies_while_it_sends_costs_a_round_no_more_than_its_deadline(
    federation: Make, tmp_path: Path, version: str
) -> None:
    """Flower waits for what is announced, minutes or hours. The other node answers meanwhile, and counts."""
    lane = federation(version)
    lane.start(first_node=lane.fault("half-sent", tmp_path))
    begun = time.monotonic()
    run = lane.train(app=APP, num_server_rounds=1, round_timeout=20.0, slow_partition=1, slow_seconds=8)
    assert (tmp_path / "half-sent.happened").exists()
    assert run["status"] == "finished:completed" and run["degraded"], run
    (only,) = run["rounds"]
    assert only["results"] == 1 and len(only["errors"]) == 1
    told = re.fullmatch(rf"node {lane.node_ids[0]}: no answer within (\d+) s", only["errors"][0])
    # The deadline and a tenth for what is being fetched, and no other time than the round took.
    assert told and 22 <= int(told[1]) <= only["seconds"] + 0.5, only
    assert 19 < only["seconds"] < 30 and time.monotonic() - begun < 70
