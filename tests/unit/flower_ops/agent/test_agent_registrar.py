# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Membership and registrar: partitions, registration with Flower, VMs that come and go."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

import pytest
from fake_onegate import FakeOneGate
from flower_ops.node import keys, registrar
from flower_ops.node.files import Files
from flower_ops.node.flwr_cli import FlwrCliError
from flower_ops.node.membership import KeyRetiredError, Membership, MembershipError, command
from flower_ops.node.onegate import OneGate
from flower_ops.node.paths import Paths
from hypothesis import given
from hypothesis import strategies as st

KEYS = [keys.check_public(keys.new_key_pair()[1].decode()) for _turn in range(4)]


class FakeFlower:
    """Flower's registration: a key is taken once in its life, ids are given in order."""

    def __init__(self) -> None:
        self.nodes: dict[str, str] = {}
        self.retired: set[str] = set()
        self.calls: list[str] = []
        self.down = False
        self._last = 100

    def register(self, public_key: Path) -> str:
        self._call("register")
        key = public_key.read_text().strip()
        if key in self.nodes.values() or key in self.retired:
            raise FlwrCliError("Cannot register a SuperNode: [code: 23] Public key already in use.")
        self._last += 1
        self.nodes[str(self._last)] = key
        return str(self._last)

    def unregister(self, node_id: str) -> None:
        self._call("unregister")
        if node_id not in self.nodes:
            raise FlwrCliError("Cannot unregister: [code: 24] Node ID not found for account.")
        self.retired.add(self.nodes.pop(node_id))

    def supernodes(self) -> list[dict[str, Any]]:
        self._call("supernodes")
        return [{"node-id": node_id, "status": "registered"} for node_id in self.nodes]

    def _call(self, what: str) -> None:
        if self.down:
            raise FlwrCliError("Connection to the SuperLink is unavailable", unreachable=True)
        self.calls.append(what)


@pytest.fixture
def flower() -> FakeFlower:
    return FakeFlower()


def federation(root: Path, flower: FakeFlower, count: int = 2, auth: bool = True) -> Membership:
    paths = Paths(root)
    Files(paths).store(paths.federation, json.dumps({"auth": auth, "num_partitions": count}).encode())
    return Membership(paths, flower)


def test_the_lowest_free_partition_is_taken(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower, 3)
    first, second = (members.admit("a", str(number), KEYS[number])[0] for number in (0, 1))
    assert (first.partition_id, second.partition_id) == (0, 1)
    members.remove("a", "0")
    again, changed = members.admit("b", "0", KEYS[2])
    assert changed and again.partition_id == 0
    assert sorted(flower.nodes.values()) == sorted(KEYS[1:3])
    assert [member.partition_id for member in members.members()] == [0, 1]


