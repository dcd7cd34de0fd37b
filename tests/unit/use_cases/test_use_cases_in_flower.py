# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other tests of this folder, run with the default version of Flower and scikit-learn; and types of the apps."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from flower_ops import profiles
from lanes.environments import FLOWER_OPS, ROOT, environment
from lanes.inside import run_tests

HERE = Path(__file__).resolve().parent
FILES = sorted(path.name for path in HERE.glob("test_*.py") if path.name != "test_use_cases_in_flower.py")


@pytest.mark.parametrize("name", FILES)
def test_with_flower(name: str) -> None:
    run_tests(profiles.DEFAULT, HERE / name)


def test_types_of_the_apps() -> None:
    """Large frameworks are not in this environment, so what they return is anything."""
    apps = sorted((ROOT / "roles/superlink/files/use_cases").iterdir())
    lenient = ["--ignore-missing-imports", "--allow-subclassing-any", "--allow-untyped-decorators"]
    done = subprocess.run(
        [ROOT / ".venv/bin/mypy", "--python-executable", environment(profiles.DEFAULT) / "bin/python"]
        + ["--cache-dir", ROOT / ".cache/mypy-use-cases", *lenient, "--no-warn-return-any"]
        + [word for app in apps for word in ("-p", app.name.replace("-", "_"))],
        cwd=ROOT,
        env={**os.environ, "MYPYPATH": os.pathsep.join(map(str, (*apps, FLOWER_OPS)))},
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
