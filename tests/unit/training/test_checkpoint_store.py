# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which checkpoints are kept and found, with which rights, on which disk, and what may go on from them."""

from __future__ import annotations

import fcntl
import json
import os
import stat
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from checkpoint_support import checkpoint, same
from flower_ops.training.checkpoint import CheckpointError, Store, store
from flower_ops.training.checkpoint.disk import is_mounted


def names(folder: Path) -> set[str]:
    return {place.name for place in folder.glob("checkpoint_round_*")}


def test_an_empty_folder_has_none(tmp_path: Path) -> None:
    assert Store(tmp_path).latest() is None


def test_the_newest_are_kept_by_number_and_not_by_text(tmp_path: Path) -> None:
    for number in range(1, 13):
        kept = Store(tmp_path, keep=3)
        kept.save(checkpoint(number))
        assert same(kept.latest(), checkpoint(number))
    assert names(tmp_path) == {f"checkpoint_round_{number}.npz" for number in (10, 11, 12)}


@pytest.mark.parametrize("keep", [1, 2])
def test_removal_never_takes_the_only_good_one(tmp_path: Path, keep: int) -> None:
    """Damaged files do not count among those that are kept."""
    kept = Store(tmp_path, keep=keep)
    kept.save(checkpoint(1))
    for number in (2, 3):
        (tmp_path / f"checkpoint_round_{number}.npz").write_bytes(b"torn")
    kept.save(checkpoint(4))
    found = kept.latest()
    assert found is not None and found.round == 4
    assert ("checkpoint_round_1.npz" in names(tmp_path)) is (keep == 2)


def test_a_training_that_starts_anew_in_the_folder_is_the_newest(tmp_path: Path) -> None:
    """It counts from 1 again, which is less than what stands there."""
    Store(tmp_path, keep=2).save(checkpoint(30, run="old"))
    kept = Store(tmp_path, keep=2)
    kept.save(checkpoint(1, run="new"))
    found = kept.latest()
    assert found is not None and (found.round, found.run) == (1, "new")
    old = kept.latest(run="old")
    assert old is not None and old.round == 30
    assert kept.latest(run="other") is None
    kept.save(checkpoint(2, run="new"))
    assert names(tmp_path) == {"checkpoint_round_1.npz", "checkpoint_round_2.npz"}


