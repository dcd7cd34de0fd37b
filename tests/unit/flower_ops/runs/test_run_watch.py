# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher on recorded logs, and what it makes of broken streams and lying verdicts."""

from __future__ import annotations

import json
import math
import os
import pwd
from pathlib import Path
from typing import Any

import pytest
from conftest_runs import RUN_ID, FakeFlwr, recorded
from flower_ops.runs import record as records
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.runs.status import status
from flower_ops.runs.verdict import trained_nothing
from flower_ops.runs.watch import Watcher


def new_record(places: Places) -> Path:
    path = places.record(RUN_ID)
    records.save(path, records.new_record(RUN_ID, {"name": "digits", "version": "1"}, places.runs / "out"))
    return path


def watch(path: Path, flwr: FakeFlwr, silence: float = 5.0) -> dict[str, Any]:
    return Watcher(path, flwr.cli(), silence=silence, sleep=lambda seconds: None).watch()


def test_good_run(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:completed")
    flwr.logs(recorded("completed"))
    path = new_record(places)
    watch(path, flwr)
    found = json.loads(path.read_text())
    assert found["status"] == "finished:completed" and found["degraded"] is False and found["reason"] is None
    assert [one["central"]["accuracy"] > 0.85 for one in found["rounds"]] == [True] * 3
    assert (found["bytes_sent"], found["bytes_recv"], found["duration_s"]) == (197868, 193794, 23.1)
    assert (found["started_at"], found["nodes"], found["num_rounds"]) == ("2026-11-22T00:00:02Z", 2, 3)
    assert [call["words"][0] for call in flwr.calls] == ["log", "ls"], "one stream and one question"


def test_completed_run_in_which_a_node_failed_is_degraded(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:completed")
    flwr.logs(recorded("one_node_failing"))
    found = watch(new_record(places), flwr)
    assert found["degraded"] and "round 1: 1 of 2 results" in found["reason"] and "FileNotFoundError" in found["reason"]
    assert not trained_nothing(found) and status(places, RUN_ID)["succeeded"]


def test_completed_run_without_any_result_did_not_succeed(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:completed")
    flwr.logs(recorded("completed_without_results"))
    found = watch(new_record(places), flwr)
    assert found["status"] == "finished:completed" and trained_nothing(found)
    assert not status(places, RUN_ID)["succeeded"]


def test_results_that_the_strategy_dropped_count_for_nothing(places: Places, flwr: FakeFlwr) -> None:
    """How training tells it: see test_robust.py, which reads the log of its rounds."""
    flwr.run_states("finished:completed")
    lines = recorded("completed").splitlines()
    said = "WARNING :   Insufficient replies, skipping Bulyan aggregation: too few."
    places_of = [number for number, line in enumerate(lines) if "aggregate_train" in line]
    for number in places_of[:1:-1]:
        lines.insert(number + 1, said)
    flwr.logs("\n".join(lines))
    found = watch(new_record(places), flwr)
    assert found["degraded"] and not trained_nothing(found)
    assert found["reason"] == f"round 3: none of its results was used ({said[12:-1]})"
    for one in found["rounds"]:
        one["dropped"] = said
    assert trained_nothing(found)


@pytest.mark.parametrize("details", ["N/A", "ServerApp failed with exception: told by Flower"])
def test_failed_run_carries_its_own_error(places: Places, flwr: FakeFlwr, details: str) -> None:
    flwr.run_states("finished:failed", **{"status-details": details})
    flwr.logs(recorded("serverapp_failed"))
    found = watch(new_record(places), flwr)
    assert found["reason"].startswith("FileNotFoundError: no digits" if details == "N/A" else "ServerApp failed with")


def test_failed_run_without_results_names_the_nodes_error(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:failed", **{"status-details": "ServerApp failed"})
    flwr.logs(recorded("completed_without_results"))
    assert "ServerApp failed; first error of a node: node 29" in watch(new_record(places), flwr)["reason"]


def test_stopped_run_says_what_it_waited_for(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:stopped")
    flwr.logs(recorded("stopped_while_waiting"))
    found = watch(new_record(places), flwr)
    assert found["reason"] == "stopped on request while waiting for nodes: 2 connected, 3 needed"


def test_broken_stream_is_read_again_from_the_start(places: Places, flwr: FakeFlwr) -> None:
    whole = recorded("completed")
    flwr.run_states("running", "finished:completed")
    flwr.logs(whole[: whole.index("[ROUND 3/3]")], whole)
    found = watch(new_record(places), flwr)
    assert [one["round"] for one in found["rounds"]] == [1, 2, 3] and found["status"] == "finished:completed"
    assert [call["words"][0] for call in flwr.calls] == ["log", "ls", "log", "ls"]


def test_restarted_watcher_keeps_the_times_of_earlier_rounds(places: Places, flwr: FakeFlwr) -> None:
    path = new_record(places)
    record = records.load(path)
    record["rounds"] = [{"round": 1, "seconds": 7.5, "done": True}, {"round": 2, "seconds": 1.0, "done": False}]
    records.save(path, record)
    flwr.run_states("finished:completed")
    flwr.logs(recorded("completed"))
    found = watch(path, flwr)
    assert found["rounds"][0]["seconds"] == 7.5 and found["rounds"][1]["seconds"] != 1.0


def test_superlink_gone_for_a_while(places: Places, flwr: FakeFlwr) -> None:
    flwr.set("unreachable", 1)
    naps: list[float] = []

    def sleep(seconds: float) -> None:
        naps.append(seconds)
        if len(naps) == 3:
            flwr.set("unreachable", 0)
            flwr.run_states("finished:completed")
            flwr.logs(recorded("completed"))

    found = Watcher(new_record(places), flwr.cli(), silence=5, sleep=sleep).watch()
    assert found["status"] == "finished:completed" and naps == [1.0, 2.0, 5.0]


def test_superlink_gone_for_good(places: Places, flwr: FakeFlwr, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flower_ops.runs.watch.GIVE_UP_S", 0.0)
    flwr.set("unreachable", 1)
    path = new_record(places)
    with pytest.raises(RunError, match="has not answered"):
        watch(path, flwr)
    assert "has not answered" in json.loads(path.read_text())["reason"]


def test_stream_that_never_ends_does_not_hide_the_end_of_the_run(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:failed", **{"status-details": "No heartbeat received from the run."})
    flwr.logs(recorded("completed")[:1500])
    flwr.set("log_hangs", 60)
    found = watch(new_record(places), flwr, silence=0.3)
    assert found["reason"] == "No heartbeat received from the run."


def test_a_round_that_waits_for_a_lost_reply_is_told(places: Places, flwr: FakeFlwr) -> None:
    """As after a message that Flower 1.25 lost: the log stands still, and the state stays what it was."""
    flwr.run_states("running")
    log = recorded("completed")
    flwr.logs(log[: log.index("aggregate_train", log.index("[ROUND 2/3]"))])
    flwr.set("log_hangs", 60)
    path = new_record(places)
    told: list[str] = []
    cli = flwr.cli()
    ask = cli.list_runs

    def list_runs(run_id: str | None = None) -> list[dict[str, Any]]:
        waiting = json.loads(path.read_text())["waiting"]
        if waiting and waiting not in told:
            told.append(waiting)
        if len(told) == 2:
            flwr.run_states("finished:stopped")
        return ask(run_id)

    cli.list_runs = list_runs  # type: ignore[method-assign]
    found = Watcher(path, cli, silence=0.5, sleep=lambda seconds: None).watch()
    assert [text.rpartition(" for ")[0] for text in told] == ["round 2 has brought nothing new"] * 2
    assert found["reason"] == f"stopped on request while {told[-1]}"


def test_diverged_model_leaves_a_readable_record(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:completed")
    flwr.logs(recorded("completed").replace("0.17490463400013284", "nan"))
    path = new_record(places)
    watch(path, flwr)
    found = json.loads(path.read_text(), parse_constant=lambda text: math.nan)
    assert found["rounds"][2]["central"] == {"loss": None, "accuracy": 0.9554317548746518}


def test_watching_a_finished_run_does_nothing(places: Places, flwr: FakeFlwr) -> None:
    path = new_record(places)
    record = {**records.load(path), "status": "finished:completed"}
    records.save(path, record)
    watch(path, flwr)
    assert flwr.calls == []


def test_dead_watcher_is_told_and_flower_is_asked(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:completed")
    path = new_record(places)
    records.save(path, {**records.load(path), "status": "running", "watcher": 2**22 + 1})
    found = status(places, RUN_ID)
    assert found["finished"] and "ended early" in found["reason"]
    assert found["degraded"] is None and found["succeeded"] is None, "nothing of its log could be read"
    assert json.loads(path.read_text())["status"] == "finished:completed"


def test_the_log_of_a_run_whose_watcher_died_is_read_again(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("finished:completed")
    flwr.logs(recorded("one_node_failing"))
    path = new_record(places)
    records.save(path, {**records.load(path), "status": "running", "watcher": 2**22 + 1})
    found = status(places, RUN_ID)
    assert found["degraded"] is True and found["succeeded"] is True and "round 1: 1 of 2 results" in found["reason"]
    assert "ended early" not in found["reason"] and json.loads(path.read_text())["degraded"] is True


def test_pid_of_another_process_is_no_watcher(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("running")
    path = new_record(places)
    records.save(path, {**records.load(path), "status": "running", "watcher": os.getpid()})
    assert status(places, RUN_ID)["watched"] is False


def test_a_record_is_never_written_through_a_link_that_training_code_laid(places: Places, tmp_path: Path) -> None:
    victim = tmp_path / "of-root"
    victim.write_text("untouched")
    path = new_record(places)
    for name in (f".{path.name}.{os.getpid()}.tmp", f".{path.name}.tmp"):
        (path.parent / name).symlink_to(victim)
    path.unlink()
    path.symlink_to(victim)
    records.write_atomically(path, "new", pwd.getpwuid(os.getuid()).pw_name, mode=0o640)
    assert victim.read_text() == "untouched" and victim.stat().st_mode & 0o777 != 0o640
    assert not path.is_symlink() and path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640


def test_of_a_link_the_link_itself_changes_hands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A link to nothing: whoever followed it would fail.
    link = tmp_path / "link"
    link.symlink_to("/nowhere/at/all")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    records.give_to(link, pwd.getpwuid(os.getuid()).pw_name)
    assert link.is_symlink()
