# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM of the service that writes what it should not into its own attributes or those of others."""

from __future__ import annotations

from pathlib import Path

import pytest
from fake_onegate import FakeOneGate
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.pki import keys
from membership_support import KEYS, PAIRS, FakeFlower, Watch


@pytest.fixture
def full(watch: Watch, gate: FakeOneGate, flower: FakeFlower) -> Watch:
    """Two members, both online."""
    for vm_id, key in (("5", KEYS[0]), ("6", KEYS[1])):
        watch.ask(vm_id, key)
    watch.poll()
    flower.statuses = dict.fromkeys(flower.nodes, "online")
    return watch


def test_the_key_of_a_node_that_is_there_is_not_displaced(full: Watch, gate: FakeOneGate, flower: FakeFlower) -> None:
    before = dict(flower.nodes)
    gate.of("5")["FL_NODE_PUBKEY"] = KEYS[2]
    full.poll(3)
    assert flower.nodes == before and full.members.members()[0].public_key == KEYS[0]
    assert "whose node is there" in gate.of("5")["FL_ADMISSION_ERROR"]
    assert [line for line in full.said if "Another key" in line] == [full.said[-1]]
    # Asked again and again, Flower is looked at only now and then.
    assert flower.calls.count("supernodes") <= 3
    gate.of("5")["FL_NODE_PUBKEY"] = KEYS[0]
    full.poll()
    assert gate.of("5")["FL_ADMISSION_ERROR"] == "NONE"


