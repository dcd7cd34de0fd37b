# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Tests of what runs in Flower's processes, run where a version of Flower and NumPy are, by a pytest of their own."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
from pathlib import Path

from .environments import CACHE, FLOWER_OPS, ROOT, environment, packages_of

TRAINING = ROOT / "tests/unit/training"
#: Seconds for one file of tests, on a machine that has other things to do.
LIMIT_S = 900


def tools() -> Path:
    """A folder with pytest, hypothesis and Pillow for the import path, made once; the same for every version of Flower.

    The framework of most tests, sklearn, comes without Pillow, and the user's own images are to be read in any case.
    """
    place = CACHE / "pytest"
    lines = (ROOT / "requirements/test.txt").read_text().splitlines()
    wanted = [line for line in lines if line.startswith(("pytest==", "hypothesis=="))]
    wanted += [line for line in packages_of("pytorch") if line.startswith("pillow==")]
    assert len(wanted) == 3
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "pytest.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        mark = place / "made.txt"
        if not mark.is_file() or mark.read_text() != "\n".join(wanted):
            uv = ROOT / ".venv/bin/uv"
            into = ["--python", sys.executable, "--target", place]
            subprocess.run([uv, "pip", "install", "--quiet", "--upgrade", *into, *wanted], check=True)
            mark.write_text("\n".join(wanted))
    return place


def run_tests(version: str, *files: Path, framework: str = "sklearn") -> None:
    """Run files of tests with a version of Flower and a framework.

    AssertionError with their output when one fails or there is none.
    """
    python = environment(version, framework) / "bin/python"
    # Options and coverage of the outer pytest are not for this one.
    inherited = {name: text for name, text in os.environ.items() if not name.startswith(("PYTEST_", "COV"))}
    path = os.pathsep.join(map(str, (tools(), FLOWER_OPS)))
    done = subprocess.run(
        [python, "-m", "pytest", "-q", "--color=no", "-o", f"cache_dir={CACHE}/pytest-{version}-{framework}", *files],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": path, "FLWR_TELEMETRY_ENABLED": "0", "FLWR_DISABLE_UPDATE_CHECK": "1"},
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, (
        f"with Flower {version} and {framework}:\n{done.stdout[-20000:]}\n{done.stderr[-5000:]}"
    )
