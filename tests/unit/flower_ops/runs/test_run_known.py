# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is known of runs, also of those that others submitted, and how the Control API is reached from elsewhere."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from conftest_runs import RUN_ID, FakeFlwr
from flower_ops import profiles
from flower_ops.cli import main
from flower_ops.flower_cli.flwr_cli import connection_files
from flower_ops.runs import record as records
from flower_ops.runs.app import tomllib
from flower_ops.runs.connection import connection
from flower_ops.runs.errors import RunError
from flower_ops.runs.files import files_of
from flower_ops.runs.known import known, stop_known
from flower_ops.runs.record import Places

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"


def recorded_run(places: Places, run_id: str, status: str = "finished:completed", **more: Any) -> Path:
    record = records.new_record(run_id, {"name": "digits", "version": "1"}, places.runs / f"out-{run_id}")
    record.update(status=status, submitted_at="2026-11-21T00:00:00Z", **more)
    path = places.record(run_id)
    records.save(path, record)
    return path


def test_runs_with_and_without_a_record(places: Places, flwr: FakeFlwr) -> None:
    recorded_run(places, "5")
    (places.runs / "out-5").mkdir()
    (places.runs / "out-5/model.npz").write_bytes(b"12345")
    (places.runs / "digits-1a2b3c4d.training.json").write_text("{}")
    flwr.run_states("running", **{"fab-id": "someone/theirs", "fab-name": "theirs", "fab-version": "2.0"})
    found = known(places)
    assert found["warnings"] == []
    other, mine = found["runs"]
    assert (other["run_id"], other["recorded"], other["app"]) == (RUN_ID, False, {"name": "theirs", "version": "2.0"})
    assert (other["status"], other["finished"], other["files"], other["output_dir"]) == ("running", False, [], "")
    assert other["submitted_at"] == "2026-11-22T00:00:00Z" and other["bytes_recv"] == 193794
    assert (mine["run_id"], mine["recorded"], mine["succeeded"]) == ("5", True, True)
    assert mine["files"] == [{"name": "model.npz", "path": f"{places.runs}/out-5/model.npz", "size": 5}]


def test_checkpoints_are_no_files_to_take_home(places: Places) -> None:
    folder = places.runs / "out"
    store = ["checkpoint_round_1.npz", "checkpoint_round_12.npz", "checkpoint_latest.npz", "checkpoint_latest.json"]
    store += [".lock", ".new-7-checkpoint_round_13.npz", "digits-1a2b3c4d/checkpoint_round_2.npz"]
    others = ["checkpoints/mine.pt", "logs/checkpoint_notes.txt", "model.npz", "run-config.toml"]
    for name in [*(f"checkpoints/{one}" for one in store), "checkpoint_round_3.npz", *others]:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"arrays")
    assert [one["name"] for one in files_of(folder, None)["files"]] == others


def test_a_run_that_nobody_follows_is_told_as_flower_says_and_its_record_stays(places: Places, flwr: FakeFlwr) -> None:
    path = recorded_run(places, RUN_ID, "running", watcher=None)
    before = path.read_bytes()
    flwr.run_states("finished:stopped")
    (one,) = known(places, RUN_ID)["runs"]
    assert (one["status"], one["reason"]) == ("finished:stopped", "stopped on request")
    assert path.read_bytes() == before


@pytest.mark.parametrize("recorded", [False, True], ids=["without a record", "nobody followed it to its end"])
def test_what_a_run_lacked_whose_rounds_nobody_read_is_unknown(places: Places, flwr: FakeFlwr, recorded: bool) -> None:
    if recorded:
        recorded_run(places, RUN_ID, "running", watcher=None)
    flwr.run_states("finished:completed")
    (one,) = known(places, RUN_ID)["runs"]
    assert (one["finished"], one["degraded"], one["succeeded"]) == (True, None, None)
    flwr.run_states("finished:failed")
    (one,) = known(places, RUN_ID)["runs"]
    assert (one["degraded"], one["succeeded"]) == (False, False)


def test_one_run_that_has_ended_asks_nobody(places: Places, flwr: FakeFlwr) -> None:
    recorded_run(places, "5")
    assert [one["run_id"] for one in known(places, "5")["runs"]] == ["5"] and flwr.calls == []


def test_while_the_superlink_is_down_records_are_shown_and_it_is_said(places: Places, flwr: FakeFlwr) -> None:
    recorded_run(places, "5")
    flwr.set("unreachable", 1)
    found = known(places)
    assert [one["run_id"] for one in found["runs"]] == ["5"]
    assert "Only runs with a record are shown: Cannot list the runs" in found["warnings"][0]
    with pytest.raises(RunError, match="There is no run 6 on this SuperLink; Only runs with a record"):
        known(places, "6")


def test_a_damaged_record_hides_no_other(places: Places, flwr: FakeFlwr) -> None:
    recorded_run(places, "5")
    places.record("6").write_text("{")
    found = known(places)
    assert [one["run_id"] for one in found["runs"]] == ["5"]
    assert len(found["warnings"]) == 1 and "6.json cannot be read" in found["warnings"][0]


