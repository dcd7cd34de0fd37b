# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Faults of a running federation, and the keeper that mends them: real agent and files, fake systemd and OneGate."""

from __future__ import annotations

import base64
import os

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.firewall import firewall
from flower_ops.keeper.keeper_look import Kind
from flower_ops.machine import given
from flower_ops.machine.paths import Paths
from flower_ops.pki import keys, tls
from supernode_support import CA, Registrar, environment, with_registrar
from test_agent_profiles import change_to

UNIT = "flower-supernode.service"
LINK = "flower-superlink.service"
EVENT = "2027-01-15T08:00:00Z "


def test_a_healthy_node_costs_one_question_a_minute(running: FakeNode, gate: FakeOneGate) -> None:
    watcher = running.keeper()
    assert running.keep(watcher, 600) == [] and running.systemd.calls == []
    assert len(gate.requests) <= 12 and gate.of("5")["FL_CLIENT_STATUS"] == "1"
    # Numbers are written once, not at every look.
    assert len(gate.writes()) == 1


def test_superlink_reborn_with_a_new_address_is_followed(running: FakeNode, gate: FakeOneGate) -> None:
    watcher = running.keeper()
    running.keep(watcher, 60)
    attributes = gate.of("4")
    del gate.vms["4"]
    running.systemd.cut_off = True
    assert running.keep(watcher, 300) == []
    running.systemd.cut_off = False
    other = tls.new_ca()[1]
    authority = base64.b64encode(other).decode()
    gate.add("9", "superlink", **{**attributes, "FL_ENDPOINT": "10.0.0.9:9092", "FL_CA_CERT": authority})
    running.events[running.now + 15] = lambda: gate.of("5").update(FL_NODE_ID="321")
    (action,) = running.keep(watcher, 120)
    assert action.kind is Kind.CONFIGURE and "another VM now: 9 at 10.0.0.9:9092" in action.why
    assert "--superlink 10.0.0.9:9092" in environment(running) and "--max-retries 7" in environment(running)
    assert running.path("/opt/flower/certs/ca.crt").read_bytes() == other
    assert "partition-id=0 num-partitions=2" in environment(running)
    event = gate.of("5")["FL_EVENT"]
    assert (
        event == f"{EVENT}The SuperLink is another VM now: 9 at 10.0.0.9:9092. The agent has configured this VM anew."
    )
    assert gate.of("5")["READY"] == "YES" and running.keep(watcher, 600) == []


def test_superlink_that_only_moved_is_followed(running: FakeNode, gate: FakeOneGate) -> None:
    watcher = running.keeper()
    gate.of("4")["FL_ENDPOINT"] = "10.0.0.7:9092"
    (action,) = running.keep(watcher, 120)
    assert "moved from 10.0.0.4:9092 to 10.0.0.7:9092" in action.why
    assert "--superlink 10.0.0.7:9092" in environment(running)


def test_certificate_swapped_by_its_owner_is_followed(running: FakeNode, gate: FakeOneGate) -> None:
    from flower_ops.pki.authority import Authority

    key, cert = tls.new_ca()
    gate.of("4")["FL_CA_CERT"] = base64.b64encode(cert).decode()
    running.path("/etc/flower-ops/pinned.json").unlink()
    running.configure()
    running.systemd.calls.clear()
    watcher = running.keeper()
    during = Authority(key, cert).begin()
    bundle = b"".join([*during.roots, *during.evidence])
    gate.of("4")["FL_CA_CERT"] = base64.b64encode(bundle).decode()
    (action,) = running.keep(watcher, 120)
    assert "other certificates to trust" in action.why
    trusted = running.path("/opt/flower/certs/ca.crt").read_bytes()
    assert cert in trusted and during.roots[1] in trusted
    assert running.systemd.calls == [f"restart {UNIT}"]


