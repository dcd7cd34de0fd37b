# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent on a SuperNode: discovery, trust, admission, start."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.agent.supernode import ENDED
from flower_ops.node.node import env_file
from flower_ops.pki import keys
from supernode_support import CA, admitted, environment, superlink_is_up, with_registrar

UNIT = "flower-supernode.service"


def test_first_run_ends_ready_and_the_second_changes_nothing(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    code, answer = supernode.configure()
    assert (code, answer["message"]) == (0, "")
    facts = answer["facts"]
    assert facts["ready"] and facts["partition_id"] == 1 and facts["num_partitions"] == 3 and facts["node_id"] == "77"
    assert facts["endpoint"] == "10.0.0.4:9092" and facts["tls"]
    published = gate.of("5")
    assert published["READY"] == published["FL_NODE_READY"] == "YES" and published["FL_FRAMEWORK"] == "sklearn"
    assert published["FL_NODE_PUBKEY"] == facts["node_pubkey"]
    assert supernode.path("/opt/flower/certs/ca.crt").read_bytes() == CA
    env = environment(supernode)
    assert 'FLOWER_NODE_CONFIG="partition-id=1 num-partitions=3"' in env
    assert "--root-certificates /opt/flower/certs/ca.crt" in env and "--insecure" not in env
    assert "--max-retries" not in env and "--max-wait-time" not in env

    gate.requests.clear()
    supernode.systemd.calls.clear()
    code, answer = supernode.configure()
    assert (code, answer["changed"], answer["diff"]) == (0, False, [])
    assert gate.writes() == [] and supernode.systemd.calls == []


def test_the_private_key_stays_on_the_node(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    _rest, answer = supernode.configure()
    private = supernode.path("/opt/flower/certs/supernode.key").read_bytes()
    assert keys.public_of(private).decode().strip() == answer["facts"]["node_pubkey"]
    assert "PRIVATE KEY" not in json.dumps(answer) + json.dumps(gate.of("5"))


def test_a_node_waits_for_the_superlink_quickly_at_first(supernode: FakeNode, gate: FakeOneGate) -> None:
    code, answer = supernode.configure()
    assert code == 1 and "not found through OneGate" in answer["message"]
    assert supernode.slept[:2] == [1.0, 1.0] and supernode.slept.count(10.0) == 29
    assert gate.of("5")["FL_ERROR"] == "discovery_failed" and "READY" not in gate.of("5")


def test_an_ipv6_endpoint_comes_through(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate, FL_ENDPOINT="fd00::4:9092")
    admitted(gate)
    assert supernode.configure()[1]["facts"]["endpoint"] == "[fd00::4]:9092"


def test_only_the_role_superlink_is_believed(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate, FL_READY="NO")
    gate.of("6").update(FL_ROLE="superlink", FL_READY="YES", FL_ENDPOINT="10.0.0.66:9092")
    assert supernode.configure()[0] == 1


def test_admission_is_waited_for_and_its_absence_explained(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    code, answer = supernode.configure()
    assert code == 1 and "registrar" in answer["message"] and "FL_PARTITION_ID" in answer["message"]
    assert gate.of("5")["FL_NODE_PUBKEY"].startswith("ecdsa-sha2-nistp384 ")
    assert supernode.systemd.calls == []
    gate.of("5")["FL_ADMISSION_ERROR"] = "All 2 partitions are in use."
    assert "All 2 partitions are in use." in supernode.configure()[1]["message"]


@pytest.mark.parametrize(
    ("published", "variables", "reason"),
    [
        ({"FL_VERSION": "1.25.0"}, {}, "runs Flower 1.25.0"),
        ({"FL_TLS": "NO"}, {}, "FL_TLS=NO"),
        ({}, {"TLS_ENABLED": "NO", "SUPERNODE_AUTH": "NO"}, "FL_TLS=YES"),
        ({"FL_CA_CERT": "junk"}, {}, "no usable FL_CA_CERT"),
        ({"FL_ENDPOINT": ""}, {}, "no usable FL_ENDPOINT"),
    ],
)
def test_what_does_not_fit_is_refused(
    supernode: FakeNode, gate: FakeOneGate, published: dict[str, str], variables: dict[str, str], reason: str
) -> None:
    superlink_is_up(gate, **published)
    admitted(gate)
    code, answer = supernode.configure(**variables)
    assert code == 1 and reason in answer["message"]
    assert supernode.systemd.calls == []


def test_a_given_address_needs_no_onegate(tmp_path: Path, supernode: FakeNode) -> None:
    node = FakeNode(tmp_path / "plain", "supernode", "9", None)
    node.ports = supernode.ports
    code, answer = node.configure()
    assert code == 1 and "ONEAPP_FL_SUPERLINK_ADDRESS" in answer["message"]
    given = {"SUPERLINK_ADDRESS": "192.0.2.1:9092", "SSL_CA_CERTFILE": base64.b64encode(CA).decode()}
    code, answer = node.configure(**given, NODE_CONFIG='partition-id=2 num-partitions=4 site="a b"', MAX_RETRIES="5")
    node.close()
    assert code == 0, answer["message"]
    assert answer["facts"]["partition_id"] == 2 and answer["facts"]["num_partitions"] == 4
    assert 'FLOWER_NODE_CONFIG="partition-id=2 num-partitions=4 site=\\"a b\\""' in environment(node)
    assert "--superlink 192.0.2.1:9092" in environment(node) and "--max-retries 5" in environment(node)


def test_own_node_config_needs_no_partition_but_still_a_registration(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    gate.of("5")["FL_NODE_ID"] = "77"
    code, answer = supernode.configure(NODE_CONFIG="x=1")
    assert code == 0 and answer["facts"]["node_id"] == "77" and "partition_id" not in answer["facts"]


def test_a_retired_key_is_replaced(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    with_registrar(gate)
    old = supernode.configure()[1]["facts"]["node_pubkey"]
    gate.of("5")["FL_RETIRED_KEY"] = old
    supernode.systemd.calls.clear()
    _rest, answer = supernode.configure()
    assert answer["facts"]["node_pubkey"] != old == gate.of("5")["FL_RETIRED_KEY"]
    assert answer["facts"]["node_id"] == "102"
    assert supernode.systemd.calls == [f"restart {UNIT}"]
    assert supernode.configure()[1]["changed"] is False


def test_a_key_retired_while_waiting_is_replaced_in_the_same_run(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    registrar = with_registrar(gate, retire=1)
    code, answer = supernode.configure()
    assert (code, answer["message"]) == (0, "") and answer["facts"]["node_pubkey"] != registrar.keys[0]
    assert answer["facts"]["node_id"] == "102" and gate.of("5")["READY"] == "YES"


def test_a_new_key_is_not_used_before_it_is_admitted(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    supernode.configure()
    supernode.path("/opt/flower/certs/supernode.key").unlink()
    supernode.path("/opt/flower/certs/supernode.pub").unlink()
    supernode.systemd.calls.clear()
    code, answer = supernode.configure()
    assert code == 1 and "FL_NODE_ID did not come" in answer["message"]
    assert gate.of("5")["FL_NODE_ID"] == "NONE" and supernode.systemd.calls == []


def test_another_superlink_has_to_admit_again_and_the_partition_stays(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    supernode.configure()
    attributes = gate.of("4")
    del gate.vms["4"]
    gate.add("9", "superlink", **{**attributes, "FL_ENDPOINT": "10.0.0.9:9092"})
    said: list[str] = []

    def admit() -> None:
        said.append(gate.of("5")["FL_NODE_ID"])
        gate.of("5")["FL_NODE_ID"] = "78"

    supernode.events[supernode.now + 3.0] = admit
    code, answer = supernode.configure()
    assert (code, answer["message"]) == (0, "") and said == ["NONE"]
    facts = answer["facts"]
    assert (facts["node_id"], facts["partition_id"], facts["endpoint"]) == ("78", 1, "10.0.0.9:9092")
    assert "--superlink 10.0.0.9:9092" in environment(supernode)


def test_a_framework_that_is_not_installed_is_never_replaced_by_another(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    code, answer = supernode.configure(FRAMEWORK="pytorch")
    assert (
        code == 1
        and "/opt/flower/frameworks/pytorch does not exist on this VM (installed: sklearn)" in answer["message"]
    )
    assert gate.of("5")["FL_ERROR"] == "framework_missing" and supernode.systemd.calls == []
    supernode.install("1.34.0", "frameworks/pytorch")
    assert supernode.configure(FRAMEWORK="pytorch")[0] == 0
    link = supernode.path("/opt/flower/current-framework")
    assert str(link.readlink()) == "/opt/flower/frameworks/pytorch"
    supernode.systemd.calls.clear()
    # Another environment is another program: the service is started with it.
    assert supernode.configure(FRAMEWORK="sklearn")[0] == 0
    assert supernode.systemd.calls == [f"restart {UNIT}"] and link.readlink().name == "sklearn"


def test_a_refused_framework_leaves_a_node_ready_that_works(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    assert supernode.configure(MAX_RETRIES="7")[0] == 0
    supernode.install("1.25.0", "frameworks/llm")
    watcher = supernode.keeper()
    for framework, word in (("pytorch", "framework_missing"), ("llm", "version_mismatch")):
        assert supernode.configure(FRAMEWORK=framework)[0] == 1
        own = gate.of("5")
        assert (own["FL_ERROR"], own["READY"], own["FL_NODE_READY"]) == (word, "YES", "YES")
        # The keeper sees the complaint, and finds the node as it was configured last.
        assert [action.why for action in supernode.keep(watcher, 240)] == ["What failed before may work now."]
        assert "FL_ERROR" not in own and own["READY"] == "YES" and "--max-retries 7" in environment(supernode)


def test_a_node_whose_superlink_runs_another_version_is_not_ready(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    assert supernode.configure()[0] == 0
    gate.of("4")["FL_VERSION"] = "1.41.0"
    assert supernode.configure()[0] == 1
    assert gate.of("5")["FL_ERROR"] == "version_mismatch" and gate.of("5")["READY"] == "NO"


def test_an_environment_of_another_flower_is_refused(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    supernode.install("1.25.0", "frameworks/llm")
    code, answer = supernode.configure(FRAMEWORK="llm")
    assert code == 1 and "holds Flower 1.25.0" in answer["message"] and gate.of("5")["FL_ERROR"] == "version_mismatch"


def test_a_service_without_connection_is_never_ready(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    supernode.systemd.on_start = lambda unit: 2**22 + 1
    code, answer = supernode.configure()
    assert code == 1 and "no connection to the SuperLink" in answer["message"]
    assert gate.of("5")["FL_NODE_READY"] == "NO" and gate.of("5")["FL_ERROR"] == "health_check_timeout"
    assert "Its last words: Address already" in answer["message"] and "Address" not in gate.of("5")["FL_ERROR_TEXT"]
    assert "READY" not in gate.of("5")


@pytest.mark.parametrize("started_by", ["agent", "systemd"])
def test_a_node_that_is_connected_but_not_accepted_is_never_ready(
    supernode: FakeNode, gate: FakeOneGate, started_by: str
) -> None:
    superlink_is_up(gate)
    admitted(gate)
    if started_by == "systemd":
        assert supernode.configure()[0] == 0
        # At a boot systemd starts the unit beside the agent.
        supernode.systemd.old = 5.0
        supernode.systemd.calls.clear()
    supernode.systemd.says = False
    code, answer = supernode.configure()
    assert code == 1 and "has not accepted it" in answer["message"] and gate.of("5")["FL_NODE_READY"] == "NO"
    supernode.systemd.says = True
    assert supernode.configure()[0] == 0


@pytest.mark.parametrize(("level", "says"), [("WARNING", False), ("INFO", None)])
def test_a_silent_service_has_to_stay_longer(
    supernode: FakeNode, gate: FakeOneGate, level: str, says: bool | None
) -> None:
    superlink_is_up(gate)
    admitted(gate)
    supernode.systemd.says = says
    assert supernode.configure(LOG_LEVEL=level)[0] == 0
    assert 20.0 in supernode.slept


def test_a_service_without_living_connection_is_not_ready(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    supernode.systemd.cut_off = True
    code, answer = supernode.configure()
    assert code == 1 and "no connection to the SuperLink at 10.0.0.4:9092" in answer["message"]


def test_a_process_that_has_given_up_and_stays_is_started_anew(supernode: FakeNode, gate: FakeOneGate) -> None:
    superlink_is_up(gate)
    admitted(gate)
    assert supernode.configure()[0] == 0
    supernode.systemd.calls.clear()
    supernode.systemd.cut_off, supernode.systemd.said = True, {ENDED}
    assert supernode.configure(check=True)[1]["facts"]["ready"] is False and supernode.systemd.calls == []

    def come_back(unit: str) -> int:
        supernode.systemd.cut_off = False
        return 2

    supernode.systemd.on_start = come_back
    assert supernode.configure()[0] == 0
    assert supernode.systemd.calls == ["restart flower-supernode.service"]


def test_check_mode_changes_nothing_before_and_after(supernode: FakeNode, gate: FakeOneGate) -> None:
    code, answer = supernode.configure(check=True)
    assert code == 0 and answer["changed"] and "cannot be predicted further" in answer["warnings"][0]
    assert gate.writes() == [] and not supernode.path("/opt/flower/config").exists()
    superlink_is_up(gate)
    admitted(gate)
    supernode.configure()
    assert supernode.configure(check=True)[1]["changed"] is False


def test_a_tree_that_is_not_this_machine_starts_nothing(supernode: FakeNode, gate: FakeOneGate) -> None:
    from flower_ops.agent import agent

    superlink_is_up(gate)
    admitted(gate)
    code, answer = agent.configure(agent.Request("supernode", {}, root=supernode.root))
    assert code == 0 and answer["facts"]["ready"] is False and "was not started" in answer["warnings"][0]
    assert gate.writes() == []


def test_systemd_gets_values_back_as_they_were() -> None:
    assert env_file({"A": 'x="a b" \\ $HOME `id`'}) == b'A="x=\\"a b\\" \\\\ \\$HOME \\`id\\`"\n'