def test_a_member_is_admitted_once(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    member, _rest = members.admit("a", "x", KEYS[0])
    flower.calls.clear()
    assert members.admit("a", "x", KEYS[0]) == (member, False)
    assert flower.calls == []


def test_a_new_key_replaces_the_old_one_and_keeps_the_partition(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    old, _rest = members.admit("a", "x", KEYS[0])
    new, changed = members.admit("a", "x", KEYS[1])
    assert changed and new.partition_id == old.partition_id and list(flower.nodes.values()) == [KEYS[1]]


def test_limits_are_explained(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower, 1)
    members.admit("a", "x", KEYS[0])
    for name, key, reason in (
        ("y", KEYS[1], "All 1 partitions"),
        ("y", KEYS[0], "another node"),
        ("y", "", "no public key"),
    ):
        with pytest.raises(MembershipError, match=reason):
            members.admit("a", name, key)
    with pytest.raises(MembershipError, match="not fixed"):
        federation(tmp_path / "b", flower, 0).admit("a", "x", KEYS[2])
    with pytest.raises(MembershipError, match="not a configured SuperLink"):
        Membership(Paths(tmp_path / "c"), flower).settings()


def test_nothing_is_kept_of_an_admission_that_failed(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    flower.down = True
    with pytest.raises(FlwrCliError):
        members.admit("a", "x", KEYS[0])
    assert members.members() == [] and not (tmp_path / "opt/flower/cli/new-member.pub").exists()


def test_a_registration_that_was_not_noted_is_found_again(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    flower.nodes["55"] = KEYS[0]
    assert members.admit("a", "x", KEYS[0])[0].node_id == "55"


def test_a_key_that_flower_retired_is_told_apart(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    members.admit("a", "x", KEYS[0])
    members.remove("a", "x")
    with pytest.raises(KeyRetiredError):
        members.admit("a", "x", KEYS[0])


def test_members_survive_the_loss_of_the_database(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    members.admit("a", "x", KEYS[0])
    members.admit("a", "y", KEYS[1])
    flower.nodes.clear()
    assert members.restore() == ["a/x", "a/y"]
    assert {member.node_id for member in members.members()} == set(flower.nodes)
    assert members.restore() == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=30))
def test_partitions_are_never_shared_or_out_of_range(
    tmp_path_factory: pytest.TempPathFactory, steps: list[Any]
) -> None:
    members = federation(tmp_path_factory.mktemp("f"), FakeFlower(), 4, auth=False)
    held: dict[str, int] = {}
    for add, number in steps:
        name = str(number)
        if not add:
            members.remove("s", name)
            held.pop(name, None)
            continue
        if name not in held and len(held) == 4:
            with pytest.raises(MembershipError):
                members.admit("s", name)
            continue
        member, _rest = members.admit("s", name)
        assert held.setdefault(name, member.partition_id) == member.partition_id
        assert len(set(held.values())) == len(held) and 0 <= member.partition_id < 4


@pytest.fixture
def watch(tmp_path: Path, gate: FakeOneGate, flower: FakeFlower) -> tuple[registrar.Registrar, Membership, list[str]]:
    members = federation(tmp_path, flower)
    said: list[str] = []
    client = OneGate(gate.endpoint, "4", "token-4", sleep=lambda seconds: None)
    return registrar.Registrar(client, members, said.append), members, said


def test_nodes_that_introduce_themselves_are_admitted_and_told(
    watch: tuple[registrar.Registrar, Membership, list[str]], gate: FakeOneGate, flower: FakeFlower
) -> None:
    service, members, said = watch
    service.poll()
    assert members.members() == []
    gate.of("6").update(FL_ROLE="supernode", FL_NODE_PUBKEY=KEYS[1])
    gate.of("5").update(FL_ROLE="supernode")
    service.poll()
    assert said == ["vm-6 admitted with partition 0 of 2"]
    assert gate.of("6")["FL_PARTITION_ID"] == "0" and gate.of("6")["FL_NUM_PARTITIONS"] == "2"
    assert flower.nodes[gate.of("6")["FL_NODE_ID"]] == KEYS[1]
    assert "FL_PARTITION_ID" not in gate.of("5")
    gate.requests.clear()
    flower.calls.clear()
    service.poll()
    assert gate.writes() == [] and flower.calls == []


def test_a_vm_gone_for_good_frees_its_partition(
    watch: tuple[registrar.Registrar, Membership, list[str]], gate: FakeOneGate, flower: FakeFlower
) -> None:
    service, members, said = watch
    members.admit("other-site", "n", KEYS[3])
    gate.of("5").update(FL_ROLE="supernode", FL_NODE_PUBKEY=KEYS[0])
    service.poll()
    role = gate.vms.pop("5")
    service.poll()
    gate.vms["5"] = role
    service.poll()
    del gate.vms["5"]
    service.poll()
    assert len(members.members()) == 2
    service.poll()
    assert [member.name for member in members.members()] == ["n"] and list(flower.nodes.values()) == [KEYS[3]]
    assert said[-1].startswith("vm-5 removed")


def test_an_answer_without_ourselves_removes_nobody(
    watch: tuple[registrar.Registrar, Membership, list[str]], gate: FakeOneGate
) -> None:
    service, members, _rest = watch
    gate.of("5").update(FL_ROLE="supernode", FL_NODE_PUBKEY=KEYS[0])
    service.poll()
    gate._service = lambda extended: {"name": "fed", "id": "7", "state": 2, "roles": []}  # type: ignore[method-assign]
    for _turn in range(4):
        service.poll()
    assert len(members.members()) == 1


def test_refusals_are_said_once_and_taken_back(
    watch: tuple[registrar.Registrar, Membership, list[str]], gate: FakeOneGate
) -> None:
    service, members, said = watch
    for name, key in (("a", KEYS[2]), ("b", KEYS[3])):
        members.admit("elsewhere", name, key)
    gate.of("5").update(FL_ROLE="supernode", FL_NODE_PUBKEY=KEYS[0])
    gate.of("6").update(FL_ROLE="supernode", FL_NODE_PUBKEY="ssh-ed25519 AAAA")
    service.poll()
    service.poll()
    assert len(said) == 2 and "All 2 partitions are in use" in gate.of("5")["FL_ADMISSION_ERROR"]
    assert "not an EC public key" in gate.of("6")["FL_ADMISSION_ERROR"]
    members.remove("elsewhere", "a")
    service.poll()
    assert gate.of("5")["FL_ADMISSION_ERROR"] == "NONE" and gate.of("5")["FL_PARTITION_ID"] == "0"


def test_a_retired_key_is_named_to_its_node(
    watch: tuple[registrar.Registrar, Membership, list[str]], gate: FakeOneGate, flower: FakeFlower
) -> None:
    service = watch[0]
    flower.retired.add(KEYS[0])
    gate.of("5").update(FL_ROLE="supernode", FL_NODE_PUBKEY=KEYS[0])
    service.poll()
    assert gate.of("5")["FL_RETIRED_KEY"] == KEYS[0]


def test_the_loop_says_a_fault_once_waits_longer_and_recovers(
    watch: tuple[registrar.Registrar, Membership, list[str]], gate: FakeOneGate, flower: FakeFlower
) -> None:
    service, _rest, said = watch
    gate.of("5").update(FL_ROLE="supernode", FL_NODE_PUBKEY=KEYS[0])
    flower.down = True
    pauses: list[float | None] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            flower.down = len(pauses) < 7
            if len(pauses) == 8:
                self.set()
            return True

    registrar.loop(service, Stop(), said.append)
    assert pauses == [6, 12, 24, 48, 60, 60, 60, 3]
    assert said[0].startswith("cannot go on: Connection") and said[1:] == [
        "vm-5 admitted with partition 0 of 2",
        "working again",
    ]


def test_member_command(tmp_path: Path, flower: FakeFlower) -> None:
    federation(tmp_path, flower)

    def call(action: str, name: str = "n", key: str = "", check: bool = False) -> tuple[int, dict[str, Any]]:
        return command(action, "site", name, tmp_path, check, io.StringIO(key), flower)

    assert call("add", key=KEYS[0], check=True)[1]["changed"] and flower.nodes == {}
    code, answer = call("add", key=KEYS[0] + " comment\n")
    assert code == 0 and answer["changed"] and answer["member"]["partition_id"] == 0
    assert answer["member"]["num_partitions"] == 2 and answer["diff"][0]["before"] == ""
    assert call("add", key=KEYS[0])[1]["changed"] is False
    flower.nodes["7"] = "somebody's"
    rows = call("list")[1]["supernodes"]
    assert [(row["name"], row["partition_id"], row["status"]) for row in rows] == [
        ("n", 0, "registered"),
        ("", -1, "registered"),
    ]
    del flower.nodes["7"]
    assert call("add", "m", "junk")[0] == 1 and call("add", "", KEYS[1])[0] == 1
    assert call("remove")[1]["changed"] is True and call("remove")[1]["changed"] is False