def test_certificate_swapped_by_a_stranger_is_refused_and_told(running: FakeNode, gate: FakeOneGate) -> None:
    watcher = running.keeper()
    gate.of("4")["FL_CA_CERT"] = base64.b64encode(tls.new_ca()[1]).decode()
    actions = running.keep(watcher, 1200)
    assert 2 <= len(actions) <= 8
    assert running.path("/opt/flower/certs/ca.crt").read_bytes() == CA and running.systemd.calls == []
    assert gate.of("5")["FL_ERROR"] == "ca_changed" and "not mended yet" in gate.of("5")["FL_EVENT"]
    assert gate.of("5")["FL_NODE_READY"] == "NO"
    # It is over as soon as the right one is back.
    gate.of("4")["FL_CA_CERT"] = base64.b64encode(CA).decode()
    actions = running.keep(watcher, 900)
    assert "What failed before may work now." in actions[-1].why and len(actions) == 1
    assert not {"FL_ERROR", "FL_ERROR_TEXT"} & set(gate.of("5"))
    assert gate.of("5")["READY"] == gate.of("5")["FL_NODE_READY"] == "YES"


def test_a_failure_of_before_is_taken_back_when_all_is_well(
    running: FakeNode, superlink: FakeNode, gate: FakeOneGate
) -> None:
    gate.of("5").update(FL_ERROR="health_check_timeout", FL_NODE_READY="NO", READY="NO")
    (action,) = running.keep(running.keeper(), 300)
    assert action.kind is Kind.CONFIGURE and gate.of("5")["READY"] == "YES" and "FL_ERROR" not in gate.of("5")

    assert superlink.configure()[0] == 0
    watcher = superlink.keeper()
    serve = superlink.systemd.on_start
    superlink.systemd.on_start = lambda unit: 0
    superlink.systemd.active.clear()
    superlink.close()
    assert [action.kind for action in superlink.keep(watcher, 60)] == [Kind.CONFIGURE]
    assert gate.of("4")["FL_ERROR"] == "health_check_timeout" and gate.of("4")["READY"] == "NO"
    assert "not mended yet" in gate.of("4")["FL_EVENT"] and "already in use" not in gate.of("4")["FL_EVENT"]
    assert "already in use" in superlink.said[-1]
    superlink.systemd.on_start = serve
    serve(LINK)
    assert [action.why for action in superlink.keep(watcher, 120)] == ["What failed before may work now."]
    assert gate.of("4")["READY"] == "YES" and "FL_ERROR" not in gate.of("4")


def test_handshake_failed_makes_the_agent_look_again(running: FakeNode, gate: FakeOneGate) -> None:
    watcher = running.keeper()
    running.keep(watcher, 60)
    running.log.append("ERROR :     SSL/TLS handshake error detected.")
    running.systemd.cut_off = True
    running.events[running.now + 35] = lambda: setattr(running.systemd, "cut_off", False)
    (action, again) = running.keep(watcher, 120)
    assert action.kind is Kind.CONFIGURE and "certificate of the SuperLink was not accepted" in action.why
    # That was too early; later it is found well, and said so.
    assert again.why == "What failed before may work now." and gate.of("5")["READY"] == "YES"


def test_node_key_revoked_ends_in_a_new_key_that_is_admitted(running: FakeNode, gate: FakeOneGate) -> None:
    registrar = gate.of("5")
    assert isinstance(registrar, Registrar)
    old = registrar["FL_NODE_PUBKEY"]
    watcher = running.keeper()

    def refused() -> None:
        if registrar["FL_NODE_PUBKEY"] == old:
            running.log.append("[code: 2004] Failed to activate SuperNode.")
            running.events[running.now + 10] = refused

    refused()
    watcher.tick()
    # By this the registrar learns that it has to look.
    assert registrar["FL_CLIENT_STATUS"] == "3"
    (action,) = running.keep(watcher, 300)
    assert action.kind is Kind.NEW_KEY
    assert registrar["FL_NODE_PUBKEY"] != old and registrar["FL_NODE_ID"] == "102" and len(registrar.keys) == 2
    assert keys.proven(old, registrar["FL_NODE_PUBKEY"], registrar["FL_NODE_KEY_PROOF"])
    assert "refuses the key of this node. The agent has configured this VM anew." in registrar["FL_EVENT"]
    assert running.keep(watcher, 600) == []