def test_a_new_key_that_the_present_one_signed_is_taken_at_once(
    full: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    gate.of("5").update(FL_NODE_PUBKEY=KEYS[2], FL_NODE_KEY_PROOF=keys.prove(PAIRS[0][0], KEYS[2]))
    full.poll()
    assert gate.of("5")["FL_NODE_ID"] == flower.id_of(KEYS[2]) and full.partitions() == {"vm-5": 0, "vm-6": 1}
    assert full.said[-1] == "vm-5 has a new key; its partition stays 0"
    # The same proof does not bring another key in, nor the way back.
    for key in (KEYS[3], KEYS[0]):
        flower.statuses = dict.fromkeys(flower.nodes, "online")
        gate.of("5")["FL_NODE_PUBKEY"] = key
        full.poll()
        assert full.members.members()[0].public_key == KEYS[2]


@pytest.mark.parametrize(
    "proof", ["", "AAAA", "%%%", keys.prove(PAIRS[1][0], KEYS[2]), keys.prove(PAIRS[0][0], KEYS[3])]
)
def test_a_proof_of_another_key_or_for_another_key_is_none(full: Watch, gate: FakeOneGate, proof: str) -> None:
    gate.of("5").update(FL_NODE_PUBKEY=KEYS[2], FL_NODE_KEY_PROOF=proof)
    full.poll()
    assert full.members.members()[0].public_key == KEYS[0]


def test_a_vm_made_anew_gets_its_place_back_once_the_old_node_is_gone_for_a_while(
    full: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    gate.of("5")["FL_NODE_PUBKEY"] = KEYS[2]
    node_id = flower.id_of(KEYS[0])
    flower.statuses[node_id] = "offline"
    flower.offline_at[node_id] = full.now
    full.poll(pause=30)
    assert flower.id_of(KEYS[0]) == node_id
    full.poll(pause=40)
    assert KEYS[0] in flower.retired and gate.of("5")["FL_NODE_ID"] == flower.id_of(KEYS[2])
    assert full.partitions() == {"vm-5": 0, "vm-6": 1}


def test_the_key_of_another_node_is_not_taken(full: Watch, gate: FakeOneGate, flower: FakeFlower) -> None:
    before = dict(flower.nodes)
    gate.of("6")["FL_NODE_PUBKEY"] = KEYS[0]
    full.poll(2)
    assert flower.nodes == before and "belongs to another node" in gate.of("6")["FL_ADMISSION_ERROR"]


def test_partition_and_node_id_that_somebody_else_wrote_are_put_right(full: Watch, gate: FakeOneGate) -> None:
    right = {name: gate.of("5")[name] for name in ("FL_PARTITION_ID", "FL_NUM_PARTITIONS", "FL_NODE_ID")}
    gate.of("5").update(FL_PARTITION_ID="1", FL_NUM_PARTITIONS="9", FL_NODE_ID="666", FL_RETIRED_KEY=KEYS[0])
    full.poll()
    assert {name: gate.of("5")[name] for name in right} == right
    assert gate.of("5")["FL_RETIRED_KEY"] == "NONE" and full.partitions() == {"vm-5": 0, "vm-6": 1}


def test_two_claims_for_one_partition_give_it_to_neither(tmp_path: Path, gate: FakeOneGate, flower: FakeFlower) -> None:
    watch = Watch(tmp_path, gate, flower, 4)
    for vm_id, key in (("5", KEYS[0]), ("6", KEYS[1])):
        watch.ask(vm_id, key, FL_PARTITION_ID="3")
    watch.poll()
    assert 3 not in watch.partitions().values() and len(set(watch.partitions().values())) == 2


def test_a_partition_that_is_taken_cannot_be_claimed(full: Watch, gate: FakeOneGate) -> None:
    full.members.remove("local", "vm-6")
    full.ask("6", KEYS[2], FL_PARTITION_ID="0")
    full.poll()
    assert full.partitions() == {"vm-5": 0, "vm-6": 1}


def test_a_superlink_is_no_supernode_whatever_is_written_on_it(full: Watch, gate: FakeOneGate) -> None:
    gate.of("4").update(FL_ROLE="supernode", FL_NODE_PUBKEY=KEYS[3])
    full.poll()
    assert len(full.partitions()) == 2


def test_a_member_stays_one_when_somebody_takes_its_role_away(full: Watch, gate: FakeOneGate) -> None:
    gate.of("5").update(FL_ROLE="superlink", FL_NODE_PUBKEY="")
    full.poll(4)
    assert full.partitions() == {"vm-5": 0, "vm-6": 1}


@pytest.mark.parametrize("noise", ["!", "-", "===="])
def test_the_key_of_another_node_is_not_taken_in_another_spelling_either(
    watch: Watch, gate: FakeOneGate, flower: FakeFlower, noise: str
) -> None:
    watch.ask("5", KEYS[0])
    watch.poll()
    # A node that somebody registered by hand: nobody may come into its place.
    flower.nodes["77"] = KEYS[3]
    kind, text = KEYS[0].split()
    watch.ask("6", f"{kind} {text}{noise}" if noise == "====" else f"{kind} {text[:30]}{noise}{text[30:]}")
    watch.poll()
    assert watch.partitions() == {"vm-5": 0} and "FL_NODE_ID" not in gate.of("6")
    assert "belongs to another node" in gate.of("6")["FL_ADMISSION_ERROR"]


def test_flower_is_not_asked_at_every_look_for_a_key_that_it_will_never_take(
    watch: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    flower.retired.add(KEYS[0])
    watch.ask("5", KEYS[0])
    watch.poll()
    assert gate.of("5")["FL_RETIRED_KEY"] == KEYS[0]
    gate.of("5")["FL_RETIRED_KEY"] = "NONE"
    watch.poll(5)
    assert flower.calls.count("register") == 1
    watch.poll(pause=20)
    assert gate.of("5")["FL_RETIRED_KEY"] == KEYS[0]
    # A new pair is tried at once.
    watch.ask("5", KEYS[1])
    watch.poll()
    assert gate.of("5")["FL_NODE_ID"] == flower.id_of(KEYS[1])


def test_a_vm_that_onegate_will_not_write_to_keeps_nobody_else_out(watch: Watch, gate: FakeOneGate) -> None:
    gate.locked.add("5")
    watch.ask("5", KEYS[0])
    watch.ask("6", KEYS[1])
    watch.poll(3)
    assert gate.of("6")["FL_NODE_ID"] and "FL_NODE_ID" not in gate.of("5")
    assert len([line for line in watch.said if "refused PUT /vms/5 with 403" in line]) == 1
    gate.locked.clear()
    watch.poll()
    assert gate.of("5")["FL_PARTITION_ID"] == "0"


def test_a_key_that_flower_refuses_keeps_nobody_else_out(watch: Watch, gate: FakeOneGate, flower: FakeFlower) -> None:
    flower.refused.add(KEYS[0])
    watch.ask("5", KEYS[0])
    watch.ask("6", KEYS[1])
    watch.poll(3)
    assert watch.partitions() == {"vm-6": 0} and gate.of("6")["FL_NODE_ID"]
    assert len([line for line in watch.said if line.startswith("vm-5 not admitted: Cannot register")]) == 1
    assert flower.calls.count("register") == 2
    flower.refused.clear()
    watch.poll(pause=20)
    assert watch.partitions() == {"vm-6": 0, "vm-5": 1}


def test_a_flower_that_does_not_answer_is_no_fault_of_a_node(watch: Watch, flower: FakeFlower) -> None:
    watch.poll()
    watch.ask("5", KEYS[0])
    flower.down = True
    with pytest.raises(FlwrCliError):
        watch.poll()
