# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The demos with real frameworks, and each trained once by the command for one machine, on real processes of Flower."""

from __future__ import annotations

import json
import os
import subprocess
import uuid
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles

from .environments import ROOT, environment
from .inside import run_tests
from .processes import processes_told

CHECKS = ROOT / "tests/unit/demos"
FRAMEWORKS = ("pytorch", "tensorflow", "llm")


def simulate(demo: str, venv: Path, report: Path, *more: str) -> tuple[dict[str, Any], str]:
    """run.json of `tools/local-sim`, and what it printed."""
    command = [ROOT / "tools/local-sim", demo, "--venv", venv, "--report", report, *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads((report / "run.json").read_text()), done.stdout


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_the_demo_with_its_framework(framework: str) -> None:
    run_tests(profiles.DEFAULT, CHECKS / f"check_{framework}.py", framework=framework)


@pytest.mark.parametrize("version", [known for known in profiles.known() if known != profiles.DEFAULT])
def test_demos_on_another_version(version: str) -> None:
    """With the default version they run among the unit tests."""
    run_tests(version, *sorted(CHECKS.glob("test_demo_*.py")))


@pytest.mark.parametrize("version", profiles.known())
def test_digits_on_this_machine(version: str, tmp_path: Path) -> None:
    run, said = simulate("sklearn", environment(version), tmp_path, "--nodes=3", "--set=strategy=FedProx")
    assert run["status"] == "finished:completed" and not run["degraded"], run
    assert [(one["nodes"], one["results"]) for one in run["rounds"]] == [(3, 3)] * 3
    assert run["rounds"][-1]["central"]["accuracy"] >= 0.93
    assert [line.split()[0] for line in said.splitlines() if line[:7].strip().isdecimal()] == ["0", "1", "2", "3"]
    assert "data: shards of the app's make_shards.py\n" in said
    assert "<svg" in (tmp_path / "index.html").read_text() and (tmp_path / "model.npz").is_file()


@pytest.mark.parametrize("framework", FRAMEWORKS)
def test_a_demo_with_a_framework_on_this_machine(framework: str, tmp_path: Path) -> None:
    venv = environment(profiles.DEFAULT, framework)
    run, said = simulate(framework, venv, tmp_path, "--set=num-server-rounds=2", "--set=data-source=bundled")
    assert "because the source is set to bundled" in run["data"] and f"data: {run['data']}\n" in said
    assert run["status"] == "finished:completed" and not run["degraded"], run
    assert [(one["nodes"], one["results"]) for one in run["rounds"]] == [(2, 2)] * 2
    first, last = run["rounds"]
    kind, name = ("train", "train-loss") if framework == "llm" else ("central", "loss")
    assert last[kind][name] < first[kind][name]


def test_a_simulation_that_is_ended_leaves_no_process_and_no_file(tmp_path: Path) -> None:
    command = [ROOT / "tools/local-sim", "sklearn", "--venv", environment(profiles.DEFAULT), "--report", tmp_path]
    mark = f"FLOWER_LOCAL_SIM=test-{uuid.uuid4().hex}"
    folders = tmp_path / "folders"
    folders.mkdir()
    home = f"FLWR_HOME={folders}/"
    given = {**os.environ, **dict([mark.split("=")]), "TMPDIR": str(folders)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=given) as simulation:
        assert simulation.stdout is not None
        # The untrained model's line: the run has begun.
        assert any(line.split()[0] == "0" for line in simulation.stdout)
        assert len(processes_told(mark)) > 5
        # The flwr command that brings the log knows its folder only.
        assert processes_told(home) - processes_told(mark)
        simulation.terminate()
        assert simulation.wait(120) == 130
    assert processes_told(mark) | processes_told(home) == set()
    assert list(folders.glob("local-sim-*")) == []


def test_a_fault_is_told(tmp_path: Path) -> None:
    command = [ROOT / "tools/local-sim", "sklearn", "--venv", environment(profiles.DEFAULT)]
    wrong = [*command, f"--report={tmp_path}", "--set=trim-beta=0.7", "--set=num-server-rounds=0"]
    done = subprocess.run(wrong, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 1, done.stdout
    assert "The run configuration has 2 faults" in done.stderr and "trim-beta = 0.7" in done.stderr
