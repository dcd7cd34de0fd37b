# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The registrar between OneGate and Flower: VMs that come, go, come back, and a SuperLink that is made anew."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from fake_onegate import FakeOneGate
from flower_ops.membership import registrar_service
from flower_ops.pki import keys
from membership_support import KEYS, FakeFlower, Watch


def test_nodes_that_introduce_themselves_are_admitted_and_told(
    watch: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    watch.poll()
    assert watch.partitions() == {}
    watch.ask("6", KEYS[1])
    gate.of("5").update(FL_ROLE="supernode")
    watch.poll()
    assert watch.said == ["vm-6 admitted with partition 0 of 2"]
    assert gate.of("6")["FL_PARTITION_ID"] == "0" and gate.of("6")["FL_NUM_PARTITIONS"] == "2"
    assert flower.nodes[gate.of("6")["FL_NODE_ID"]] == KEYS[1]
    assert "FL_PARTITION_ID" not in gate.of("5")
    gate.requests.clear()
    flower.calls.clear()
    watch.poll()
    assert gate.requests == ["GET /service?extended=true by 4"] and flower.calls == []


def test_addresses_come_from_opennebula_and_reach_the_firewall_before_the_answer(
    watch: Watch, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = watch.root / "etc/flower-ops/firewall.d/members.nft"
    seen: list[str] = []
    put = gate.handle

    def handle(method: str, path: str, vm_id: str, token: str, body: str) -> tuple[int, str]:
        if method == "PUT":
            seen.append(rules.read_text())
        return put(method, path, vm_id, token, body)

    monkeypatch.setattr(gate, "handle", handle)
    watch.ask("5", KEYS[0], IP="198.51.100.1", ETH0_IP="198.51.100.1")
    watch.poll()
    assert "10.0.0.5" in seen[0] and "fd00::5" in seen[0] and "198.51.100.1" not in rules.read_text()
    gate.cards["5"] = [{"IP": "10.0.0.55", "IP6_LINK": "fe80::1"}, {"IP": "192.168.9.5", "EXTERNAL_IP": "203.0.113.5"}]
    watch.poll()
    assert "{ 10.0.0.55, 192.168.9.5, 203.0.113.5 }" in rules.read_text() and "fe80" not in rules.read_text()
    del gate.vms["5"]
    watch.poll(2)
    assert "add element" not in rules.read_text()


def test_a_vm_gone_for_good_frees_its_partition(watch: Watch, gate: FakeOneGate, flower: FakeFlower) -> None:
    watch.members.admit("other-site", "n", KEYS[3])
    watch.ask("5", KEYS[0])
    watch.poll()
    role = gate.vms.pop("5")
    watch.poll()
    gate.vms["5"] = role
    watch.poll()
    del gate.vms["5"]
    watch.poll(4, pause=0.5)
    assert len(watch.partitions()) == 2
    watch.poll()
    assert watch.partitions() == {"n": 0} and list(flower.nodes.values()) == [KEYS[3]]
    assert watch.said[-1].startswith("vm-5 removed")


def test_an_answer_without_ourselves_removes_nobody(
    watch: Watch, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.ask("5", KEYS[0])
    watch.poll()
    monkeypatch.setattr(gate, "_service", lambda extended: {"name": "fed", "id": "7", "state": 2, "roles": []})
    watch.poll(4)
    assert watch.partitions() == {"vm-5": 0}


def test_partitions_stay_through_scale_up_removal_of_the_oldest_and_reboot(
    tmp_path: Path, gate: FakeOneGate, flower: FakeFlower
) -> None:
    watch = Watch(tmp_path, gate, flower, 4)
    pairs = {vm_id: keys.check_public(keys.new_key_pair()[1].decode()) for vm_id in "5678"}
    for vm_id in "56":
        watch.ask(vm_id, pairs[vm_id])
    watch.poll()
    gate.add("7", "supernode")
    watch.ask("7", pairs["7"])
    watch.poll()
    assert watch.partitions() == {"vm-5": 0, "vm-6": 1, "vm-7": 2}
    # OneFlow removes the oldest first; everything reboots meanwhile.
    del gate.vms["5"]
    watch.poll(2)
    watch.restart()
    watch.poll()
    assert watch.partitions() == {"vm-6": 1, "vm-7": 2}
    gate.add("8", "supernode")
    watch.ask("8", pairs["8"])
    watch.poll()
    assert watch.partitions() == {"vm-8": 0, "vm-6": 1, "vm-7": 2}


def test_a_superlink_made_anew_gives_every_node_the_partition_that_it_had(
    tmp_path: Path, gate: FakeOneGate, flower: FakeFlower
) -> None:
    gate.add("7", "supernode")
    watch = Watch(tmp_path / "old", gate, flower, 4)
    watch.ask("6", KEYS[1])
    watch.poll()
    watch.ask("5", KEYS[0])
    watch.poll()
    before = watch.partitions()
    assert before == {"vm-6": 0, "vm-5": 1}
    reborn = Watch(tmp_path / "new", gate, FakeFlower(), 4)
    # A newcomer asks together with those that were there before, and vm-5 is late.
    del gate.of("5")["FL_NODE_PUBKEY"]
    reborn.ask("7", KEYS[2])
    reborn.poll()
    assert reborn.partitions() == {"vm-6": 0, "vm-7": 2}
    assert "vm-6 admitted with partition 0 of 4 as before" in reborn.said
    reborn.ask("5", KEYS[0])
    reborn.poll()
    assert reborn.partitions() == {**before, "vm-7": 2}


@pytest.mark.parametrize("claim", ["9", "-1", "1" * 40, "0x1", "²", "1 "])
def test_a_partition_that_does_not_exist_is_not_adopted(watch: Watch, claim: str) -> None:
    watch.ask("5", KEYS[0], FL_PARTITION_ID=claim)
    watch.poll()
    assert watch.partitions() == {"vm-5": 0}


def test_what_flower_forgot_is_registered_again_while_the_registrar_lives(
    watch: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    watch.ask("5", KEYS[0])
    watch.poll()
    flower.nodes.clear()
    watch.poll(3)
    assert flower.nodes == {}
    # A node that lost touch is a reason to look, and only once.
    gate.of("5")["FL_CLIENT_STATUS"] = "3"
    watch.poll()
    assert gate.of("5")["FL_NODE_ID"] == flower.id_of(KEYS[0])
    calls = len(flower.calls)
    watch.poll(20)
    assert len(flower.calls) == calls
    # And without any word, it is found in the end.
    flower.nodes.clear()
    watch.poll(pause=300)
    assert list(flower.nodes.values()) == [KEYS[0]]


def test_a_revoked_key_is_named_to_its_node_which_comes_back_with_another_one(
    watch: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    watch.ask("5", KEYS[0])
    watch.ask("6", KEYS[1])
    watch.poll()
    before = watch.partitions()
    flower.unregister(flower.id_of(KEYS[0]))
    gate.of("5")["FL_NODE_READY"] = "NO"
    watch.poll()
    assert gate.of("5")["FL_RETIRED_KEY"] == KEYS[0] and "local/vm-5 was unregistered" in " ".join(watch.said)
    writes = len(gate.writes())
    watch.poll(3)
    assert len(gate.writes()) == writes
    watch.ask("5", KEYS[2])
    watch.poll()
    assert watch.partitions() == before and gate.of("5")["FL_NODE_ID"] == flower.id_of(KEYS[2])
    # The node's run that makes the new pair would end at an error.
    assert "FL_ADMISSION_ERROR" not in gate.of("5")


def test_a_member_that_an_operator_removed_comes_back_with_a_new_key_and_its_partition(
    watch: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    for vm_id, key in (("5", KEYS[0]), ("6", KEYS[1])):
        watch.ask(vm_id, key)
    watch.poll()
    watch.members.remove("local", "vm-6")
    watch.poll()
    assert gate.of("6")["FL_RETIRED_KEY"] == KEYS[1]
    watch.ask("6", KEYS[2])
    watch.poll()
    assert watch.partitions() == {"vm-5": 0, "vm-6": 1}


def test_refusals_are_said_once_and_taken_back(watch: Watch, gate: FakeOneGate) -> None:
    for name, key in (("a", KEYS[2]), ("b", KEYS[3])):
        watch.members.admit("elsewhere", name, key)
    watch.ask("5", KEYS[0])
    watch.ask("6", "ssh-ed25519 AAAA")
    watch.poll(2)
    assert len(watch.said) == 2 and "All 2 partitions are in use" in gate.of("5")["FL_ADMISSION_ERROR"]
    assert "not an EC public key" in gate.of("6")["FL_ADMISSION_ERROR"]
    watch.members.remove("elsewhere", "a")
    watch.poll()
    assert gate.of("5")["FL_ADMISSION_ERROR"] == "NONE" and gate.of("5")["FL_PARTITION_ID"] == "0"


def test_a_list_that_cannot_be_read_is_not_blamed_on_a_key(
    watch: Watch, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch.ask("5", KEYS[0])
    admit, place = watch.members.admit, watch.root / "etc/flower-ops/members.json"

    def with_a_list_damaged_meanwhile(*given: Any) -> Any:
        place.write_text("{")
        try:
            return admit(*given)
        finally:
            place.unlink()

    monkeypatch.setattr(watch.members, "admit", with_a_list_damaged_meanwhile)
    watch.poll()
    assert "members.json is damaged" in gate.of("5")["FL_ADMISSION_ERROR"]
    assert "FL_NODE_PUBKEY" not in gate.of("5")["FL_ADMISSION_ERROR"]


def test_what_cannot_be_restored_is_said_once(watch: Watch, gate: FakeOneGate, flower: FakeFlower) -> None:
    for vm_id, key in (("5", KEYS[0]), ("6", KEYS[1])):
        watch.ask(vm_id, key)
    watch.poll()
    flower.nodes = {"901": KEYS[0], "902": KEYS[1]}
    watch.poll(3, pause=301)
    assert len([line for line in watch.said if "vm-5 may not be registered: The key" in line]) == 1
    assert "FL_RETIRED_KEY" not in gate.of("5")


def test_somebody_is_awaited_until_every_vm_is_a_member_but_not_for_ever(watch: Watch, gate: FakeOneGate) -> None:
    assert watch.poll() is True
    watch.ask("5", KEYS[0])
    assert watch.poll() is True
    watch.ask("6", KEYS[1])
    assert watch.poll() is False
    gate.add("7", "supernode")
    assert watch.poll() is True
    assert watch.poll(2, pause=200) is False


def test_the_first_member_is_awaited_for_a_minute_before_there_is_any_vm(watch: Watch, gate: FakeOneGate) -> None:
    for vm_id in ("5", "6"):
        del gate.vms[vm_id]
    watch.restart()
    assert watch.poll() is True
    assert watch.poll(20) is False


def test_the_loop_says_a_fault_once_waits_longer_and_recovers(
    watch: Watch, gate: FakeOneGate, flower: FakeFlower
) -> None:
    watch.ask("5", KEYS[0])
    flower.down = True
    pauses: list[float | None] = []
    expected: list[bool] = []

    class Stop(threading.Event):
        def wait(self, timeout: float | None = None) -> bool:
            pauses.append(timeout)
            watch.now += timeout or 0
            flower.down = len(pauses) < 7
            if len(pauses) == 8:
                watch.ask("6", KEYS[1])
            if len(pauses) == 9:
                self.set()
            return True

    registrar_service.loop(watch.registrar, Stop(), watch.said.append, expected.append)
    assert pauses == [6, 12, 24, 48, 60, 60, 60, 1, 3] and expected == [True, False]
    assert watch.said[0].startswith("cannot go on: Connection") and watch.said[1:] == [
        "vm-5 admitted with partition 0 of 2",
        "working again",
        "vm-6 admitted with partition 1 of 2",
    ]
