# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes in folders, the OneGate they talk to, and a clock that certificates are judged by."""

from __future__ import annotations

import datetime
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

# The node in a folder is the one that the tests of the agent use.
sys.path.append(str(Path(__file__).resolve().parents[1] / "agent"))

from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops import profiles
from flower_ops.pki import tls


@pytest.fixture
def gate() -> Iterator[FakeOneGate]:
    """A OneGate with a service of one SuperLink and two SuperNodes."""
    fake = FakeOneGate()
    for vm_id, role in (("4", "superlink"), ("5", "supernode"), ("6", "supernode")):
        fake.add(vm_id, role, FL_ROLE=role)
    # A VM that is there for something else.
    fake.add("7", "monitoring")
    yield fake
    fake.stop()


@pytest.fixture
def superlink(tmp_path: Path, gate: FakeOneGate) -> Iterator[FakeNode]:
    """The VM of the SuperLink, not configured yet."""
    node = FakeNode(tmp_path / "superlink", "superlink", "4", gate)
    yield node
    node.close()


@pytest.fixture
def supernode(tmp_path: Path, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeNode]:
    """The VM of a SuperNode, admitted already, not configured yet."""
    node = FakeNode(tmp_path / "supernode", "supernode", "5", gate)
    gate.of("5").update({"FL_PARTITION_ID": "1", "FL_NUM_PARTITIONS": "3", "FL_NODE_ID": "77"})
    real = profiles.profile

    def with_free_ports(version: str) -> profiles.Profile:
        return replace(real(version), ports=replace(real(version).ports, supernode_health=node.ports["health"]))

    monkeypatch.setattr(profiles, "profile", with_free_ports)
    yield node
    node.close()


@pytest.fixture
def in_days(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Set the clock by which certificates are made and judged to so many days from the real now."""
    real = tls.now

    def move(days: float) -> None:
        monkeypatch.setattr(tls, "now", lambda: real() + datetime.timedelta(days=days))

    return move
