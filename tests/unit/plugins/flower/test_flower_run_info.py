# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module flower_run_info on the real flower-ops, below a root of its own, with Flower's command that answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from module_runner import ModuleResult, run_module
from ops_machine import OpsMachine

APP = (
    '[project]\nname = "digits"\nversion = "1.0"\n[tool.flwr.app.components]\nserverapp = "a:a"\nclientapp = "b:b"\n'
    '[tool.flwr.app.config]\ntraining = ""\ncheckpoint-path = ""\n'
)


class SuperLink(OpsMachine):
    """One with trainings and runs."""

    def record(self, run_id: str, **more: Any) -> None:
        """The record of a run that has ended."""
        record = {
            "run_id": run_id, "app": {"name": "digits", "version": "1.0"}, "training": None, "revision": 2,
            "status": "finished:completed", "reason": None, "submitted_at": "2026-11-22T00:00:00Z", "rounds": [],
            "output_dir": str(self.home / "runs/out"), "watcher": None, **more,
        }  # fmt: skip
        (self.home / "runs" / f"{run_id}.json").write_text(json.dumps(record))

    def begin(self, name: str, *run_ids: str) -> None:
        """A training that has completed with these runs."""
        folder = self.home / "trainings" / name
        (folder / "app").mkdir(parents=True)
        (folder / "app/pyproject.toml").write_text(APP)
        asked = {"name": name, "mark": name.rpartition("-")[2], "app": str(folder / "app"), "at": 1.0, "resumes": True}
        (folder / "asked.json").write_text(json.dumps(asked))
        attempts = [{"run_id": run_id, "at": 2.0, "cause": "done"} for run_id in run_ids]
        memory = {"asked": 1.0, "state": "completed", "attempts": attempts}
        (self.home / "runs" / f"{name}.training.json").write_text(json.dumps(memory))
        for run_id in run_ids:
            self.record(run_id, training=name)

    def look(self, check: bool = False, **options: Any) -> ModuleResult:
        return run_module("flower_run_info", {"flower_home": str(self.home), **options}, check)


@pytest.fixture
def superlink(tmp_path: Path) -> SuperLink:
    found = SuperLink(tmp_path)
    found.begin("night-1a2b3c4d", "11", "12")
    found.record("5")
    theirs = {"run-id": "77", "fab-name": "theirs", "fab-version": "2.0", "status": "running"}
    found.flower({"success": True, "runs": [{**theirs, "pending-at": "2026-11-23 00:00:00Z"}]})
    return found


def test_everything_that_is_known(superlink: SuperLink) -> None:
    before = superlink.contents()
    for check in (False, True):
        found = superlink.look(check)
        assert found.ok and not found["changed"] and "warnings" not in found
        assert [(one["training"], one["state"]) for one in found["trainings"]] == [("night-1a2b3c4d", "completed")]
        assert [one["run_id"] for one in found["trainings"][0]["runs"]] == ["11", "12"]
        assert found["runs"][0]["run_id"] == "77" and not found["runs"][0]["recorded"]
        assert {one["run_id"] for one in found["runs"][1:]} == {"5", "11", "12"}
    assert superlink.contents() == before


def test_one_training(superlink: SuperLink) -> None:
    superlink.begin("day-11111111", "13")
    for options in ({"name": "night"}, {"training": "night-1a2b3c4d"}):
        found = superlink.look(**options)
        assert [one["training"] for one in found["trainings"]] == ["night-1a2b3c4d"]
        assert {one["run_id"] for one in found["runs"]} == {"11", "12"}
    failed = superlink.look(name="noon")
    assert not failed.ok and failed["msg"] == (
        "There is no training noon on this SuperLink; it knows: day-11111111, night-1a2b3c4d."
    )


def test_one_run_and_its_training(superlink: SuperLink) -> None:
    found = superlink.look(run_id="12")
    assert [one["training"] for one in found["trainings"]] == ["night-1a2b3c4d"]
    assert [one["run_id"] for one in found["runs"]] == ["12"]
    found = superlink.look(run_id="77")
    assert found["trainings"] == [] and found["runs"][0]["app"] == {"name": "theirs", "version": "2.0"}
    assert "There is no run 6 on this SuperLink" in superlink.look(run_id="6")["msg"]
    assert "mutually exclusive" in superlink.look(run_id="6", name="night")["msg"]


def test_while_the_superlink_is_down(superlink: SuperLink) -> None:
    superlink.flower({"success": False, "error-message": "Connection to the SuperLink is unavailable."})
    found = superlink.look()
    assert found.ok and {one["run_id"] for one in found["runs"]} == {"5", "11", "12"} and found["trainings"]
    assert any("Only runs with a record are shown" in str(one) for one in found["warnings"])


def test_a_machine_that_is_no_superlink(tmp_path: Path) -> None:
    failed = run_module("flower_run_info", {"flower_home": str(tmp_path)})
    assert "is no SuperLink of this collection" in failed["msg"]
