# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The other tests of this folder, run with the default version of Flower and scikit-learn."""

from __future__ import annotations

from pathlib import Path

import pytest
from flower_ops import profiles
from lanes.inside import run_tests

HERE = Path(__file__).resolve().parent
FILES = sorted(path.name for path in HERE.glob("test_*.py") if path.name != "test_in_flower.py")


@pytest.mark.parametrize("name", FILES)
def test_with_flower(name: str) -> None:
    run_tests(profiles.DEFAULT, HERE / name)
