# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The use cases with real frameworks, and each once on a federation of real processes whose SuperLink has none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles

from .conftest import Make
from .environments import ROOT
from .inside import run_tests

CHECKS = ROOT / "tests/unit/use_cases"
USE_CASES = ROOT / "roles/superlink/files/use_cases"
#: Check, framework of its environment.
LARGE = [
    ("check_image_torch.py", "pytorch"),
    ("check_flwr_datasets.py", "pytorch"),
    ("check_image_tensorflow.py", "tensorflow"),
    ("check_llm.py", "llm"),
]
#: Use case, framework, what the run is told besides, and the figure by which the final model must be better.
RUNS: list[tuple[str, str, dict[str, Any], str]] = [
    ("anomaly-detection", "sklearn", {}, "accuracy"),
    ("image-classification", "pytorch", {}, "accuracy"),
    ("image-classification", "tensorflow", {}, "accuracy"),
    ("llm-fine-tuning", "llm", {"learning_rate": 0.01, "max_steps": 10, "model_name": "small"}, "loss"),
]


@pytest.mark.parametrize(("check", "framework"), LARGE)
def test_with_its_framework(check: str, framework: str) -> None:
    run_tests(profiles.DEFAULT, CHECKS / check, framework=framework)


@pytest.mark.parametrize("version", [known for known in profiles.known() if known != profiles.DEFAULT])
def test_use_cases_on_another_version(version: str) -> None:
    """With the default version they run among the unit tests."""
    run_tests(version, *sorted(path for path in CHECKS.glob("test_*.py") if path.name != "test_use_cases_in_flower.py"))


@pytest.mark.parametrize(("case", "framework", "more", "figure"), RUNS)
def test_on_a_federation(
    federation: Make, case: str, framework: str, more: dict[str, Any], figure: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The figures are those of the bundled data, wherever the test runs.
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    lane = federation(profiles.DEFAULT, framework=framework)
    lane.start()
    run = lane.train(app=USE_CASES / case, num_server_rounds=2, data_source="bundled", **more)
    assert run["status"] == "finished:completed" and not run["degraded"], run
    assert [(one["nodes"], one["results"]) for one in run["rounds"]] == [(2, 2), (2, 2)]
    first, last = run["rounds"]
    assert first["train"]["bundled-data"] == 1.0
    better = last["central"][figure] - first["train"][f"start-{figure}"]
    assert better > 0 if figure == "accuracy" else better < 0, run["rounds"]
    files = {file["name"]: Path(file["path"]) for file in run["files"]}
    assert {"model.npz", "metrics.json", "plan.json"} <= set(files)
    plan = json.loads(files["plan.json"].read_text())
    assert plan["source"] == "bundled" and plan.get("framework", framework) == framework
