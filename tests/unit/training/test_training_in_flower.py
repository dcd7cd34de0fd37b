# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other tests of this folder, run with the default version of Flower; with the others, see tests/lanes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from flower_ops import profiles
from lanes.environments import ROOT, environment
from lanes.inside import run_tests

HERE = Path(__file__).resolve().parent
FILES = sorted(path.name for path in HERE.glob("test_*.py") if path.name != "test_training_in_flower.py")


@pytest.mark.parametrize("name", FILES)
def test_with_flower(name: str) -> None:
    run_tests(profiles.DEFAULT, HERE / name)


def test_types_of_the_package_that_knows_flower() -> None:
    """The environment of the other checks has neither Flower's types nor NumPy's."""
    done = subprocess.run(
        [ROOT / ".venv/bin/mypy", "--python-executable", environment(profiles.DEFAULT) / "bin/python"]
        + ["--cache-dir", ROOT / ".cache/mypy-training", "-p", "flower_ops.training"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
