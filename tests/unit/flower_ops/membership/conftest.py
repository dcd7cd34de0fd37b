# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A OneGate, a registration of Flower, and a registrar between them, as fixtures."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# The OneGate and the node in a folder are those that the tests of the agent use.
sys.path.append(str(Path(__file__).resolve().parents[1] / "agent"))

from agent_support import FakeNode
from fake_onegate import FakeOneGate
from membership_support import FakeFlower, Watch


@pytest.fixture
def gate() -> Iterator[FakeOneGate]:
    """A OneGate with a service of one SuperLink and two SuperNodes."""
    fake = FakeOneGate()
    for vm_id, role in (("4", "superlink"), ("5", "supernode"), ("6", "supernode")):
        fake.add(vm_id, role)
        fake.cards[vm_id] = [{"IP": f"10.0.0.{vm_id}", "IP6_GLOBAL": f"fd00::{vm_id}"}]
    yield fake
    fake.stop()


@pytest.fixture
def flower() -> FakeFlower:
    """Flower's registration, empty."""
    return FakeFlower()


@pytest.fixture
def watch(tmp_path: Path, gate: FakeOneGate, flower: FakeFlower) -> Watch:
    """The registrar of VM 4 with room for two partitions."""
    return Watch(tmp_path, gate, flower)


@pytest.fixture
def superlink(tmp_path: Path, gate: FakeOneGate) -> Iterator[FakeNode]:
    """The VM of the SuperLink, not configured yet."""
    node = FakeNode(tmp_path / "superlink", "superlink", "4", gate)
    yield node
    node.close()
