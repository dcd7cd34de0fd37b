# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""These tests need flwr and NumPy, which the environment of the other tests has not.

Without them only test_training_in_flower.py runs: it starts the others in an environment of their own.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

INSIDE = importlib.util.find_spec("flwr") is not None
collect_ignore = [
    path.name
    for path in Path(__file__).parent.glob("test_*.py")
    if (path.name == "test_training_in_flower.py") == INSIDE
]


@pytest.fixture(autouse=True)
def _as_in_a_serverapp() -> None:
    """Newer versions of Flower tell the process of an app which run it belongs to before they start the app."""
    name = "flwr.supercore.task_identity"
    if INSIDE and importlib.util.find_spec(name) is not None:
        identity = importlib.import_module(name).TaskIdentity
        identity.task_id = identity.run_id = identity.node_id = 1


class Lines(logging.Handler):
    """The log of a ServerApp as `flwr log` shows it."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(logging.Formatter("%(levelname)s :      %(message)s"))
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines += self.format(record).splitlines()


@pytest.fixture
def log() -> Iterator[list[str]]:
    """Lines that Flower and the strategies log during the test."""
    handler = Lines()
    logger = logging.getLogger("flwr")
    logger.addHandler(handler)
    yield handler.lines
    logger.removeHandler(handler)
