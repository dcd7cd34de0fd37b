# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The one call: a run from the configuration to the result, its log, its end when nodes die."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from digits import apps, new_model
from flower_ops.training.errors import NodesMissing, NothingLearned
from flower_ops.training.train import train
from local_grid import LocalGrid
from run_support import central, context, read


def test_a_run_learns_and_tells_its_rounds(log: list[str], tmp_path: Path) -> None:
    asked = context(num_server_rounds=4, min_available_clients=3, output_dir=str(tmp_path), fraction_evaluate=1.0)
    result = train(LocalGrid(apps(3)), asked, new_model, central, names=("weights", "biases"))
    assert [one["round"] for one in result.rounds] == [0, 1, 2, 3, 4]
    assert result.metrics[4]["accuracy"] > 0.85 > result.metrics[0]["accuracy"]
    assert result.degraded is None and result.resumed_from == 0
    reader, degraded = read(log)
    assert degraded is None and reader.planned == 4 and reader.error is None
    assert [one["round"] for one in reader.rounds] == [1, 2, 3, 4]
    for told, one in zip(reader.rounds, result.rounds[1:], strict=True):
        for kind in ("train", "evaluate", "central"):
            assert told[kind] == one[kind]
        assert (told["nodes"], told["results"], told["failures"]) == (3, 3, 0)
    assert reader.initial == result.rounds[0]["central"] and reader.strategy_seconds is not None
    with np.load(tmp_path / "model.npz", allow_pickle=False) as model:
        np.testing.assert_array_equal(model["weights"], result.arrays[0])
    figures = json.loads((tmp_path / "metrics.json").read_text())
    assert figures["rounds"] == result.rounds and figures["parameters"] == 650 and figures["degraded"] is None
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoints", "metrics.json", "model.npz"]


def test_one_message_a_round_is_all_that_nodes_get() -> None:
    grid = LocalGrid(apps(2))
    train(grid, context(num_server_rounds=3, checkpoint_enabled=False), new_model(), central)
    assert len(grid.sent) == 6 and {one.metadata.message_type for one in grid.sent} == {"train"}


@pytest.mark.parametrize("how", ["silent", "lost", "away"])
def test_a_node_that_dies_in_a_round_costs_its_result_and_no_more(how: str, log: list[str]) -> None:
    grid = LocalGrid(apps(3))

    def die(number: int) -> None:
        if number == 2:
            getattr(grid, how).add(3)
        elif number == 3:
            getattr(grid, how).clear()

    grid.before_round = die
    if how == "away":
        # It comes back before the next round.
        inner = grid.get_node_ids
        grid.get_node_ids = lambda: (grid.away.clear(), inner())[1]  # type: ignore[method-assign]
    asked = context(num_server_rounds=3, min_available_clients=3, checkpoint_enabled=False, round_timeout=0.3)
    result = train(grid, asked, new_model())
    why = "no answer within 0 s" if how == "silent" else "Node Unavailable"
    assert result.degraded == f"round 2: 2 of 3 results (node 3: {why})"
    assert [one["aggregated"] for one in result.rounds] == [True, True, True]
    reader, degraded = read(log)
    assert degraded is not None and degraded.startswith("round 2: 2 of 3 results; first error: node 3:")
    assert [line for line in log if "Degraded" in line] == [f"WARNING :      Degraded: {result.degraded}."]


def test_a_round_without_any_answer_is_counted(log: list[str]) -> None:
    grid = LocalGrid(apps(2))

    def fall_silent(number: int) -> None:
        grid.silent = {1, 2} if number == 2 else set()

    grid.before_round = fall_silent
    result = train(grid, context(checkpoint_enabled=False, round_timeout=0.2), new_model())
    assert [one["results"] for one in result.rounds] == [2, 0, 2]
    reader, degraded = read(log)
    assert degraded is not None and degraded.startswith("round 2: 0 of 2 results")


def test_a_node_that_stays_away_ends_the_run_with_its_name() -> None:
    grid = LocalGrid(apps(2))

    def leave(number: int) -> None:
        if number == 1:
            grid.away = {2}

    grid.before_round = leave
    asked = context(checkpoint_enabled=False, round_timeout=0.2, node_wait_timeout=0.3)
    with pytest.raises(
        NodesMissing, match=r"^Round 2 did not begin: 1 of 2 nodes .* \(here: node 1; node 2 has been away for"
    ):
        train(grid, asked, new_model())


def test_too_few_nodes_for_evaluation_leave_it_out(log: list[str]) -> None:
    grid = LocalGrid(apps(2))
    grid.before_round = lambda number: grid.away.add(2) if number == 1 else None
    asked = context(num_server_rounds=1, checkpoint_enabled=False, fraction_evaluate=1.0)
    result = train(grid, asked, new_model())
    assert result.rounds[0]["evaluate"] is None
    assert any("No evaluation at the nodes in this round: 1 of 2 are there." in line for line in log)


def test_a_run_in_which_no_node_learned_anything_fails() -> None:
    grid = LocalGrid(apps(2))
    grid.lost = {1, 2}
    with pytest.raises(NothingLearned, match="No round brought a new model; the first failure was of node 1: Node Un"):
        train(grid, context(checkpoint_enabled=False), new_model())


def test_faults_end_the_run_before_the_first_message() -> None:
    grid = LocalGrid(apps(2))
    with pytest.raises(ValueError, match="2 faults: strategy = 'X'.*; num-server-rounds = 0"):
        train(grid, context(strategy="X", num_server_rounds=0), new_model())
    with pytest.raises(ValueError, match="4f \\+ 3 = 7"):
        train(grid, context(strategy="Bulyan", num_malicious=1), new_model())
    with pytest.raises(ValueError, match="no initial arrays"):
        train(grid, context(), [])
    assert grid.sent == []


def test_what_an_app_measures_with_numpy_is_told_like_any_other_figure(log: list[str], tmp_path: Path) -> None:
    def measured(number: int, arrays: list[Any]) -> dict[str, float]:
        return {"loss": np.float32(0.5), "examples": np.int64(number)}  # type: ignore[dict-item]

    asked = context(num_server_rounds=1, output_dir=str(tmp_path))
    result = train(LocalGrid(apps(2)), asked, new_model(), measured)
    reader, _degraded = read(log)
    assert reader.initial == {"loss": 0.5, "examples": 0}
    assert reader.rounds[0]["central"] == result.rounds[1]["central"] == {"loss": 0.5, "examples": 1}


def test_figures_of_a_model_that_diverged_are_json_for_every_reader(tmp_path: Path) -> None:
    def refuse(word: str) -> None:
        raise AssertionError(f"{word} is no JSON")

    asked = context(num_server_rounds=1, output_dir=str(tmp_path), checkpoint_enabled=False)
    train(LocalGrid(apps(2)), asked, new_model(), lambda number, arrays: {"loss": float("nan"), "best": float("inf")})
    figures = json.loads((tmp_path / "metrics.json").read_text(), parse_constant=refuse)
    assert figures["rounds"][1]["central"] == {"loss": None, "best": None}


def test_names_that_do_not_fit_the_model_are_told_before_the_first_round(tmp_path: Path) -> None:
    grid = LocalGrid(apps(2))
    with pytest.raises(ValueError, match="gave 1 names for 2 arrays; give one for each, or none"):
        train(grid, context(output_dir=str(tmp_path)), new_model(), names=("weights",))
    assert grid.sent == []
