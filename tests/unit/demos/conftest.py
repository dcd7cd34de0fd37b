# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Some of these tests need flwr and NumPy, which the environment of the other tests has not.

Without them only the others run, and test_demos_in_flower.py, which starts those in an environment of their own.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
DEMOS = ("sklearn", "pytorch", "tensorflow", "llm")
INSIDE = importlib.util.find_spec("flwr") is not None
_OUTSIDE = ("test_demos_in_flower.py", "test_local_sim.py", "test_make_shards.py")
collect_ignore = [path.name for path in Path(__file__).parent.glob("test_*.py") if (path.name in _OUTSIDE) == INSIDE]
sys.path[:0] = [str(ROOT / "demos" / name) for name in DEMOS] + [str(ROOT / "demos"), str(ROOT / "tests/unit/training")]


@pytest.fixture(autouse=True)
def _as_in_a_serverapp() -> None:
    """Newer versions of Flower tell the process of an app which run it belongs to before they start the app."""
    name = "flwr.supercore.task_identity"
    if INSIDE and importlib.util.find_spec(name) is not None:
        identity: Any = importlib.import_module(name).TaskIdentity
        identity.task_id = identity.run_id = identity.node_id = 1