def test_node_key_retired_by_the_registrar_is_replaced(running: FakeNode, gate: FakeOneGate) -> None:
    old = gate.of("5")["FL_NODE_PUBKEY"]
    watcher = running.keeper()
    gate.of("5")["FL_RETIRED_KEY"] = old
    (action,) = running.keep(watcher, 120)
    assert "key of this node is not valid any more" in action.why
    assert gate.of("5")["FL_NODE_PUBKEY"] != old and gate.of("5")["READY"] == "YES"


def test_a_refused_node_of_another_site_rests_between_its_tries(running: FakeNode, gate: FakeOneGate) -> None:
    static = {"SUPERLINK_ADDRESS": "192.0.2.1:9092", "SSL_CA_CERTFILE": base64.b64encode(CA).decode()}
    assert running.configure(**static)[0] == 0
    running.systemd.calls.clear()
    watcher = running.keeper()
    registered: list[bool] = []

    def refused() -> None:
        if UNIT in running.systemd.active and not registered:
            running.log.append("[code: 2004] Failed to activate SuperNode.")
        running.events[running.now + 10] = refused

    refused()
    actions = running.keep(watcher, 900)
    assert [action.kind for action in actions] == [Kind.STOP, Kind.START, Kind.STOP, Kind.START, Kind.STOP]
    assert UNIT not in running.systemd.active and len(running.said) == 1
    assert "its operator has to register its key" in gate.of("5")["FL_EVENT"]
    assert gate.of("5")["FL_CLIENT_STATUS"] == "3"
    registered.append(True)
    actions = running.keep(watcher, 400)
    assert [action.kind for action in actions] == [Kind.START, Kind.TELL] and UNIT in running.systemd.active
    assert "accepts this node again" in gate.of("5")["FL_EVENT"] and gate.of("5")["FL_CLIENT_STATUS"] == "1"


def test_rebooted_node_in_push_delivery_is_whole_again(running: FakeNode, gate: FakeOneGate) -> None:
    seen: list[str] = []
    serve = running.systemd.on_start
    running.reboot()
    running.systemd.on_start = lambda unit: (seen.append(gate.of("5")["READY"]), serve(unit))[1]
    watcher = running.keeper()
    (action,) = running.keep(watcher, 120)
    assert "started anew" in action.why and set(seen) == {"NO"}
    assert gate.of("5")["READY"] == "YES" and "--max-retries 7" in environment(running)
    assert "The VM was started anew. The agent has configured this VM anew." in gate.of("5")["FL_EVENT"]


def test_rebooted_appliance_is_left_to_its_boot_unit(running: FakeNode, gate: FakeOneGate) -> None:
    running.path("/etc/systemd/system/flower-boot.service").write_text("[Service]\n")
    running.reboot()
    watcher = running.keeper()
    assert running.keep(watcher, 300) == []
    running.systemd.active["flower-boot.service"] = 1
    assert running.boot()[0] == 0 and running.keep(watcher, 300) == []


