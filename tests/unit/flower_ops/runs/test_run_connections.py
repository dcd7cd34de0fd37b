# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where flwr takes its connection from, in each version, and what that means for the app that is submitted."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import tomllib
from conftest_runs import APP, RUN_ID, FakeFlwr
from flower_ops import profiles
from flower_ops.flower_cli.flwr_cli import FlwrCliError, connection_files, sentence
from flower_ops.runs.copy import without_connections
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.runs.submit import submit

OWN = """
[tool.flwr.federations]
default = "elsewhere"

[tool.flwr.federations.elsewhere]  # of the developer's machine
address = "10.0.0.1:9093"
root-certificates = "/home/me/ca.crt"

[tool.flwr.federations."local-simulation"]
options.num-supernodes = 10

[tool.other]
kept = true
"""


@pytest.fixture(autouse=True)
def _nobody_follows(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is submitted here is not followed."""
    monkeypatch.setattr("flower_ops.runs.submit.start_watcher", lambda places, run_id: None)


@pytest.fixture
def app(tmp_path: Path) -> Path:
    folder = tmp_path / "toy"
    (folder / "toy/data").mkdir(parents=True)
    (folder / "pyproject.toml").write_text(APP)
    (folder / "toy/server.py").write_text("app = 1\n")
    (folder / "toy/data/images.npz").write_bytes(b"data of the node")
    return folder


def tell(places: Places, version: str) -> None:
    """Write the connection as the agent does."""
    for name, content in connection_files(profiles.profile(version), "127.0.0.1:9093", "/c/ca.crt").items():
        path = places.root / "opt/flower/cli" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)


def submitted(flwr: FakeFlwr) -> dict[str, Any]:
    """The pyproject.toml that flwr saw."""
    return tomllib.loads((flwr.state / "project.toml").read_text())


@pytest.mark.parametrize("version", profiles.known())
def test_connection_is_where_each_version_looks_for_it(version: str) -> None:
    for ca, trust in (("/c/ca.crt", {"root-certificates": "/c/ca.crt"}), (None, {"insecure": True})):
        ((name, content),) = connection_files(profiles.profile(version), "[::1]:9093", ca).items()
        told = tomllib.loads(content.decode())
        old = version == "1.25.0"
        table = told["tool"]["flwr"]["federations"] if old else told["superlink"]
        assert name == ("app/pyproject.toml" if old else "config.toml")
        assert table == {"default": "federation", "federation": {"address": "[::1]:9093", **trust}}


def test_every_command_of_1_25_names_the_folder_with_the_connection(flwr: FakeFlwr, tmp_path: Path) -> None:
    flwr.install("1.25.0")
    flwr.run_states("running")
    cli, folder = flwr.cli(), str(flwr.home / "app")
    cli.list_runs(RUN_ID)
    cli.stop(RUN_ID)
    cli.supernodes()
    cli.register(tmp_path / "key.pub")
    cli.run(tmp_path)
    cli.log_stream(RUN_ID).communicate()
    assert [[word for word in call["words"] if word not in ("--format", "json")] for call in flwr.calls] == [
        ["ls", folder, "federation", "--run-id", RUN_ID],
        ["stop", RUN_ID, folder, "federation"],
        ["supernode", "list", folder, "federation"],
        ["supernode", "register", str(tmp_path / "key.pub"), folder, "federation"],
        ["run", str(tmp_path), "federation"],
        ["log", RUN_ID, folder, "federation", "--stream"],
    ]


@pytest.mark.parametrize("own", ["", OWN])
def test_1_25_gets_a_copy_of_the_app_with_our_connection(places: Places, flwr: FakeFlwr, app: Path, own: str) -> None:
    flwr.install("1.25.0")
    tell(places, "1.25.0")
    (app / "pyproject.toml").write_text(APP + own)
    before = {path: path.read_bytes() for path in app.rglob("*") if path.is_file()}
    submit(places, app, {})
    told = submitted(flwr)
    assert told["tool"]["flwr"].pop("federations") == {
        "default": "federation",
        "federation": {"address": "127.0.0.1:9093", "root-certificates": "/c/ca.crt"},
    }
    wanted = tomllib.loads(APP + own)
    wanted["tool"]["flwr"].pop("federations", None)
    assert told == wanted
    # What is no part of an app is not copied, and the copy is gone.
    assert json.loads((flwr.state / "files.json").read_text()) == ["pyproject.toml", "toy", "toy/server.py"]
    assert list((places.root / "opt/flower/apps").iterdir()) == []
    assert {path: path.read_bytes() for path in app.rglob("*") if path.is_file()} == before


def test_later_versions_never_see_the_connections_of_an_app(places: Places, flwr: FakeFlwr, app: Path) -> None:
    """They would move them into the settings of this machine, and change the file."""
    submit(places, app, {})
    assert flwr.calls[-1]["words"][1] == str(app)
    (app / "pyproject.toml").write_text(APP + OWN)
    submit(places, app, {})
    assert flwr.calls[-1]["words"][1] != str(app)
    assert "federations" not in submitted(flwr)["tool"]["flwr"] and submitted(flwr)["tool"]["other"] == {"kept": True}


@pytest.mark.parametrize("version", ["1.25.0", "1.34.0"])
@pytest.mark.parametrize(
    "own",
    [
        '[tool.flwr]\nfederations = {default = "x", x = {address = "a:1"}}\n',
        '[tool.flwr]\nfederations.x.address = "a:1"\n',
    ],
)
def test_connections_that_cannot_be_left_out_are_refused(
    places: Places, flwr: FakeFlwr, app: Path, version: str, own: str
) -> None:
    flwr.install(version)
    tell(places, version)
    (app / "pyproject.toml").write_text(own + APP)
    with pytest.raises(RunError, match=r"defines \[tool.flwr.federations\] in a way that cannot be left out"):
        submit(places, app, {})
    assert flwr.calls == [] and list((places.root / "opt/flower/apps").iterdir()) == []


def test_1_25_before_the_superlink_is_configured(places: Places, flwr: FakeFlwr, app: Path) -> None:
    flwr.install("1.25.0")
    with pytest.raises(RunError, match="configure this SuperLink first"):
        submit(places, app, {})
    with pytest.raises(FlwrCliError):
        places.cli().own_connection()


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (APP, APP),
        ("", ""),
        ("a = 1\n[ tool . flwr . federations ]\nx = 1\n[[b]]\n", "a = 1\n[[b]]\n"),
        ("[tool.flwr.federationsx]\na = [\n  1,\n]\n", "[tool.flwr.federationsx]\na = [\n  1,\n]\n"),
        ("[tool.flwr.federations.a]\nx = 1\r\n[b]\r\ny = 2", "[b]\r\ny = 2"),
        ("[tool.flwr.federations.a]\nx = [\n  1,\n]\n[b]\n", "[b]\n"),
    ],
)
def test_tables_of_connections_are_cut_out_of_the_text(text: str, wanted: str) -> None:
    assert without_connections(text) == wanted
    assert without_connections(wanted) == wanted


def test_what_1_25_says_before_what_matters() -> None:
    said = (
        "Loading project configuration... \nSuccess\nCreating a new `.gitignore` with `.credentials` entry...\n"
        " Listing all runs...\nConnection to the SuperLink is unavailable. Please check.\n\n"
    )
    assert sentence(said) == "Connection to the SuperLink is unavailable. Please check."
