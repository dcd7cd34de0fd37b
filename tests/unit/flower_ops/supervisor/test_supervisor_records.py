# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Records of runs as the supervisor keeps them: begun where there is none, left alone where they cannot be read."""

from __future__ import annotations

import json

import pytest
from conftest_runs import RUN_ID, FakeFlwr
from flower_ops.machine import foreign
from flower_ops.runs.record import Places
from flower_ops.supervisor import world as worlds
from flower_ops.supervisor.model import Cause
from flower_ops.supervisor.world import Machine
from supervisor_support import asked


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Watchers, none of which is really started; a moment later nothing keeps the next one from being started."""
    found: list[str] = []
    monkeypatch.setattr(worlds, "watch_by_process", lambda _places, run_id: found.append(run_id))
    monkeypatch.setattr(worlds, "WATCHER_START_S", 0.0)
    return found


@pytest.mark.parametrize("damage", ["large", "no JSON", "no record", "link"])
def test_a_record_that_cannot_be_read_is_left_and_told_once(
    places: Places, flwr: FakeFlwr, started: list[str], capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    place, one = places.record(RUN_ID), asked()
    if damage == "large":
        with place.open("wb") as stream:
            stream.truncate(foreign.MOST + 1)
    elif damage == "link":
        place.symlink_to(places.runs / "elsewhere")
    else:
        place.write_text("{" if damage == "no JSON" else "[]")
    before = place.lstat()
    world = Machine(places, lambda: "")
    # So Flower is asked once in a while, as about any run that goes on.
    assert [world.follow(one, RUN_ID) for _look in range(3)] == [True] * 3
    after = place.lstat()
    assert (after.st_ino, after.st_size, after.st_mtime_ns) == (before.st_ino, before.st_size, before.st_mtime_ns)
    assert started == []
    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith(f"Run {RUN_ID} is followed by asking Flower only") and str(place) in line


def test_a_run_whose_record_cannot_be_read_is_judged_by_flower_alone(
    places: Places, flwr: FakeFlwr, started: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    one = asked()
    places.record(RUN_ID).write_text("{")
    flwr.run_states("finished:completed", run_id=RUN_ID, **{"fab-version": f"1.2.0+{one.mark}"})
    world = Machine(places, lambda: "")
    world._session._output = places.cli()._output  # type: ignore[method-assign]
    assert world.seen(one, world.runs(), ()) is None
    monkeypatch.setattr(worlds, "READING", -1.0)
    (seen,) = world.seen(one, world.runs(), ()) or ()
    assert seen.cause is Cause.DONE and started == []
    world.rest()


def test_a_record_is_begun_once(places: Places, flwr: FakeFlwr, started: list[str]) -> None:
    world = Machine(places, lambda: "")
    assert world.follow(asked(), RUN_ID) and started == [RUN_ID]
    first = json.loads(places.record(RUN_ID).read_text())
    assert (first["training"], first["app"]["name"], first["revision"]) == (asked().name, asked().name, 1)
    assert world.follow(asked(), RUN_ID) and started == [RUN_ID], "its watcher may be starting"
    assert json.loads(places.record(RUN_ID).read_text()) == first
