# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings as those who ask for them see them: asked for once, waited for, their runs put together."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from flower_ops.cli import main
from flower_ops.runs import record as records
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor import handed, view
from flower_ops.supervisor.model import Attempt, Memory, State
from flower_ops.supervisor.shelf import Shelf

CONFIG = {"num-server-rounds": 5, "min-available-clients": 1, "checkpoint-path": "", "training": "", "output-dir": ""}
BEGIN = 1_800_000_000.0


def make_app(folder: Path, config: dict[str, Any]) -> Path:
    (folder / "pkg").mkdir(parents=True)
    (folder / "pkg/server.py").write_text("app = None\n")
    values = "".join(f"{key} = {json.dumps(value)}\n" for key, value in config.items())
    (folder / "pyproject.toml").write_text(
        '[project]\nname = "digits"\nversion = "1.2.0"\n[tool.flwr.app.components]\nserverapp = "a:a"\n'
        f'clientapp = "b:b"\n[tool.flwr.app.config]\n{values}'
    )
    return folder


@pytest.fixture
def app(tmp_path: Path) -> Path:
    return make_app(tmp_path / "app", CONFIG)


@pytest.fixture
def place(tmp_path: Path) -> Places:
    found = Places(tmp_path / "root")
    found.runs.mkdir(parents=True)
    return found


def one_round(number: int, results: int = 2, done: bool = True, **more: Any) -> dict[str, Any]:
    return {"round": number, "nodes": 2, "results": results, "errors": [], "done": done, "seconds": 4.0, **more}


def run(place: Places, run_id: str, rounds: list[dict[str, Any]], status: str = "running", **more: Any) -> None:
    record = records.new_record(run_id, {"name": "digits", "version": "1.2.0"}, place.runs / "out", "digits")
    record.update(status=status, rounds=rounds, nodes=2, num_rounds=5, **more)
    records.save(place.record(run_id), record)


def remember(place: Places, name: str, state: State, *attempts: Attempt, reason: str = "") -> None:
    shelf = Shelf(place)
    shelf.keep(name, Memory(asked=shelf.one(name).at, attempts=attempts, state=state, reason=reason))


def names(place: Places) -> list[str]:
    return [one["training"] for one in view.trainings(place)]


# -- asked for once --------------------------------------------------------------------------------------------------


def test_what_is_under_way_is_not_begun_a_second_time(place: Places, app: Path) -> None:
    first = handed.hand_over(place, str(app), {"num-server-rounds": 7}, "big", once=True)
    assert first["changed"]
    second = handed.hand_over(place, str(app), {"num-server-rounds": "7"}, "big", once=True)
    assert not second["changed"] and second["training"] == first["training"]
    foreseen = handed.hand_over(place, str(app), {"num-server-rounds": 7}, "big", once=True, check=True)
    assert not foreseen["changed"] and names(place) == [first["training"]]
    # When it has ended, the same words ask for another one.
    remember(place, first["training"], State.COMPLETED)
    third = handed.hand_over(place, str(app), {"num-server-rounds": 7}, "big", once=True)
    assert third["changed"] and third["training"] != first["training"]


def test_another_wish_under_a_name_that_is_taken_is_refused(place: Places, app: Path) -> None:
    first = handed.hand_over(place, str(app), {}, "big", once=True)["training"]
    with pytest.raises(RunError) as values:
        handed.hand_over(place, str(app), {"num-server-rounds": 9}, "big", once=True)
    assert f"The training {first} is under way with num-server-rounds 5 instead of 9; stop it" in str(values.value)
    (app / "pkg/server.py").write_text("app = 1\n")
    with pytest.raises(RunError, match="with another state of the app; stop it"):
        handed.hand_over(place, str(app), {}, "big", once=True, check=True)
    assert names(place) == [first]


def test_without_a_name_another_wish_is_another_training(place: Places, app: Path) -> None:
    first = handed.hand_over(place, str(app), {}, once=True)
    other = handed.hand_over(place, str(app), {"num-server-rounds": 9}, once=True)
    assert other["changed"] and other["training"] != first["training"]
    assert handed.hand_over(place, str(app), {}, once=True)["training"] == first["training"]
    with pytest.raises(RunError, match="Several trainings called digits are under way: "):
        view.status(place, "digits")


def test_two_who_ask_at_once_get_one_training(place: Places, app: Path) -> None:
    got: list[dict[str, Any]] = []
    ask = [
        threading.Thread(target=lambda: got.append(handed.hand_over(place, str(app), {}, "x", once=True)))
        for _number in range(6)
    ]
    for one in ask:
        one.start()
    for one in ask:
        one.join()
    assert sorted(one["changed"] for one in got) == [False] * 5 + [True] and len(names(place)) == 1


