# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""These tests need flwr and NumPy, which the environment of the other tests has not.

Without them only test_in_flower.py runs: it starts the others in an environment of their own.
"""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterator

import pytest

INSIDE = importlib.util.find_spec("flwr") is not None
collect_ignore_glob = ["test_in_flower.py"] if INSIDE else ["test_[!i]*.py"]


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
