# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""These tests need flwr and NumPy, which the environment of the other tests has not.

Without them only test_use_cases_in_flower.py runs: it starts the others in an environment of their own. Files that need
a large framework, or what comes with one, are called check_*.py and started by tests/lanes/test_use_cases.py.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

INSIDE = importlib.util.find_spec("flwr") is not None
HERE = Path(__file__).parent
ROOT = HERE.parents[2]
USE_CASES = ROOT / "roles/superlink/files/use_cases"
collect_ignore = [
    path.name for path in HERE.glob("test_*.py") if (path.name == "test_use_cases_in_flower.py") == INSIDE
]
# Read when a framework is imported. Threads that wait for each other on a busy machine take many times as long.
for variable in ("OMP_NUM_THREADS", "TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS"):
    os.environ.setdefault(variable, "1")
# The apps as Flower imports them, and the grid in one process.
sys.path[:0] = [str(place) for place in (*sorted(USE_CASES.iterdir()), HERE.parent / "training")]


@pytest.fixture(autouse=True)
def _as_in_a_serverapp(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer versions of Flower tell the process of an app which run it belongs to; no test asks the network."""
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("HF_DATASETS_OFFLINE", "1")
    name = "flwr.supercore.task_identity"
    if INSIDE and importlib.util.find_spec(name) is not None:
        identity = importlib.import_module(name).TaskIdentity
        identity.task_id = identity.run_id = identity.node_id = 1


class Lines(logging.Handler):
    """The log of an app, one line each."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += record.getMessage().splitlines()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Lines that server and nodes log during the test."""
    handler, logger = Lines(), logging.getLogger("flwr")
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
