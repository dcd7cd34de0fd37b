# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""FlwrCli against an executable whose exit status is 0 whatever happens, as that of flwr is."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from conftest_runs import RUN_ID, FakeFlwr
from flower_ops import profiles
from flower_ops.flower_cli.flwr_cli import FlwrCli, FlwrCliError, find_json, sentence


def test_refused_run_is_an_error_although_flwr_exits_with_0(flwr: FakeFlwr, tmp_path: Path) -> None:
    flwr.set("refuse_run", 1)
    with pytest.raises(FlwrCliError) as caught:
        flwr.cli().run(tmp_path)
    assert str(caught.value) == f"Cannot submit the app {tmp_path}: [code: 15] Invalid run configuration."
    assert not caught.value.unreachable


def test_superlink_down_is_an_error_although_flwr_exits_with_0(flwr: FakeFlwr) -> None:
    flwr.set("unreachable", 1)
    with pytest.raises(FlwrCliError, match="Connection to the SuperLink is unavailable") as caught:
        flwr.cli().list_runs()
    assert caught.value.unreachable and "\n" not in str(caught.value)


def test_ids_keep_all_their_digits(flwr: FakeFlwr, tmp_path: Path) -> None:
    assert flwr.cli().run(tmp_path) == RUN_ID
    assert flwr.cli().register(tmp_path / "key.pub") == "12622273257106768163"


def test_commands_and_environment(flwr: FakeFlwr, tmp_path: Path) -> None:
    flwr.run_states("running")
    cli = flwr.cli()
    cli.run(tmp_path, tmp_path / "c.toml") if (tmp_path / "c.toml").write_text("a = 1\n") else None
    assert cli.list_runs(RUN_ID)[0]["status"] == "running"
    assert cli.supernodes() == [{"node-id": "17", "status": "online"}]
    cli.stop(RUN_ID)
    words = [call["words"] for call in flwr.calls]
    assert words[0] == ["run", str(tmp_path), "federation", "-c", str(tmp_path / "c.toml"), "--format", "json"]
    assert words[1] == ["ls", "federation", "--run-id", RUN_ID, "--format", "json"]
    environment = flwr.calls[0]["env"]
    assert environment["FLWR_HOME"] == str(flwr.home) and environment["PATH"].startswith(f"{flwr.binary.parent}:")
    assert (environment["FLWR_TELEMETRY_ENABLED"], environment["FLWR_DISABLE_UPDATE_CHECK"]) == ("0", "1")
    assert "PYTHONDONTWRITEBYTECODE" not in environment


@pytest.mark.parametrize("version", profiles.known())
def test_all_runs_are_listed_not_the_newest(flwr: FakeFlwr, version: str) -> None:
    """The SuperLink of 1.41 lists 20 when no number is given; the command of 1.25 knows no number."""
    flwr.install(version)
    flwr.run_states("running")
    cli = flwr.cli()
    assert cli.list_runs() and cli.list_runs(RUN_ID)
    whole, one = (call["words"] for call in flwr.calls)
    assert ("--limit" in whole) is (version == "1.41.0") and "--limit" not in one, "it goes not with --run-id"
    assert "--limit" not in whole or int(whole[whole.index("--limit") + 1]) >= 100_000


def test_unknown_run_cannot_be_stopped(flwr: FakeFlwr) -> None:
    with pytest.raises(FlwrCliError, match="Cannot stop run 5: .*Run ID not found"):
        flwr.cli().stop("5")


def test_log_is_a_stream(flwr: FakeFlwr) -> None:
    flwr.run_states("running")
    flwr.logs("one\ntwo\n")
    with flwr.cli().log_stream(RUN_ID) as process:
        assert isinstance(process, subprocess.Popen) and process.stdout is not None
        assert process.stdout.read() == b"one\ntwo\n"


def test_no_executable(tmp_path: Path) -> None:
    with pytest.raises(FlwrCliError, match="Cannot start .*nowhere"):
        FlwrCli(tmp_path / "nowhere", tmp_path, user=None).list_runs()


def test_no_answer_in_time(flwr: FakeFlwr) -> None:
    flwr.binary.write_text("#!/bin/sh\nexec sleep 20\n")
    cli = FlwrCli(flwr.binary, flwr.home, user=None, timeout=0.2)
    with pytest.raises(FlwrCliError, match="no answer within") as caught:
        cli.list_runs()
    assert caught.value.unreachable


def test_output_without_json(flwr: FakeFlwr) -> None:
    flwr.binary.write_text("#!/bin/sh\necho 'ERROR : Exit Code: 500'\nexit 1\n")
    with pytest.raises(FlwrCliError, match=r"no JSON answer \(ERROR : Exit Code: 500\)"):
        flwr.cli().register("key.pub")


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ('noise {not json}\n{"a": 1}\n', {"a": 1}),
        ('{"a": 1}\n{"a": 2}\ntail', {"a": 2}),
        ('{\n  "a": {\n    "b": 2\n  }\n}', {"a": {"b": 2}}),
        ("{broken\n", None),
        ("", None),
    ],
)
def test_find_json(text: str, wanted: object) -> None:
    assert find_json(text) == wanted


def test_sentence_of_an_error_box() -> None:
    box = "╭─ Error ─────╮\n│ [code: 16] Run ID not found. │\n╰─────╯"
    assert sentence(box).endswith("[code: 16] Run ID not found.") and "─" not in sentence(box)
