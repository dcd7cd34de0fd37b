# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Plain `flwr run` with the connection that a laptop is given, on every version, by an app that knows nothing of us."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles
from flower_ops.runs.connection import connection
from flower_ops.runs.known import known

from .conftest import Make
from .environments import environment
from .processes import wait_until

APP = Path(__file__).resolve().parents[1] / "e2e/apps/quickstart"


class Laptop:
    """Another machine with Flower's command line and settings of its own."""

    def __init__(self, folder: Path, version: str, profile: str, in_app: bool) -> None:
        self.app, self.in_app = folder / "quickstart", in_app
        shutil.copytree(APP, self.app, ignore=shutil.ignore_patterns("__pycache__"))
        self.flwr = environment(version) / "bin/flwr"
        home = folder / "flwr-home"
        home.mkdir()
        self.environment = {**os.environ, **profiles.ENVIRONMENT, "FLWR_HOME": str(home), "HOME": str(folder)}
        if in_app:
            with (self.app / "pyproject.toml").open("a") as project:
                project.write(f"\n{profile}")
        else:
            (home / "config.toml").write_text(profile)

    def call(self, *words: str) -> str:
        done = subprocess.run(
            [self.flwr, *words], env=self.environment, capture_output=True, text=True, check=False, timeout=300
        )
        return done.stdout + done.stderr

    def json(self, *words: str) -> dict[str, Any]:
        """The answer of a command that names no app but in the versions that need one."""
        text = self.call(*words, *([str(self.app)] if self.in_app else []), "laptop", "--format", "json")
        return dict(json.loads(text[text.index("{") :]))


@pytest.mark.parametrize("version", profiles.known())
def test_an_app_that_knows_nothing_of_us_is_run_from_a_laptop(federation: Make, tmp_path: Path, version: str) -> None:
    lane = federation(version)
    lane.start()
    certificate = tmp_path / "ca.crt"
    told = connection(lane.places, "laptop", lane.control, str(certificate))
    certificate.write_text(told["certificate"])
    assert told["tls"] and told["flower_version"] == version and told["address"] == lane.control
    laptop = Laptop(tmp_path, version, told["profile"], told["in_app"])
    said = laptop.call("run", str(laptop.app), "laptop", "--stream")
    assert "The line is y = 3.0 x + 1.0" in said, said
    wait_until(lambda: laptop.json("ls")["runs"][0]["status"] == "finished:completed", 60, said)
    (run,) = known(lane.places)["runs"]
    assert (run["status"], run["recorded"], run["app"]["name"]) == ("finished:completed", False, "quickstart")
