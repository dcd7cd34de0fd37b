# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of trainings that have ended: the last checkpoint, a hundred of them, and what can be gone on with."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from pathlib import Path

import pytest
from conftest_runs import FakeFlwr
from flower_ops.cli import main
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor import handed, retired
from flower_ops.supervisor.model import Asked, Attempt, Memory, State
from flower_ops.supervisor.shelf import Shelf
from supervisor_support import Stage, asked

NAME = "digits-1a2b3c4d"


def stored(places: Places, state: State, one: Asked | None = None, ended: float = 1.0, rounds: int = 3) -> Asked:
    """A training with checkpoints of its rounds, which is in this state."""
    shelf = Shelf(places)
    one = one or asked()
    one = replace(one, place=str(places.root / "opt/flower/checkpoints" / one.name))
    shelf.ask(one)
    (shelf.folder / one.name / "app").mkdir()
    shelf.keep(one.name, Memory(asked=one.at, state=state, attempts=(Attempt("1", one.at, ended=ended),)))
    folder = Path(one.place)
    folder.mkdir(parents=True)
    for number in range(1, rounds + 1):
        (folder / f"checkpoint_round_{number}.npz").touch()
    (folder / "checkpoint_latest.json").touch()
    (folder / "checkpoint_latest.npz").symlink_to(f"checkpoint_round_{rounds}.npz")
    return one


def left(one: Asked) -> list[str]:
    return sorted(path.name for path in Path(one.place).iterdir())


def test_a_training_that_is_complete_keeps_its_last_checkpoint(places: Places) -> None:
    one = stored(places, State.COMPLETED, rounds=12)
    retired.reduce(one)
    assert left(one) == ["checkpoint_latest.json", "checkpoint_latest.npz", "checkpoint_round_12.npz"]
    retired.reduce(one)
    retired.reduce(replace(one, place=""))
    assert len(left(one)) == 3


def test_checkpoints_that_cannot_be_removed_are_told_and_nothing_fails(
    places: Places, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = stored(places, State.COMPLETED)

    def unlink(_path: Path) -> None:
        raise OSError(errno.EROFS, "Read-only file system")

    with monkeypatch.context() as patch:
        patch.setattr(retired.os, "unlink", unlink)
        assert f"earlier checkpoints in {one.place} cannot be removed (Read-only file system)" in retired.reduce(one)
    assert len(left(one)) == 5 and retired.reduce(one) == "" and len(left(one)) == 3


@pytest.mark.parametrize("target", ["checkpoint_round_9.npz", "elsewhere.npz", ""])
def test_where_it_is_not_clear_which_is_the_last_all_stay(places: Places, target: str) -> None:
    one = stored(places, State.COMPLETED)
    signpost = Path(one.place) / "checkpoint_latest.npz"
    signpost.unlink()
    if target:
        signpost.symlink_to(target)
    before = left(one)
    retired.reduce(one)
    assert left(one) == before


@pytest.mark.parametrize(("state", "reduced"), [(State.COMPLETED, [NAME]), (State.FAILED, [])])
def test_only_what_is_complete_is_reduced(state: State, reduced: list[str]) -> None:
    stage = Stage()
    stage.world.refuses = "" if state is State.COMPLETED else "no"
    assert stage.to_the_end().state is state and stage.world.reduced == reduced


def test_removing_takes_record_app_and_checkpoints(places: Places, capsys: pytest.CaptureFixture[str]) -> None:
    one = stored(places, State.FAILED)
    shelf = Shelf(places)
    words = ["training", "remove", "--training", one.name, "--root", str(places.root), "--json"]
    assert main([*words, "--check"]) == 0 and shelf.one(one.name)
    assert main(words) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["changed"]
    assert shelf.all() == [] and not Path(one.place).exists() and not (shelf.folder / one.name).exists()
    assert shelf.recall(one.name) == Memory()
    assert main(words) == 1


@pytest.mark.parametrize("state", [State.WAITING, State.RUNNING])
def test_what_has_not_ended_cannot_be_removed(places: Places, state: State) -> None:
    one = stored(places, state)
    with pytest.raises(RunError, match="has not ended; stop it"):
        retired.remove(places, one.name)
    # Its run may still be there.
    handed.withdraw(places, one.name)
    with pytest.raises(RunError, match="has not ended"):
        retired.remove(places, one.name)
    assert len(left(one)) == 5


def test_what_was_asked_for_again_has_not_ended(places: Places) -> None:
    one = stored(places, State.COMPLETED)
    Shelf(places).ask(replace(one, at=one.at + 1.0))
    with pytest.raises(RunError, match="has not ended"):
        retired.remove(places, one.name)


def test_what_context_asks_for_is_not_removed_because_it_would_begin_anew(places: Places) -> None:
    one = stored(places, State.FAILED, asked(origin="context", context={"num-server-rounds": "3"}))
    with pytest.raises(RunError, match="CONTEXT asks for the training digits-1a2b3c4d, .*; set ONEAPP_FL_USE_CASE"):
        retired.remove(places, one.name)
    assert len(left(one)) == 5


def test_checkpoints_on_a_disk_that_is_not_there_are_not_forgotten(places: Places, tmp_path: Path) -> None:
    one = stored(places, State.FAILED, asked(run_config={"checkpoint-disk": str(tmp_path)}))
    with pytest.raises(RunError, match=f"is not mounted at {tmp_path}; mount it first"):
        retired.remove(places, one.name)
    assert Shelf(places).one(one.name) == one


def test_of_ended_trainings_the_newest_stay_and_all_that_can_be_gone_on_with(
    places: Places, flwr: FakeFlwr, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retired, "KEPT", 2)
    wanted = {
        "old-00000001": (State.COMPLETED, {}),
        "said-00000002": (State.COMPLETED, {"context": {"strategy": "FedAvg"}, "origin": "context"}),
        "broken-00000003": (State.FAILED, {}),
        "stopped-00000004": (State.STOPPED, {}),
        "plain-00000005": (State.FAILED, {"resumes": False}),
        "goes-00000006": (State.RUNNING, {}),
        "new-00000007": (State.COMPLETED, {}),
        "newer-00000008": (State.COMPLETED, {}),
    }
    for number, (name, (state, more)) in enumerate(wanted.items()):
        stored(places, state, asked(name, **more), float(number))
    retired.prune(Shelf(places))
    kept = {one.name for one in Shelf(places).all()}
    assert kept == set(wanted) - {"old-00000001", "plain-00000005"}
    folders = {path.name for path in (places.root / "opt/flower/checkpoints").iterdir()}
    assert folders == kept
