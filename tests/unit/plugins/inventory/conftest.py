# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Clouds without and with services, for inventories."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from one_sandbox.sandbox import Sandbox

sys.path.insert(0, str(Path(__file__).resolve().parent))

from inventory_cloud import InventoryCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[InventoryCloud]:
    """An empty cloud, in which nothing happens by itself."""
    sandbox = Sandbox(tmp_path / "cloud", driver="dummy", flow_interval=3600, monitor_interval=3600)
    with sandbox:
        yield InventoryCloud(sandbox, tmp_path)
