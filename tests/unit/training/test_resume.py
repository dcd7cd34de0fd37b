# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that goes on from a checkpoint equals one that was never interrupted, whatever its strategy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from digits import apps, new_model
from flower_ops.training.checkpoint import CheckpointError
from flower_ops.training.client.messages import task_of
from flower_ops.training.packing import changed, unpacked
from flower_ops.training.settings import STRATEGIES
from flower_ops.training.train import train
from flwr.app import Context, RecordDict
from local_grid import LocalGrid
from run_support import central, context, read, same


class Crash(RuntimeError):
    pass


@pytest.mark.parametrize("kind", ["float64", "float32"])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_resumed_run_equals_one_that_was_never_interrupted(
    strategy: str, kind: str, tmp_path: Path, log: list[str]
) -> None:
    def asked(place: str) -> Context:
        return context(
            strategy=strategy,
            num_server_rounds=5,
            min_available_clients=7,
            num_malicious=1,
            checkpoint_path=str(tmp_path / place),
            training="digits",
        )

    whole = train(LocalGrid(apps(7)), asked("whole"), new_model(kind), central)
    broken = LocalGrid(apps(7))

    def crash(number: int) -> None:
        if number == 4:
            raise Crash

    broken.before_round = crash
    with pytest.raises(Crash):
        train(broken, asked("broken"), new_model(kind), central)
    del log[:]
    again = LocalGrid(apps(7))
    resumed = train(again, asked("broken"), new_model(kind), central)
    same(resumed, whole)
    assert resumed.resumed_from == 3
    assert {int(one.content["config"]["server-round"]) for one in again.sent} == {4, 5}  # type: ignore
    reader, degraded = read(log)
    assert [one["round"] for one in reader.rounds] == [4, 5] and reader.planned == 5 and degraded is None


def test_a_finished_training_is_not_done_again(tmp_path: Path) -> None:
    asked = context(num_server_rounds=2, output_dir=str(tmp_path))
    first = train(LocalGrid(apps(2)), asked, new_model(), central)
    (tmp_path / "model.npz").unlink()
    grid = LocalGrid(apps(2))
    second = train(grid, asked, new_model(), central)
    same(first, second)
    assert grid.sent == [] and (tmp_path / "model.npz").is_file()


def test_the_degraded_rounds_of_an_earlier_submission_are_not_forgotten(tmp_path: Path) -> None:
    grid = LocalGrid(apps(2))
    grid.before_round = lambda number: grid.lost.add(2) if number == 1 else grid.lost.clear()
    train(grid, context(num_server_rounds=2, checkpoint_path=str(tmp_path)), new_model())
    result = train(LocalGrid(apps(2)), context(num_server_rounds=3, checkpoint_path=str(tmp_path)), new_model())
    assert result.degraded == "round 1: 1 of 2 results (node 2: Node Unavailable)"


def test_checkpoints_come_every_so_many_rounds_and_after_the_last(tmp_path: Path) -> None:
    asked = context(num_server_rounds=7, checkpoint_interval=3, checkpoint_keep=9, checkpoint_path=str(tmp_path))
    train(LocalGrid(apps(2)), asked, new_model())
    kept = {path.name for path in tmp_path.glob("checkpoint_round_*.npz")}
    assert kept == {f"checkpoint_round_{number}.npz" for number in (3, 6, 7)}


def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path) -> None:
    train(LocalGrid(apps(2)), context(num_server_rounds=1, checkpoint_path=str(tmp_path)), new_model())
    grid = LocalGrid(apps(2))
    with pytest.raises(CheckpointError, match="strategy FedAvg, and this run uses FedAdam"):
        train(grid, context(strategy="FedAdam", checkpoint_path=str(tmp_path)), new_model())
    with pytest.raises(CheckpointError, match="has 2 arrays, and the model of this run has 1"):
        train(grid, context(checkpoint_path=str(tmp_path)), new_model()[:1])
    assert grid.sent == []


def test_without_a_place_there_are_no_checkpoints_and_that_is_said(log: list[str]) -> None:
    train(LocalGrid(apps(2)), context(num_server_rounds=1), new_model())
    assert any("No checkpoints are written" in line for line in log)


def submission(number: int, **config: Any) -> Context:
    """What Flower hands to a run: each has a number of its own."""
    return Context(number, 1, {}, RecordDict(), context(**config).run_config)


def test_a_training_finds_only_its_own_checkpoints_in_a_place_that_several_use(tmp_path: Path) -> None:
    place = str(tmp_path)
    first = train(
        LocalGrid(apps(2)), submission(1, num_server_rounds=2, checkpoint_path=place, training="a"), new_model()
    )
    other = LocalGrid(apps(2))
    train(other, submission(2, num_server_rounds=1, checkpoint_path=place, training="b"), new_model())
    assert {int(one.content["config"]["server-round"]) for one in other.sent} == {1}  # type: ignore[arg-type]
    again = LocalGrid(apps(2))
    resumed = train(again, submission(3, num_server_rounds=3, checkpoint_path=place, training="a"), new_model())
    assert (resumed.resumed_from, len(resumed.rounds)) == (2, 3) and len(again.sent) == 2
    assert resumed.rounds[:2] == first.rounds
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a", "b"]


def test_a_run_without_a_training_starts_anew_where_another_one_was(tmp_path: Path) -> None:
    for number in (1, 2):
        asked = submission(number, num_server_rounds=2, checkpoint_path=str(tmp_path))
        assert train(LocalGrid(apps(2)), asked, new_model()).resumed_from == 0
    # Flower may start the process of a run a second time.
    assert train(LocalGrid(apps(2)), asked, new_model()).resumed_from == 2


def test_without_its_disk_a_training_does_not_begin(tmp_path: Path) -> None:
    grid = LocalGrid(apps(2))
    asked = context(checkpoint_path=str(tmp_path / "disk/checkpoints"), checkpoint_disk=str(tmp_path / "disk"))
    with pytest.raises(CheckpointError, match=r"The folder .*/disk for the disk of the checkpoints does not exist"):
        train(grid, asked, new_model())
    (tmp_path / "disk").mkdir()
    with pytest.raises(CheckpointError, match="No disk is mounted at"):
        train(grid, asked, new_model())
    assert grid.sent == []
    on_it = context(num_server_rounds=1, checkpoint_path=str(tmp_path / "of-a-disk"), checkpoint_disk="/")
    train(grid, on_it, new_model())
    assert (tmp_path / "of-a-disk/checkpoint_latest.npz").exists()


def test_what_nodes_are_told_reaches_them_and_must_stay_the_same(tmp_path: Path) -> None:
    grid = LocalGrid(apps(2))
    asked = context(num_server_rounds=1, checkpoint_path=str(tmp_path), fraction_evaluate=1.0)
    train(grid, asked, new_model(), tell={"data-source": "hub", "depth": 2})
    assert len(grid.sent) == 4
    for one in grid.sent:
        one.content = changed(one.content, unpacked)
        assert task_of(one).told.items() >= {"data-source": "hub", "depth": 2}.items()
    more = context(num_server_rounds=2, checkpoint_path=str(tmp_path))
    with pytest.raises(CheckpointError, match="data-source was 'hub' and is 'bundled'"):
        train(LocalGrid(apps(2)), more, new_model(), tell={"data-source": "bundled", "depth": 2})
    assert train(LocalGrid(apps(2)), more, new_model(), tell={"data-source": "hub", "depth": 2}).resumed_from == 1
