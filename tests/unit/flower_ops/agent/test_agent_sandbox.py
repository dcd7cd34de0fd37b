# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent against the sandbox's OneGate and OneFlow: VMs that exist in a table only, configured for real."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import pytest
from agent_support import FakeNode
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from flower_ops import profiles
from flower_ops.machine.paths import Paths
from flower_ops.membership.membership import Membership
from flower_ops.membership.registrar import Registrar
from one_sandbox import Sandbox

RUNNING = 2
#: Another SuperNode when those that there are have training to do.
BUSY = {
    "type": "CHANGE", "adjust": 1, "expression": "FL_CLIENT_STATUS > 1.5", "period": 0, "period_number": 2,
    "cooldown": 1,
}  # fmt: skip
T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, seconds: float = 15) -> T:
    """The first true answer."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found = condition()
        if found:
            return found
        time.sleep(0.05)
    raise AssertionError(f"not within {seconds} s: {what}")


class FakeFlower:
    """Stands in for Flower's list of registered keys."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}

    def register(self, public_key: Path) -> str:
        """See flower_ops.membership.members."""
        self.nodes[str(1000 + len(self.nodes))] = public_key.read_text()
        return list(self.nodes)[-1]

    def unregister(self, node_id: str) -> None:
        """See flower_ops.membership.members."""
        del self.nodes[node_id]

    def supernodes(self) -> list[dict[str, Any]]:
        """See flower_ops.membership.members."""
        return [{"node-id": node_id, "status": "online"} for node_id in self.nodes]


class Service:
    """One OneFlow service of a SuperLink and a SuperNode."""

    def __init__(self, sandbox: Sandbox, root: Path) -> None:
        self._sandbox, self._root = sandbox, root
        ends = sandbox.endpoints
        settings = Settings(ends.xmlrpc, sandbox.username, sandbox.password, oneflow_url=ends.oneflow)
        connection, self._flow = Connection(settings), OneFlow(settings)
        vm = {"NAME": "flower", "CPU": "0.1", "MEMORY": "64", "NIC": [{"NETWORK": "private"}]}
        template = connection.call("one.template.allocate", {**vm, "CONTEXT": {"NETWORK": "YES", "TOKEN": "YES"}})
        roles = [
            {"name": "superlink", "type": "vm", "template_id": int(template), "cardinality": 1},
            {
                "name": "supernode",
                "type": "vm",
                "template_id": int(template),
                "cardinality": 1,
                "min_vms": 1,
                "max_vms": 2,
                "elasticity_policies": [BUSY],
                "parents": ["superlink"],
            },
        ]
        body = {"name": "fed", "deployment": "straight", "ready_status_gate": True, "roles": roles}
        made = self._flow.create_template(body)
        self.id = int(self._flow.instantiate(int(made["ID"]), {})["ID"])

    @property
    def state(self) -> int:
        """OneFlow's number: 2 is RUNNING."""
        return int(self._flow.service(self.id)["TEMPLATE"]["BODY"]["state"])

    def vms(self, role: str) -> list[str]:
        """Ids of the VMs of a role."""
        roles = self._flow.service(self.id)["TEMPLATE"]["BODY"]["roles"]
        return [str(node["deploy_id"]) for one in roles if one["name"] == role for node in one.get("nodes", [])]

    def vm(self, role: str) -> FakeNode | None:
        """The first VM of a role as a node in a folder, once OneFlow has made it."""
        for number in self.vms(role)[:1]:
            node = FakeNode(self._root / role, role, number, None)
            token = self._sandbox.oned.tokens.issue(int(number))
            node.context(ONEGATE_ENDPOINT=self._sandbox.endpoints.onegate, TOKENTXT=token)
            return node
        return None


