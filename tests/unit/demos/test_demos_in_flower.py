# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The tests of the demos that need flwr and NumPy, run where these are; with real frameworks, see tests/lanes."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from flower_ops import profiles
from lanes.environments import ROOT, environment
from lanes.inside import run_tests

HERE = Path(__file__).resolve().parent
FILES = sorted(path.name for path in HERE.glob("test_demo_*.py"))
APPS = {"sklearn": "digits_app", "pytorch": "cnn_torch", "tensorflow": "cnn_keras", "llm": "llm_app"}


@pytest.mark.parametrize("name", FILES)
def test_with_flower(name: str) -> None:
    run_tests(profiles.DEFAULT, HERE / name)


def test_types() -> None:
    """The apps and what runs them. Frameworks that are not installed here count as untyped."""
    path = [ROOT / "demos", *(ROOT / "demos" / demo for demo in APPS), ROOT / ".cache/collections"]
    path.append(ROOT / "roles/flower_runtime/files/flower_ops")
    done = subprocess.run(
        [ROOT / ".venv/bin/mypy", "--python-executable", environment(profiles.DEFAULT) / "bin/python"]
        + ["--cache-dir", ROOT / ".cache/mypy-demos", "--config-file", HERE / "mypy.ini"]
        + [word for package in (*APPS.values(), "local_sim") for word in ("-p", package)],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, path))},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