def test_a_look_ahead_writes_nothing(place: Places, app: Path) -> None:
    found = handed.hand_over(place, str(app), {}, check=True)
    assert found["changed"] and found["training"] == "digits" and not (place.root / "opt/flower/trainings").exists()
    with pytest.raises(RunError, match="unknown key rounds"):
        handed.hand_over(place, str(app), {"rounds": 1}, check=True)


# -- asked for again, and no longer ----------------------------------------------------------------------------------


def test_a_training_goes_on_only_where_something_is_left_to_do(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    assert not handed.again(place, name)["changed"], "it waits already"
    remember(place, name, State.COMPLETED)
    assert not handed.again(place, name)["changed"], "all rounds are done"
    assert not handed.again(place, name, {"num-server-rounds": 5})["changed"], "the app's own number"
    foreseen = handed.again(place, "digits", {"num-server-rounds": 8}, check=True)
    assert foreseen["changed"] and foreseen["state"] == "completed"
    more = handed.again(place, "digits", {"num-server-rounds": 8})
    assert more["changed"] and more["state"] == "waiting"
    assert not handed.again(place, "digits", {"num-server-rounds": 8})["changed"]
    remember(place, name, State.COMPLETED)
    assert not handed.again(place, "digits", {"num-server-rounds": 8})["changed"], "all rounds are done"
    remember(place, name, State.FAILED)
    assert handed.again(place, "digits")["changed"]


def test_an_app_without_checkpoints_cannot_go_on(place: Places, tmp_path: Path) -> None:
    app = make_app(tmp_path / "plain", {"num-server-rounds": 1})
    name = handed.hand_over(place, str(app), {})["training"]
    with pytest.raises(RunError, match=f"The training {name} keeps no checkpoints from which it could go on"):
        handed.again(place, name)


def test_stopping_is_done_once(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {}, "x")["training"]
    assert handed.withdraw(place, "x", check=True)["changed"] and not Shelf(place).one(name).withdrawn
    assert handed.withdraw(place, "x")["changed"] and Shelf(place).one(name).withdrawn
    assert not handed.withdraw(place, "x")["changed"]
    remember(place, name, State.STOPPED)
    # Its end is another one's: the next of that name can be begun.
    assert handed.hand_over(place, str(app), {}, "x", once=True)["changed"]


# -- looked at -------------------------------------------------------------------------------------------------------


def test_runs_are_put_together_and_lost_rounds_count_once(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    # The first run was killed in round 4, after the checkpoint of round 2; the second one goes on from there.
    run(
        place,
        "11",
        [one_round(n) for n in (1, 2, 3)] + [one_round(4, done=False)],
        "finished:failed",
        bytes_sent=10,
        bytes_recv=1,
        duration_s=20.0,
        started_at="2026-11-22T00:00:02Z",
        initial={"loss": 2.3},
    )
    run(
        place,
        "12",
        [one_round(n, seconds=5.0) for n in (3, 4, 5)],
        "finished:completed",
        bytes_sent=30,
        bytes_recv=3,
        duration_s=12.5,
        finished_at="2026-11-22T00:09:02Z",
        log_tail=["end"],
    )
    first = Attempt("11", BEGIN, 0, "broken", "the run ended without a word", 2, BEGIN + 60)
    remember(place, name, State.COMPLETED, first, Attempt("12", BEGIN + 70, 2, "done", "", 5, BEGIN + 99))
    found = view.status(place, name)
    assert [(one["round"], one["run_id"]) for one in found["rounds"]] == [
        (1, "11"), (2, "11"), (3, "12"), (4, "12"), (5, "12"),
    ]  # fmt: skip
    assert [(one["run_id"], one["ended"], one["from_round"]) for one in found["runs"]] == [
        ("11", "broken", 0), ("12", "done", 2),
    ]  # fmt: skip
    assert (found["status"], found["succeeded"], found["degraded"]) == ("finished:completed", True, False)
    assert (found["bytes_sent"], found["bytes_recv"], found["duration_s"]) == (40, 4, 32.5)
    assert (found["started_at"], found["finished_at"]) == ("2026-11-22T00:00:02Z", "2026-11-22T00:09:02Z")
    assert (found["initial"], found["log_tail"], found["run"]["run_id"]) == ({"loss": 2.3}, ["end"], "12")


def test_a_round_with_a_result_missing_makes_a_training_degraded(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    run(place, "11", [one_round(1, results=1), one_round(2)], "finished:failed")
    run(place, "12", [one_round(3), one_round(4), one_round(5)], "finished:completed")
    remember(place, name, State.COMPLETED, Attempt("11", BEGIN, 0, "broken"), Attempt("12", BEGIN + 9, 2, "done"))
    found = view.status(place, name)
    assert found["degraded"] and found["succeeded"] and found["reason"].startswith("round 1: 1 of 2 results")
    # The supervisor tells the same, in the journal and to OneGate.
    assert view.shortfall(place, Shelf(place).recall(name)) == found["reason"]


def test_what_a_run_without_a_record_lacked_is_unknown(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    run(place, "12", [one_round(4), one_round(5)], "finished:completed")
    remember(place, name, State.COMPLETED, Attempt("11", BEGIN, 0, "broken"), Attempt("12", BEGIN + 9, 3, "done"))
    found = view.status(place, name)
    assert found["degraded"] is None and found["succeeded"] is True
    place.record("12").unlink()
    found = view.status(place, name)
    assert found["degraded"] is None and found["succeeded"] is None


def test_a_training_that_got_no_result_at_all_did_not_succeed(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    run(place, "11", [one_round(1, results=0)], "finished:completed")
    remember(place, name, State.COMPLETED, Attempt("11", BEGIN, 0, "done"))
    assert not view.status(place, name)["succeeded"]


def test_before_its_first_run_it_says_what_it_waits_for(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    remember(place, name, State.WAITING, reason="1 of 2 nodes are online")
    found = view.status(place, name)
    assert (found["waiting"], found["status"], found["run"]) == ("1 of 2 nodes are online", "pending", None)
    assert found["rounds"] == [] and found["files"] == [] and found["app"]["name"] == "digits"


def test_a_record_that_is_lost_or_damaged_hides_nothing_else(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    place.record("11").write_text("{")
    run(place, "12", [one_round(2)])
    attempts = [Attempt(run_id, BEGIN + number) for number, run_id in enumerate(("10", "11", "12"))]
    remember(place, name, State.RUNNING, *attempts)
    found = view.status(place, name)
    assert [one["run_id"] for one in found["runs"]] == ["10", "11", "12"]
    assert [one["round"] for one in found["rounds"]] == [2] and found["run"]["run_id"] == "12"
    remember(place, name, State.RUNNING, *attempts[:2])
    assert view.status(place, name)["run"] is None


def test_checkpoints_that_are_there_are_told_in_order(place: Places, app: Path) -> None:
    found = handed.hand_over(place, str(app), {})
    folder = Path(found["checkpoints"])
    folder.mkdir(parents=True)
    for number in ("round_10", "round_9", "round_x", "latest"):
        (folder / f"checkpoint_{number}.npz").touch()
    assert view.status(place, found["training"])["checkpoint_rounds"] == [9, 10]


def test_whether_a_supervisor_is_there(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    assert view.status(place, name)["supervised"] is False
    with (place.runs / view.LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert view.status(place, name)["supervised"] is True
    assert view.status(place, name)["supervised"] is False


# -- waited for ------------------------------------------------------------------------------------------------------


def test_a_wait_ends_with_the_first_news(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    seen = view.status(place, name)["progress"]
    begun = time.monotonic()
    assert view.status(place, name, wait=0.3, seen=seen)["progress"] == seen and time.monotonic() - begun >= 0.3
    later = threading.Timer(0.2, lambda: remember(place, name, State.WAITING, reason="0 of 2 nodes are online"))
    later.start()
    begun = time.monotonic()
    assert view.status(place, name, wait=20, seen=seen)["waiting"] == "0 of 2 nodes are online"
    later.join()
    remember(place, name, State.STOPPED)
    final = view.status(place, name)["progress"]
    assert view.status(place, name, wait=20, seen=final)["finished"] and time.monotonic() - begun < 10


def test_every_event_of_a_training_is_news(place: Places, app: Path) -> None:
    name = handed.hand_over(place, str(app), {})["training"]
    told = [view.status(place, name)["progress"]]

    def news() -> None:
        told.append(view.status(place, name)["progress"])

    run(place, "11", [])
    remember(place, name, State.RUNNING, Attempt("11", BEGIN))
    news()
    run(place, "11", [one_round(1), one_round(2, done=False)])
    news()
    remember(place, name, State.WAITING, Attempt("11", BEGIN, 0, "broken", "gone", 1), reason="gone")
    news()
    run(place, "12", [])
    remember(place, name, State.RUNNING, Attempt("11", BEGIN, 0, "broken", "gone", 1), Attempt("12", BEGIN + 9, 1))
    news()
    assert len(set(told)) == len(told) == 5


def test_the_commands(place: Places, app: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(place.root), "--json"]

    def call(*words: str) -> Any:
        assert main(["training", *words, *root]) == 0
        return json.loads(capsys.readouterr().out)

    start = ["start", "--app", str(app), "--name", "x", "--once"]
    assert call(*start, "--check")["changed"] and call("list") == []
    name = call(*start)["training"]
    assert not call(*start)["changed"]
    seen = call("status", "--training", "x")["progress"]
    assert call("status", "--training", "x", "--wait", "0.1", "--seen", seen)["training"] == name
    assert call("stop", "--training", "x", "--check")["changed"] and call("stop", "--training", "x")["changed"]
    assert call("resume", "--training", "x", "--check")["changed"]