def test_rules_that_are_not_in_force_are_loaded_again_within_a_minute(
    running: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only of a machine's own root the rules are in its kernel; `in_force` itself is tested with the firewall.
    monkeypatch.setattr(Paths, "at", lambda paths, path: running.path(path))
    monkeypatch.setattr(firewall, "in_force", lambda paths: False)
    watcher = running.keeper()
    watcher.sight.paths = Paths()
    assert running.keep(watcher, 60) == []
    (action,) = running.keep(watcher, 10)
    assert action.kind is Kind.CONFIGURE and action.why == "The firewall was not in force."


def test_another_run_of_the_agent_is_not_disturbed(running: FakeNode, gate: FakeOneGate) -> None:
    watcher = running.keeper()
    gate.of("4")["FL_ENDPOINT"] = "10.0.0.7:9092"
    with given.alone(Paths(running.root)):
        assert running.keep(watcher, 120) == []
    assert len(running.keep(watcher, 60)) == 1


def test_every_vm_rebooted_at_once(superlink: FakeNode, supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink.context(**superlink.given())
    assert superlink.boot()[0] == 0
    with_registrar(gate)
    assert supernode.boot()[0] == 0
    for vm in (superlink, supernode):
        vm.reboot()
    # The node is faster. What the SuperLink said before its reboot lasts until its agent runs.
    supernode.events[supernode.now + 1.0] = lambda: (superlink.boot(), None)[1]
    gate.of("4")["FL_READY"] = "NO"
    code, told = supernode.boot()
    assert code == 0, told
    assert gate.of("4")["READY"] == gate.of("5")["READY"] == "YES"
    assert "started anew" in gate.of("4")["FL_EVENT"] and "started anew" in gate.of("5")["FL_EVENT"]


def test_a_superlink_without_a_run_is_brought_in_line_every_hour(superlink: FakeNode, gate: FakeOneGate) -> None:
    assert superlink.configure()[0] == 0
    watcher = superlink.keeper()
    superlink.systemd.calls.clear()
    (action,) = superlink.keep(watcher, 3700)
    assert action.why == "" and superlink.systemd.calls == [] and "FL_EVENT" not in gate.of("4")
    # A certificate near its end: made here by taking it away.
    superlink.path("/opt/flower/certs/server.pem").unlink()
    superlink.keep(watcher, 3700)
    assert f"restart {LINK}" in superlink.systemd.calls
    assert "Renewed or brought in line: /opt/flower/certs/server.pem" in gate.of("4")["FL_EVENT"]
    assert gate.of("4")["READY"] == "YES" and gate.of("4")["FL_TRAINING_ACTIVE"] == "0"


def test_a_superlink_whose_address_changed_says_so(superlink: FakeNode, gate: FakeOneGate) -> None:
    assert superlink.configure()[0] == 0
    watcher = superlink.keeper()
    superlink.keep(watcher, 30)
    env = superlink.path("/run/one-context/one_env")
    env.write_text(env.read_text().replace("10.0.0.20", "10.0.0.21"))
    os.utime(env, (1, 1))
    (action,) = superlink.keep(watcher, 60)
    assert "from 10.0.0.20 to 10.0.0.21" in action.why and "10.0.0.20" in gate.of("4")["FL_EVENT"]


@pytest.mark.parametrize(
    ("version", "door", "unit"),
    [
        ("1.41.0", "fleet", "flower-gate.service"),
        ("1.41.0", "control", LINK),
        ("1.34.0", "fleet", LINK),
        ("1.34.0", "control", LINK),
    ],
)
def test_a_service_that_hangs_is_started_anew_and_no_other(
    superlink: FakeNode, gate: FakeOneGate, version: str, door: str, unit: str
) -> None:
    change_to(superlink, version)
    assert superlink.configure()[0] == 0
    watcher = superlink.keeper()
    assert superlink.keep(watcher, 120) == []
    serve = superlink.systemd.on_start

    def hangs() -> None:
        superlink._opened[("fleet", "control").index(door)].close()
        # Behind its gate the SuperLink is mended by its own restart alone, and the gate by the gate's.
        superlink.systemd.on_start = lambda started: (serve(LINK) if started == unit else 1, 1)[1]

    hangs()
    superlink.systemd.calls.clear()
    actions = superlink.keep(watcher, 400)
    assert [action.kind for action in actions][:2] == [Kind.CONFIGURE, Kind.RESTART] and actions[1].unit == unit
    assert {call for call in superlink.systemd.calls if call.startswith("restart")} == {f"restart {unit}"}
    api = f"{door.title()} API"
    assert api in actions[0].why and ("gate" in actions[0].why) == (unit != LINK)
    assert superlink.keep(watcher, 400) == [] and gate.of("4")["READY"] == gate.of("4")["FL_READY"] == "YES"


def test_onegate_down_is_told_once_and_numbers_come_later(running: FakeNode, gate: FakeOneGate) -> None:
    gate.down = True
    watcher = running.keeper()
    assert running.keep(watcher, 300) == []
    assert len(running.said) == 1 and "refused PUT /vm with 502" in running.said[0]
    running.log.extend(["[RUN 1, ROUND 3]", "Receiving: train message (ID: a)"])
    running.keep(watcher, 10)
    gate.down = False
    running.keep(watcher, 10)
    assert (gate.of("5")["FL_ROUND_NUMBER"], gate.of("5")["FL_CLIENT_STATUS"]) == ("3", "2")


def test_paths_of_the_keeper_lie_below_the_root(running: FakeNode) -> None:
    running.keeper().sight.refuse_own_key()
    assert running.path(Paths.refused).read_text() == running.path(Paths.node_pub).read_text()
