# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The sandbox cloud as a fixture."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.document import find as service_find

# Both folders of tests share it, and neither is a package.
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "service"))

from flow_cloud import cloud

__all__ = ["cloud"]


@pytest.fixture(autouse=True)
def no_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    """Names that tests make ambiguous stay so; tests of runs at once bring back the patience that these have."""
    monkeypatch.setattr(service_find, "PATIENCE", ())
