# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Nodes and the OneGate they talk to, as fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops import profiles
from flower_ops.node.keeper_unit import INSIDE
from supernode_support import superlink_is_up, with_registrar


@pytest.fixture
def gate() -> Iterator[FakeOneGate]:
    """A OneGate with a service of one SuperLink and two SuperNodes."""
    fake = FakeOneGate()
    fake.add("4", "superlink")
    fake.add("5", "supernode")
    fake.add("6", "supernode")
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
    """The VM of a SuperNode, not configured yet."""
    node = FakeNode(tmp_path / "supernode", "supernode", "5", gate)
    real = profiles.profile

    def with_free_ports(version: str) -> profiles.Profile:
        return replace(real(version), ports=profiles.Ports(supernode_health=node.ports["health"]))

    monkeypatch.setattr(profiles, "profile", with_free_ports)
    yield node
    node.close()


@pytest.fixture(autouse=True)
def outside(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the service sets in the environment of its process is not left to other tests."""
    monkeypatch.setenv(INSIDE, "1")
    monkeypatch.delenv(INSIDE)


@pytest.fixture
def running(supernode: FakeNode, gate: FakeOneGate) -> FakeNode:
    """A SuperNode that was configured and works."""
    superlink_is_up(gate)
    with_registrar(gate)
    assert supernode.configure(MAX_RETRIES="7")[0] == 0
    supernode.systemd.calls.clear()
    gate.requests.clear()
    return supernode