def registrar_of(superlink: FakeNode) -> Registrar:
    """The registrar on a SuperLink."""
    gate = superlink.onegate()
    return Registrar(gate, Membership(Paths(superlink.root), FakeFlower()), lambda line: None)


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service that waits for the SuperLink to be READY."""
    with Sandbox(tmp_path / "cloud", "dummy", boot_delay=0.05, image_delay=0.05, flow_interval=0.1) as sandbox:
        sandbox.flow.lifecycle.policies.interval = 0.1
        yield Service(sandbox, tmp_path)


def assembled(service: Service, monkeypatch: pytest.MonkeyPatch) -> tuple[FakeNode, FakeNode]:
    """SuperLink and SuperNode after their first boot."""
    superlink = wait_for(lambda: service.vm("superlink"), "the VM of the SuperLink")
    superlink.context(**superlink.given())
    code, told = superlink.boot()
    assert code == 0, told
    # Only READY lets OneFlow make the next role.
    supernode = wait_for(lambda: service.vm("supernode"), "the VM of the SuperNode")
    ports = profiles.Ports(supernode_health=supernode.ports["health"])
    real = profiles.profile
    monkeypatch.setattr(profiles, "profile", lambda version: replace(real(version), ports=ports))
    registrar = registrar_of(superlink)
    supernode.events[supernode.now + 3.0] = registrar.poll
    code, told = supernode.boot()
    assert code == 0, told
    wait_for(lambda: service.state == RUNNING, "the service is RUNNING")
    return superlink, supernode


def test_a_service_assembles_itself_and_survives_a_reboot_of_every_vm(
    service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink, supernode = assembled(service, monkeypatch)
    own = supernode.own()
    assert (own["FL_PARTITION_ID"], own["FL_NUM_PARTITIONS"], own["FL_NODE_READY"]) == ("0", "1", "YES")

    superlink.reboot()
    supernode.reboot()
    assert superlink.boot()[0] == 0
    states = []
    serve = supernode.systemd.on_start

    def watched(unit: str) -> int:
        states.append((supernode.own()["READY"], service.state))
        return serve(unit)

    supernode.systemd.on_start = watched
    assert supernode.boot()[0] == 0
    # A VM of a running service that is not READY for a while does not disturb it.
    assert set(states) == {("NO", RUNNING)} and service.state == RUNNING
    assert supernode.own()["FL_PARTITION_ID"] == "0" and "started anew" in supernode.own()["FL_EVENT"]

    watcher = supernode.keeper()
    assert supernode.keep(watcher, 120) == [] and supernode.own()["FL_CLIENT_STATUS"] == "1"
    superlink.close()
    supernode.close()


def test_what_a_keeper_says_of_training_scales_the_service(service: Service, monkeypatch: pytest.MonkeyPatch) -> None:
    superlink, supernode = assembled(service, monkeypatch)
    try:
        keeper = supernode.keeper()
        supernode.keep(keeper, 10)
        assert supernode.own()["FL_CLIENT_STATUS"] == "1"
        # Long enough for a policy that took an idle node for a busy one.
        time.sleep(1)
        assert len(service.vms("supernode")) == 1
        supernode.log.extend(["[RUN 5, ROUND 2]", "Receiving: train message (ID: a)"])
        supernode.keep(keeper, 10)
        assert [supernode.own()[f"FL_{name}"] for name in ("CLIENT_STATUS", "TRAINING_ACTIVE", "ROUND_NUMBER")] == [
            "2", "1", "2",
        ]  # fmt: skip
        wait_for(lambda: len(service.vms("supernode")) == 2, "OneFlow has made another SuperNode")
    finally:
        superlink.close()
        supernode.close()


def test_a_failed_boot_is_told_through_the_sandbox_and_taken_back(service: Service) -> None:
    superlink = wait_for(lambda: service.vm("superlink"), "the VM of the SuperLink")
    env = superlink.path("/run/one-context/one_env")
    good = env.read_text()
    superlink.context(ONEAPP_FL_LOG_LEVEL='LOUD, ["x"] = 1')
    assert superlink.boot()[0] == 2
    assert superlink.own()["FL_ERROR"] == "config_validation_failed"
    assert superlink.own()["FL_ERROR_TEXT"].startswith("Invalid variables: ONEAPP_FL_LOG_LEVEL=LOUD;")
    assert "READY" not in superlink.own()
    env.write_text(good)
    superlink.context(**superlink.given())
    assert superlink.boot()[0] == 0
    superlink.close()
    assert superlink.own()["READY"] == "YES" and not {"FL_ERROR", "FL_ERROR_TEXT"} & superlink.own().keys()
