# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`flower-ops run …` as a program: submit, follow, stop, list."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
import tomllib
from conftest_runs import RUN_ID, FakeFlwr, recorded
from flower_ops.runs.cli import main
from flower_ops.runs.record import Places

DEMO = Path(__file__).parents[4] / "demos/sklearn"


def call(capsys: pytest.CaptureFixture[str], places: Places, *words: str, wanted: int = 0) -> Any:
    assert main([*words, "--json", "--root", str(places.root)]) == wanted
    return json.loads(capsys.readouterr().out)


def test_submit_follow_and_list(places: Places, flwr: FakeFlwr, capsys: pytest.CaptureFixture[str]) -> None:
    flwr.run_states("finished:completed")
    flwr.logs(recorded("completed"))
    new = call(capsys, places, "submit", "--app", str(DEMO), "--run-config", '{"num-server-rounds": "5"}')
    assert new["run_id"] == RUN_ID and new["status"] == "pending" and new["app"]["name"] == "digits"
    config = tomllib.loads((flwr.state / "submitted.toml").read_text())
    assert config == {"num-server-rounds": 5, "output-dir": new["output_dir"]}
    assert Path(new["output_dir"]).is_dir()

    seen, states = "", []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        found = call(capsys, places, "status", "--run-id", RUN_ID, "--wait", "5", "--seen", seen)
        seen = found["progress"]
        states.append(seen)
        if found["finished"]:
            break
    assert found["succeeded"] and states[-1] == "finished:completed 3" and len(found["rounds"]) == 3
    assert [one["name"] for one in found["files"]] == ["run-config.toml"]
    listed = call(capsys, places, "list")
    assert [(one["run_id"], one["status"], one["rounds"]) for one in listed] == [(RUN_ID, "finished:completed", 3)]


def test_nothing_is_left_of_a_refused_submission(
    places: Places, flwr: FakeFlwr, capsys: pytest.CaptureFixture[str]
) -> None:
    flwr.set("refuse_run", 1)
    answer = call(capsys, places, "submit", "--app", str(DEMO), wanted=1)
    assert "Invalid run configuration" in answer["error"] and list(places.runs.iterdir()) == []


def test_unknown_key_never_reaches_flower(places: Places, flwr: FakeFlwr, capsys: pytest.CaptureFixture[str]) -> None:
    answer = call(capsys, places, "submit", "--app", str(DEMO), "--run-config", '{"rounds": 5}', wanted=1)
    assert "unknown key rounds" in answer["error"] and "num-server-rounds" in answer["error"]
    assert flwr.calls == [] and list(places.runs.iterdir()) == []


@pytest.mark.parametrize("config", ["{", "[1]", "3"])
def test_configuration_that_is_no_object(places: Places, capsys: pytest.CaptureFixture[str], config: str) -> None:
    assert "JSON" in call(capsys, places, "submit", "--app", str(DEMO), "--run-config", config, wanted=1)["error"]


@pytest.mark.parametrize("run_id", ["7", "../../etc/passwd", "x"])
def test_unknown_run(places: Places, capsys: pytest.CaptureFixture[str], run_id: str) -> None:
    assert "run" in call(capsys, places, "status", "--run-id", run_id, wanted=1)["error"]


def test_stop_asks_flower_and_reports_the_new_state(
    places: Places, flwr: FakeFlwr, capsys: pytest.CaptureFixture[str]
) -> None:
    flwr.run_states("running")
    flwr.logs(recorded("stopped_while_waiting"))
    flwr.set("log_hangs", 1)
    call(capsys, places, "submit", "--app", str(DEMO))
    answer = call(capsys, places, "stop", "--run-id", RUN_ID)
    assert answer["stopped"] is True
    deadline = time.monotonic() + 20
    while not answer["finished"] and time.monotonic() < deadline:
        answer = call(capsys, places, "status", "--run-id", RUN_ID, "--wait", "5", "--seen", answer["progress"])
    assert answer["status"] == "finished:stopped" and not answer["succeeded"]
    again = call(capsys, places, "stop", "--run-id", RUN_ID)
    assert again["stopped"] is False