def test_signposts(tmp_path: Path) -> None:
    place = Store(tmp_path).save(checkpoint(7, metrics=[{"loss": float("inf")}]))
    assert os.readlink(tmp_path / "checkpoint_latest.npz") == place.name
    text = (tmp_path / "checkpoint_latest.json").read_text()
    assert "Infinity" not in text
    told = json.loads(text)
    assert (told["file"], told["round"], told["num_arrays"], told["run"]) == (place.name, 7, 2, "digits")
    assert (told["strategy"], told["settings"]) == ("FedAdam", {"server-lr": 0.1, "rounds": 9})
    assert len(told["sha256"]) == 64
    written = datetime.strptime(told["timestamp"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
    assert abs((datetime.now(timezone.utc) - written).total_seconds()) < 60


@pytest.fixture(params=[0o000, 0o027, 0o077])
def mask(request: pytest.FixtureRequest) -> Iterator[int]:
    """A umask, put back after the test."""
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


@pytest.mark.usefixtures("mask")
def test_rights_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    folder = tmp_path / "kept"
    place = Store(folder).save(checkpoint(1))
    assert stat.S_IMODE(folder.stat().st_mode) == 0o750
    assert stat.S_IMODE(place.stat().st_mode) == 0o640
    assert stat.S_IMODE((folder / "checkpoint_latest.json").stat().st_mode) == 0o640


def test_a_folder_that_stands_keeps_its_rights(tmp_path: Path) -> None:
    tmp_path.chmod(0o2770)
    Store(tmp_path).save(checkpoint(1))
    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o2770


@pytest.mark.parametrize("keep", [0, -1, 1.5, True, "3"])
def test_how_many_to_keep(tmp_path: Path, keep: Any) -> None:
    with pytest.raises(CheckpointError, match=r"^The number of checkpoints to keep .*; give a whole number from 1\.$"):
        Store(tmp_path, keep=keep)


def test_a_file_in_the_place_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="could not be written to .*: (File exists|Not a directory); make that"):
        Store(tmp_path / "file")


def test_another_process_that_writes_for_too_long(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store, "PATIENCE_S", 0.1)
    kept = Store(tmp_path)
    kept.save(checkpoint(1))
    with (tmp_path / ".lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with pytest.raises(CheckpointError, match=r"another process has been writing to .*; stop it or give"):
            kept.save(checkpoint(2))
    assert same(kept.latest(), checkpoint(1))
    kept.save(checkpoint(2))


def test_what_a_dead_writer_left_is_removed(tmp_path: Path) -> None:
    left = tmp_path / ".new-1-checkpoint_round_2.npz"
    left.write_bytes(b"x")
    Store(tmp_path).save(checkpoint(1))
    assert not left.exists()


def test_a_disk_that_is_not_mounted(tmp_path: Path) -> None:
    """Nothing is made on the system's disk instead."""
    with pytest.raises(CheckpointError, match=r"^The folder .*/disk for the disk of .* does not exist; mount the disk"):
        Store(tmp_path / "disk/kept", disk=tmp_path / "disk")
    with pytest.raises(CheckpointError, match=r"^No disk is mounted at .*, so checkpoints in .* would fill the disk"):
        Store(tmp_path / "kept", disk=tmp_path)
    with pytest.raises(CheckpointError, match=r"which is not on the disk mounted at /proc; give a folder below it"):
        Store(tmp_path / "kept", disk=Path("/proc"))
    assert not list(tmp_path.iterdir())


def test_which_folders_are_mounts(tmp_path: Path) -> None:
    assert is_mounted(Path("/proc")) and is_mounted(Path("/"))
    assert not is_mounted(tmp_path) and not is_mounted(tmp_path / "gone")


def test_a_disk_that_goes_away_in_between(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flower_ops.training.checkpoint.disk.is_mounted", lambda place: True)
    kept = Store(tmp_path / "kept", disk=tmp_path)
    kept.save(checkpoint(1))
    monkeypatch.undo()
    for use in (lambda: kept.save(checkpoint(2)), kept.latest):
        with pytest.raises(CheckpointError, match="No disk is mounted"):
            use()
    assert names(tmp_path / "kept") == {"checkpoint_round_1.npz"}


def test_a_training_goes_on_with_what_it_was_started_with(tmp_path: Path) -> None:
    old = checkpoint(4)
    Store(tmp_path).check(old, "FedAdam", [np.zeros(3), np.zeros(())])


@pytest.mark.parametrize(
    ("strategy", "arrays", "told"),
    [
        ("FedAvg", [np.zeros(3), np.zeros(())], ["the strategy FedAdam, and this run uses FedAvg"]),
        ("FedAdam", [np.zeros(3)], ["has 2 arrays, and the model of this run has 1"]),
        ("FedAdam", [np.zeros(3), np.zeros(1)], ["array 1 of", "the shape (), and that of this run (1,)"]),
        (
            "Krum",
            [np.zeros((3, 1)), np.zeros(())],
            ["FedAdam, and this run uses Krum", "and that of this run (3, 1)"],
        ),
    ],
)
def test_a_training_with_another_strategy_or_model_is_refused(
    tmp_path: Path, strategy: str, arrays: list[Any], told: list[str]
) -> None:
    with pytest.raises(CheckpointError) as caught:
        Store(tmp_path).check(checkpoint(4), strategy, arrays)
    sentence = str(caught.value)
    assert sentence.startswith("This run cannot be resumed: ") and sentence.count(". ") == 0 and "\n" not in sentence
    assert "the checkpoint of round 4" in sentence and str(tmp_path) in sentence
    for part in told:
        assert part in sentence
