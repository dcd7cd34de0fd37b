# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same walk on every lane: configured by the agent, TLS and keys, two nodes, one run, a verdict."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from flower_ops import profiles
from flower_ops.flower_cli.flwr_cli import FlwrCliError

from .conftest import Make
from .environments import environment
from .federation import APP


@pytest.mark.parametrize("version", profiles.known())
def test_walk(federation: Make, version: str) -> None:
    before = {path: path.read_bytes() for path in APP.rglob("*") if path.is_file() and path.suffix != ".pyc"}
    lane = federation(version)
    lane.start()
    assert sorted(lane.node_ids) == sorted(node["node-id"] for node in lane.cli.supernodes())
    run = lane.train(num_server_rounds=2)
    assert run["status"] == "finished:completed" and run["succeeded"] and not run["degraded"], run
    assert [(one["nodes"], one["results"], one["failures"]) for one in run["rounds"]] == [(2, 2, 0)] * 2
    assert run["duration_s"] > 0 and run["bytes_recv"] > 0 and run["finished_at"] >= run["started_at"]
    (vector,) = [Path(file["path"]) for file in run["files"] if file["name"] == "vector.txt"]
    assert vector.read_text().split() == ["3.0", "3.0", "1000"]
    assert [one["status"] for one in lane.cli.list_runs()] == ["finished:completed"]
    for node_id in lane.node_ids:
        lane.cli.unregister(node_id)
    assert "online" not in [node["status"] for node in lane.cli.supernodes()]
    with pytest.raises(FlwrCliError, match="Cannot stop run"):
        lane.cli.stop(run["run_id"])
    assert lane.superlink.stop() in lane.profile.superlink_exit
    # The folder that was submitted is as it was, and so is what the agent wrote.
    assert {path: path.read_bytes() for path in before} == before
    assert sorted(path.name for path in APP.iterdir() if not path.name.startswith("__")) == [
        "lane_app",
        "pyproject.toml",
    ]


@pytest.mark.parametrize("version", profiles.known())
def test_profile_says_what_the_package_asks_for(version: str) -> None:
    profile = profiles.profile(version)
    (packages,) = environment(version).glob("lib/python3*/site-packages")
    told = (packages / f"flwr-{version}.dist-info/METADATA").read_text()
    assert re.search(rf"^Requires-Python: {re.escape(profile.python)}", told, re.MULTILINE)
    (pin,) = re.findall(r"^Requires-Dist: cryptography ?\(?([^()\n]*)", told, re.MULTILINE)
    assert {re.sub(r"(\.0)+$", "", part) for part in pin.split(",")} == {
        re.sub(r"(\.0)+$", "", part) for part in profile.cryptography.split(",")
    }
