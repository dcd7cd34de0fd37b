# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Membership: partitions, registration with Flower, addresses, and the operator's own command."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.machine.paths import Paths
from flower_ops.membership.member_command import command
from flower_ops.membership.members import KeyRetiredError, MembershipError
from flower_ops.membership.membership import Membership
from hypothesis import given, settings
from hypothesis import strategies as st
from membership_support import KEYS, FakeFlower, federation


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
    member, _rest = members.admit("a", "x", KEYS[0], addresses=["10.0.0.1"])
    flower.calls.clear()
    assert members.admit("a", "x", KEYS[0]) == (member, False)
    assert members.admit("a", "x", KEYS[0], addresses=["10.0.0.1"]) == (member, False)
    assert flower.calls == []


def test_a_new_key_replaces_the_old_one_and_keeps_the_partition(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    old, _rest = members.admit("a", "x", KEYS[0])
    flower.statuses[old.node_id] = "online"
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
    assert members.members() == [] and not (tmp_path / "run/flower-registrar/new-member.pub").exists()


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
    assert members.restore().registered == ["a/x", "a/y"]
    assert {member.node_id for member in members.members()} == set(flower.nodes)
    assert members.restore().registered == []


def test_one_revoked_key_does_not_keep_the_others_from_being_restored(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    members.admit("a", "x", KEYS[0])
    members.admit("a", "y", KEYS[1])
    flower.nodes.clear()
    flower.retired.add(KEYS[0])
    found = members.restore()
    assert (found.registered, found.revoked) == (["a/y"], ["a/x"])
    assert [(row.name, row.node_id != "", row.partition_id) for row in members.members()] == [
        ("x", False, 0),
        ("y", True, 1),
    ]
    assert members.restore().revoked == []
    assert members.admit("a", "x", KEYS[2])[0].partition_id == 0


def test_keys_whose_new_ids_nobody_knows_are_not_taken_for_revoked(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    members.admit("a", "x", KEYS[0])
    members.admit("a", "y", KEYS[1])
    before = members.members()
    # Somebody registered both anew, by hand.
    flower.nodes = {"901": KEYS[0], "902": KEYS[1]}
    found = members.restore()
    assert found.registered == found.revoked == [] and set(found.unclear) == {"a/x", "a/y"}
    assert "unknown node id" in found.unclear["a/x"] and members.members() == before
    flower.unregister("902")
    found = members.restore()
    assert (found.registered, found.revoked, found.unclear) == (["a/x"], ["a/y"], {})


def test_a_damaged_list_is_named(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    for damaged in ('{"members": [', '{"members": [{"who": "x"}]}', "{}"):
        (tmp_path / "etc/flower-ops/members.json").write_text(damaged)
        with pytest.raises(MembershipError, match=r"/etc/flower-ops/members.json is damaged"):
            members.admit("a", "x", KEYS[0])


@settings(deadline=None, max_examples=40)
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


def test_a_list_of_an_earlier_version_is_read(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    row = {"site": "a", "name": "x", "partition_id": 1, "node_id": "7", "public_key": KEYS[0], "vm_id": ""}
    (tmp_path / "etc/flower-ops/members.json").write_text(json.dumps({"members": [row]}))
    assert members.members()[0].addresses == []


def test_addresses_of_members_are_what_the_firewall_lets_in(tmp_path: Path, flower: FakeFlower) -> None:
    members = federation(tmp_path, flower)
    rules = tmp_path / "etc/flower-ops/firewall.d/members.nft"
    members.admit("a", "x", KEYS[0], addresses=["203.0.113.7", "fd00:1::/64"])
    members.admit("a", "y", KEYS[1], addresses=["203.0.113.9"])
    text = rules.read_text()
    assert "federation4 { 203.0.113.7, 203.0.113.9 }" in text and "federation6 { fd00:1::/64 }" in text
    assert rules.stat().st_mode & 0o777 == 0o600
    members.remove("a", "x")
    text = rules.read_text()
    assert "federation4 { 203.0.113.9 }" in text and "add element inet flower federation6" not in text


def test_member_command(tmp_path: Path, flower: FakeFlower) -> None:
    federation(tmp_path, flower)

    def call(
        action: str, name: str = "n", key: str = "", check: bool = False, addresses: list[str] | None = None
    ) -> tuple[int, dict[str, Any]]:
        return command(action, "site", name, tmp_path, check, io.StringIO(key), flower, addresses)

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


def test_addresses_of_a_foreign_node_are_set_kept_and_taken_away(tmp_path: Path, flower: FakeFlower) -> None:
    federation(tmp_path, flower)

    def add(addresses: list[str] | None = None, check: bool = False) -> tuple[int, dict[str, Any]]:
        return command("add", "b", "n", tmp_path, check, io.StringIO(KEYS[0]), flower, addresses)

    assert add(["FD00:0::1", "203.0.113.0/28"])[1]["member"]["addresses"] == ["203.0.113.0/28", "fd00::1"]
    calls = len(flower.calls)
    assert add()[1]["changed"] is False and add(["fd00::1", "203.0.113.0/28"])[1]["changed"] is False
    assert add([], check=True)[1]["changed"] is True and add([])[1]["member"]["addresses"] == []
    assert len(flower.calls) == calls
    for wrong in ("203.0.113.7/28", "0.0.0.0/0", "hospital.example", "::/0", "1.2.3.4; flush ruleset"):
        code, answer = add([wrong])
        assert code == 1 and wrong in answer["message"]


def test_vms_of_the_own_service_are_left_to_the_registrar(tmp_path: Path, flower: FakeFlower) -> None:
    federation(tmp_path, flower)
    row = {"site": "local", "name": "vm-5", "partition_id": 0, "node_id": "7", "public_key": KEYS[0], "vm_id": "5"}
    (tmp_path / "etc/flower-ops/members.json").write_text(json.dumps({"members": [row]}))
    code, answer = command("add", "local", "vm-5", tmp_path, False, io.StringIO(KEYS[1]), flower)
    assert code == 1 and "registrar takes care" in answer["message"] and flower.calls == []