def test_a_run_of_somebody_else_is_stopped_too(places: Places, flwr: FakeFlwr) -> None:
    flwr.run_states("running", **{"fab-name": "theirs"})
    stopped = stop_known(places, RUN_ID)
    assert stopped["stopped"] and stopped["status"] == "finished:stopped" and not stopped["recorded"]
    again = stop_known(places, RUN_ID)
    assert not again["stopped"] and [call["words"][0] for call in flwr.calls].count("stop") == 1


def test_an_unknown_run(places: Places, flwr: FakeFlwr) -> None:
    with pytest.raises(RunError, match="There is no run 6 on this SuperLink; look at all of them"):
        known(places, "6")
    with pytest.raises(RunError, match="is not a run id"):
        known(places, "../6")


def configured(places: Places, flwr: FakeFlwr, version: str, trusted: str | None) -> None:
    """The connection as the agent writes it."""
    flwr.install(version)
    for name, content in connection_files(profiles.profile(version), "127.0.0.1:9093", trusted).items():
        path = places.root / "opt/flower/cli" / name
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)


@pytest.mark.parametrize("version", profiles.known())
def test_a_profile_for_a_laptop(places: Places, flwr: FakeFlwr, version: str) -> None:
    configured(places, flwr, version, "/opt/flower/certs/ca.crt")
    certificate = places.root / "opt/flower/certs/ca.crt"
    certificate.parent.mkdir()
    certificate.write_text(PEM)
    found = connection(places, "hospital", "127.0.0.1:19093", "/home/me/ca.crt")
    assert (found["flower_version"], found["address"], found["tls"]) == (version, "127.0.0.1:9093", True)
    assert found["certificate"] == PEM
    told = tomllib.loads(found["profile"])
    table = told["tool"]["flwr"]["federations"] if version == "1.25.0" else told["superlink"]
    assert found["in_app"] is (version == "1.25.0")
    # Nothing about which one is the default: the file may have others.
    assert table == {"hospital": {"address": "127.0.0.1:19093", "root-certificates": "/home/me/ca.crt"}}


def test_a_profile_without_tls(places: Places, flwr: FakeFlwr) -> None:
    configured(places, flwr, "1.34.0", None)
    found = connection(places, "flower")
    assert (found["tls"], found["certificate"]) == (False, "")
    assert tomllib.loads(found["profile"])["superlink"] == {"flower": {"address": "127.0.0.1:9093", "insecure": True}}


@pytest.mark.parametrize("content", ["", "x", "[superlink]\n", "superlink = 3\n"])
def test_a_superlink_that_has_no_connection_to_itself(places: Places, flwr: FakeFlwr, content: str) -> None:
    with pytest.raises(RunError, match=r"Cannot read .*config\.toml .*; configure this SuperLink first"):
        connection(places, "flower")
    (places.root / "opt/flower/cli/config.toml").write_text(content)
    with pytest.raises(RunError, match="names no connection to this SuperLink"):
        connection(places, "flower")


def test_only_certificates_are_shown_whatever_the_settings_name(places: Places, flwr: FakeFlwr) -> None:
    """The settings belong to the account of apps, and root reads what they name."""
    configured(places, flwr, "1.34.0", "/etc/secret")
    (places.root / "etc").mkdir(exist_ok=True)
    key = "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n"
    (places.root / "etc/secret").write_text(f"CN=ca\n{PEM}{key}{PEM}")
    assert connection(places, "flower")["certificate"] == PEM + PEM
    (places.root / "etc/secret").write_text(key)
    with pytest.raises(RunError, match=r"secret holds no certificate\); configure it again"):
        connection(places, "flower")


@pytest.mark.parametrize("name", ["", "a.b", "a b", 'a"', "a]\n[b"])
def test_a_name_that_is_no_key_is_refused(places: Places, flwr: FakeFlwr, name: str) -> None:
    configured(places, flwr, "1.34.0", None)
    with pytest.raises(RunError, match="is no name of a connection; use letters, digits, _ and -"):
        connection(places, name)


def test_the_commands(places: Places, flwr: FakeFlwr, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = ["--root", str(places.root), "--json"]
    recorded_run(places, "5")
    assert main(["run", "info", "--run-id", "5", *root]) == 0
    assert json.loads(capsys.readouterr().out)["runs"][0]["run_id"] == "5"
    configured(places, flwr, "1.34.0", None)
    assert main(["run", "connection", "--name", "x", "--address", "127.0.0.1:1", *root]) == 0
    assert "[superlink.x]" in json.loads(capsys.readouterr().out)["profile"]
    app = tmp_path / "app"
    app.mkdir()
    (app / "pyproject.toml").write_text(
        "[project]\nname='toy'\nversion='2'\n[tool.flwr.app.components]\nserverapp='a:app'\nclientapp='a:app'\n"
        "[tool.flwr.app.config]\nrounds=1\n"
    )
    words = ["run", "submit", "--app", str(app), "--check", *root, "--run-config"]
    assert main([*words, '{"rounds": "3"}']) == 0
    assert json.loads(capsys.readouterr().out)["run_config"] == {"rounds": 3}
    assert main([*words, '{"round": 3}']) == 1
    assert "unknown key round " in json.loads(capsys.readouterr().out)["error"]
    assert [call["words"][0] for call in flwr.calls] == [] and list(places.runs.glob("toy*")) == []
