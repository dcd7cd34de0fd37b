# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The agent on the SuperLink: what it writes, starts and says, and what it leaves alone."""

from __future__ import annotations

import base64
import itertools
import json
import os
import shlex
import stat
from pathlib import Path
from typing import Any

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.agent import agent
from flower_ops.machine.errors import OneGateError
from flower_ops.machine.files import Files
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.pki import tls

UNIT = "flower-superlink.service"


def arguments(node: FakeNode) -> list[str]:
    """Arguments that the service gets."""
    for line in node.path("/opt/flower/config/superlink.env").read_text().splitlines():
        if line.startswith("FLOWER_ARGS="):
            return shlex.split(shlex.split(line.removeprefix("FLOWER_ARGS="))[0])
    raise AssertionError("no arguments")


def mode(node: FakeNode, name: str) -> int:
    return stat.S_IMODE(node.path(name).stat().st_mode)


def headers(answer: dict[str, Any]) -> list[str]:
    return [change["after_header"] for change in answer["diff"]]


def test_first_run_ends_ready_and_the_second_changes_nothing(superlink: FakeNode, gate: FakeOneGate) -> None:
    code, answer = superlink.configure(NUM_PARTITIONS="3")
    assert (code, answer["changed"], answer["message"]) == (0, True, "")
    facts = answer["facts"]
    assert facts["ready"] and facts["tls"] and facts["num_partitions"] == 3 and facts["version"] == "1.34.0"
    published = gate.of("4")
    assert published["READY"] == published["FL_READY"] == published["FL_TLS"] == "YES"
    assert base64.b64decode(published["FL_CA_CERT"]) == superlink.path("/opt/flower/certs/ca.crt").read_bytes()
    assert published["FL_ENDPOINT"] == facts["endpoint"]

    gate.requests.clear()
    superlink.systemd.calls.clear()
    code, answer = superlink.configure(NUM_PARTITIONS="3")
    assert (code, answer["changed"], answer["diff"]) == (0, False, [])
    assert gate.writes() == [] and superlink.systemd.calls == []


def test_ready_is_the_last_word(superlink: FakeNode, gate: FakeOneGate) -> None:
    at_start: list[dict[str, str]] = []
    serve = superlink.systemd.on_start
    superlink.systemd.on_start = lambda unit: (at_start.append(dict(gate.of("4"))), serve(unit))[1]
    superlink.configure()
    assert at_start and all("READY" not in seen and "FL_READY" not in seen for seen in at_start)
    assert superlink.systemd.calls[-1] == "restart flower-keeper.service"


def test_files_have_their_owners_and_modes(superlink: FakeNode) -> None:
    superlink.configure()
    expected = {
        "/etc/flower-ops": 0o700,
        "/etc/flower-ops/ca.key": 0o600,
        "/opt/flower/config": 0o750,
        "/opt/flower/config/superlink.env": 0o640,
        "/opt/flower/certs": 0o700,
        "/opt/flower/certs/ca.crt": 0o644,
        "/opt/flower/certs/server.pem": 0o644,
        "/opt/flower/certs/server.key": 0o600,
        "/opt/flower/cli/config.toml": 0o600,
    }
    assert {name: mode(superlink, name) for name in expected} == expected
    assert not superlink.path("/opt/flower/certs/ca.key").exists()
    if os.geteuid() == 0:
        assert superlink.path("/etc/flower-ops/ca.key").stat().st_uid == 0
        assert superlink.path("/opt/flower/certs/server.key").stat().st_uid != 0


def test_arguments_are_closed_by_default(superlink: FakeNode) -> None:
    superlink.configure()
    args = arguments(superlink)
    assert "--insecure" not in args and "--enable-supernode-auth" in args
    assert "--disable-runtime-dependency-installation" in args
    given = dict(itertools.pairwise(args))
    assert given["--database"] == "/opt/flower/state/state.db"
    for flag in ("--serverappio-api-address", "--health-server-address"):
        assert given[flag].startswith("127.0.0.1:")
    text = superlink.path("/opt/flower/cli/config.toml").read_text()
    assert 'root-certificates = "/opt/flower/certs/ca.crt"' in text and given["--control-api-address"] in text


def test_without_tls_the_service_is_insecure_and_says_so(superlink: FakeNode, gate: FakeOneGate) -> None:
    code, answer = superlink.configure(TLS_ENABLED="NO", SUPERNODE_AUTH="NO")
    assert code == 0 and answer["facts"]["tls"] is False
    assert "--insecure" in arguments(superlink) and "--enable-supernode-auth" not in arguments(superlink)
    assert gate.of("4")["FL_TLS"] == "NO" and "FL_CA_CERT" not in gate.of("4")
    assert not superlink.path("/opt/flower/certs/ca.crt").exists()


def test_a_new_address_renews_the_certificate_and_keeps_the_authority(superlink: FakeNode) -> None:
    superlink.configure()
    ca, cert = (superlink.path(f"/opt/flower/certs/{name}").read_bytes() for name in ("ca.crt", "server.pem"))
    superlink.systemd.calls.clear()
    code, answer = superlink.configure(CERT_EXTRA_SAN="IP:192.0.2.7")
    assert code == 0 and "/opt/flower/certs/server.pem" in headers(answer)
    assert superlink.path("/opt/flower/certs/ca.crt").read_bytes() == ca
    assert superlink.path("/opt/flower/certs/server.pem").read_bytes() != cert
    assert superlink.systemd.calls == [f"restart {UNIT}"]


def test_a_changed_setting_restarts_the_service_once(superlink: FakeNode) -> None:
    superlink.configure()
    superlink.systemd.calls.clear()
    superlink.configure(LOG_LEVEL="DEBUG")
    assert superlink.systemd.calls == [f"restart {UNIT}"]
    superlink.systemd.calls.clear()
    superlink.configure(LOG_LEVEL="DEBUG")
    assert superlink.systemd.calls == []
    superlink.path(f"/etc/systemd/system/{UNIT}").write_text("[Service]\nNice=5\n")
    superlink.configure(LOG_LEVEL="DEBUG")
    assert superlink.systemd.calls == [f"restart {UNIT}"]


def test_a_run_cut_off_before_the_restart_is_completed_by_the_next(superlink: FakeNode) -> None:
    superlink.configure()

    def cut_off(unit: str) -> int:
        raise KeyboardInterrupt

    serve, superlink.systemd.on_start = superlink.systemd.on_start, cut_off
    with pytest.raises(KeyboardInterrupt):
        superlink.configure(LOG_LEVEL="ERROR")
    superlink.systemd.on_start = serve
    superlink.systemd.calls.clear()
    assert superlink.configure(LOG_LEVEL="ERROR")[0] == 0
    assert superlink.systemd.calls == [f"restart {UNIT}"]


def test_check_mode_predicts_and_touches_nothing(superlink: FakeNode, gate: FakeOneGate) -> None:
    code, answer = superlink.configure(check=True)
    assert code == 0 and answer["changed"]
    assert not superlink.path("/opt/flower/config").exists() and not superlink.path("/etc/flower-ops").exists()
    assert gate.writes() == [] and superlink.systemd.calls == []
    superlink.configure()
    assert superlink.configure(check=True)[1]["changed"] is False
    predicted = headers(superlink.configure(check=True, LOG_LEVEL="DEBUG")[1])
    assert predicted == headers(superlink.configure(LOG_LEVEL="DEBUG")[1])


def test_no_secret_in_the_answer(superlink: FakeNode) -> None:
    _rest, answer = superlink.configure()
    assert "PRIVATE KEY" not in json.dumps(answer)


def test_an_unhealthy_service_is_reported_and_never_ready(superlink: FakeNode, gate: FakeOneGate) -> None:
    superlink.systemd.on_start = lambda unit: 1
    code, answer = superlink.configure()
    assert code == 1 and "not serving after 5 s" in answer["message"] and "Address already in use" in answer["message"]
    assert gate.of("4")["FL_ERROR"] == "health_check_timeout" and gate.of("4")["FL_READY"] == "NO"
    assert "READY" not in gate.of("4") and answer["facts"]["ready"] is False
    # Every VM of the service reads that, and an app may have printed what the service logged at last.
    assert "not serving after 5 s" in gate.of("4")["FL_ERROR_TEXT"] and "words" not in gate.of("4")["FL_ERROR_TEXT"]


def test_recovery_clears_the_error(superlink: FakeNode, gate: FakeOneGate) -> None:
    serve, superlink.systemd.on_start = superlink.systemd.on_start, lambda unit: 1
    superlink.configure()
    superlink.systemd.on_start = serve
    superlink.systemd.active.clear()
    assert superlink.configure()[0] == 0
    assert "FL_ERROR" not in gate.of("4") and gate.of("4")["READY"] == "YES"


def test_an_error_that_cannot_be_cleared_is_told(
    superlink: FakeNode, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    superlink.configure()
    gate.of("4")["FL_ERROR"] = "health_check_timeout"
    update = gate._update
    monkeypatch.setattr(gate, "_update", lambda vm, query, body: (403, "no") if query else update(vm, query, body))
    code, answer = superlink.configure()
    assert code == 1 and "refused PUT /vm with 403: no" in answer["message"]


def test_what_nobody_thought_of_is_told_like_any_other_failure(
    superlink: FakeNode, gate: FakeOneGate, capsys: pytest.CaptureFixture[str]
) -> None:
    assert superlink.configure()[0] == 0
    superlink.path("/etc/flower-ops/federation.json").write_text('["a secret"')
    code, answer = superlink.configure()
    assert code == 1 and "JSONDecodeError" in answer["message"] and "/etc/flower-ops" in answer["message"]
    own = gate.of("4")
    assert (own["FL_ERROR"], own["READY"], own["FL_READY"]) == ("configuration_failed", "NO", "NO")
    assert "flower-ops configure" in own["FL_ERROR_TEXT"] and "secret" not in str(answer) + str(own)
    assert "federation_settings" in capsys.readouterr().err


def test_a_later_failure_takes_ready_back(superlink: FakeNode, gate: FakeOneGate) -> None:
    superlink.configure()
    superlink.systemd.on_start = lambda unit: (superlink.close(), 1)[1]
    assert superlink.configure(LOG_LEVEL="DEBUG")[0] == 1
    assert gate.of("4")["READY"] == gate.of("4")["FL_READY"] == "NO"
    assert gate.of("4")["FL_ERROR"] == "health_check_timeout"


def ask(node: FakeNode, role: str = "superlink", **variables: str) -> tuple[int, dict[str, Any]]:
    """What a person asks for by hand."""
    request = agent.Request(role, {**node.given(), **variables}, root=node.root, timeout=5.0)
    return agent.configure(request, node.systemd, node.sleep, node.clock)


REFUSED = [
    ("superlink", {"ONEAPP_FLOWER_VERSION": "1.32.1"}, 1, "version_mismatch"),
    ("superlink", {"ONEAPP_FLOWER_VERSION": "1.99.0"}, 2, "config_validation_failed"),
    ("superlink", {"ONEAPP_FL_LOG_LEVEL": "LOUD"}, 2, "config_validation_failed"),
    ("supernode", {"ONEAPP_FL_LOG_LEVEL": "LOUD"}, 2, "config_validation_failed"),
    ("boss", {"ONEAPP_FL_ROLE": "boss"}, 2, "config_validation_failed"),
]


@pytest.mark.parametrize(("role", "asked", "ends", "word"), REFUSED)
def test_what_is_refused_before_a_change_leaves_a_superlink_ready_that_serves(
    superlink: FakeNode, gate: FakeOneGate, role: str, asked: dict[str, str], ends: int, word: str
) -> None:
    assert superlink.configure(NUM_PARTITIONS="3")[0] == 0
    kept, before = superlink.path("/etc/flower-ops/overrides.json"), dict(gate.of("4"))
    remembered = kept.read_bytes()
    watcher = superlink.keeper()
    code, answer = ask(superlink, "auto" if role == "boss" else role, **asked)
    assert (code, answer["changed"]) == (ends, False) and kept.read_bytes() == remembered
    own = dict(gate.of("4"))
    assert own.pop("FL_ERROR") == word and own.pop("FL_ERROR_TEXT") and own == before
    # Whoever runs the agent without variables is asked for what was in force, and finds it well.
    (action,) = superlink.keep(watcher, 3700)
    assert action.why == "" and gate.of("4")["READY"] == "YES" and "FL_ERROR" not in gate.of("4")


@pytest.mark.parametrize(("role", "asked", "ends", "word"), REFUSED[:3])
@pytest.mark.parametrize("state", ["new", "down", "rebooted", "unhealthy"])
def test_what_is_refused_is_never_ready_where_nothing_serves(
    superlink: FakeNode, gate: FakeOneGate, role: str, asked: dict[str, str], ends: int, word: str, state: str
) -> None:
    if state != "new":
        assert superlink.configure()[0] == 0
    if state == "down":
        superlink.systemd.active.clear()
    if state == "rebooted":
        superlink.path("/run/flower-ops/booted").unlink()
    if state == "unhealthy":
        gate.of("4").update(READY="NO", FL_READY="NO")
    assert ask(superlink, role, **asked)[0] == ends
    assert gate.of("4").get("READY", "NO") == gate.of("4")["FL_READY"] == "NO" and gate.of("4")["FL_ERROR"] == word


def test_a_number_of_partitions_that_is_refused_is_not_remembered(superlink: FakeNode) -> None:
    assert superlink.configure(NUM_PARTITIONS="4")[0] == 0
    members = {"members": [{"site": "a", "name": "b", "partition_id": 3}]}
    Files(Paths(superlink.root)).store("/etc/flower-ops/members.json", json.dumps(members).encode())
    code, answer = superlink.configure(NUM_PARTITIONS="3")
    assert (code, answer["changed"]) == (1, False) and "partition 3 is in use" in answer["message"]
    assert '"ONEAPP_FL_NUM_PARTITIONS": "4"' in superlink.path("/etc/flower-ops/overrides.json").read_text()


def test_what_changed_something_is_remembered_though_it_failed(superlink: FakeNode) -> None:
    superlink.systemd.on_start = lambda unit: 1
    assert superlink.configure(LOG_LEVEL="DEBUG")[0] == 1
    assert '"ONEAPP_FL_LOG_LEVEL": "DEBUG"' in superlink.path("/etc/flower-ops/overrides.json").read_text()


def test_invalid_variables_change_nothing(superlink: FakeNode) -> None:
    code, answer = superlink.configure(LOG_LEVEL="LOUD", NUM_PARTITIONS="x")
    assert code == 2 and not answer["changed"]
    assert [error["name"] for error in answer["errors"]] == ["ONEAPP_FL_LOG_LEVEL", "ONEAPP_FL_NUM_PARTITIONS"]
    assert not superlink.path("/opt/flower/config").exists()


def test_context_is_read_and_a_misspelt_name_in_it_refused(superlink: FakeNode) -> None:
    superlink.context(ONEAPP_FL_LOG_LEVEL="WARNING")
    assert superlink.configure()[0] == 0
    assert 'FLWR_LOG_LEVEL="WARNING"' in superlink.path("/opt/flower/config/superlink.env").read_text()
    superlink.context(ONEAPP_FL_AGG_STRATEGY="FedProx")
    assert superlink.configure()[0] == 2


def test_another_installed_version_is_refused_before_any_change(superlink: FakeNode) -> None:
    superlink.path("/opt/flower/venv/lib/python3.11/site-packages/flwr-1.34.0.dist-info").rmdir()
    code, answer = superlink.configure()
    assert code == 1 and "not installed" in answer["message"] and not answer["changed"]
    superlink.install("1.25.0")
    code, answer = superlink.configure()
    assert code == 1 and "1.25.0" in answer["message"] and not answer["changed"]


def test_a_version_without_profile_is_refused(superlink: FakeNode) -> None:
    superlink.context(ONEAPP_FLOWER_VERSION="1.99.0")
    code, answer = superlink.configure()
    assert code == 2 and "choose one of 1.25.0, " in answer["message"]


def test_partitions_default_to_the_plan_and_stay(superlink: FakeNode, gate: FakeOneGate) -> None:
    assert superlink.configure()[1]["facts"]["num_partitions"] == 2
    gate.add("7", "supernode")
    assert superlink.configure()[1]["facts"]["num_partitions"] == 2


def test_a_plan_that_onegate_does_not_tell_at_once_is_waited_for(
    superlink: FakeNode, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = OneGate.planned_nodes, [4]

    def stumbling(self: OneGate) -> int:
        left[0] -= 1
        if left[0] > 0:
            raise OneGateError("OneGate cannot be reached")
        return real(self)

    monkeypatch.setattr(OneGate, "planned_nodes", stumbling)
    code, answer = superlink.configure()
    assert (code, answer["facts"]["num_partitions"]) == (0, 2)
    left[0] = 10**6
    superlink.path("/etc/flower-ops/federation.json").unlink()
    code, answer = superlink.configure()
    assert code == 1 and "ONEAPP_FL_NUM_PARTITIONS" in answer["message"]
    assert gate.of("4")["FL_ERROR"] == "onegate_failed"


def test_partitions_cannot_shrink_below_one_in_use(superlink: FakeNode) -> None:
    superlink.configure(NUM_PARTITIONS="4")
    members = {"members": [{"site": "a", "name": "b", "partition_id": 3}]}
    Files(Paths(superlink.root)).store("/etc/flower-ops/members.json", json.dumps(members).encode())
    code, answer = superlink.configure(NUM_PARTITIONS="3")
    assert code == 1 and "partition 3 is in use" in answer["message"]
    assert superlink.configure(NUM_PARTITIONS="5")[0] == 0


def test_operator_pki_is_installed_and_bad_pki_reported(superlink: FakeNode, gate: FakeOneGate) -> None:
    ca_key, ca = tls.new_ca("Ours")
    key, cert = tls.new_server_cert(ca_key, ca, "x", ["IP:127.0.0.1", "DNS:localhost"])
    files = {"SSL_CA_CERTFILE": ca, "SSL_CERTFILE": cert, "SSL_KEYFILE": key}
    given = {name: base64.b64encode(data).decode() for name, data in files.items()}
    code, answer = superlink.configure(**given)
    assert code == 0, answer["message"]
    assert superlink.path("/opt/flower/certs/server.key").read_bytes() == key
    assert not superlink.path("/etc/flower-ops/ca.key").exists()
    assert "PRIVATE" not in json.dumps(answer)
    given["SSL_CA_CERTFILE"] = base64.b64encode(tls.new_ca()[1]).decode()
    code, answer = superlink.configure(**given)
    assert code == 1 and "not signed by" in answer["message"]
    assert gate.of("4")["FL_ERROR"] == "tls_setup_failed"


def test_without_onegate_there_is_no_registrar_and_nobody_to_tell(tmp_path: Path) -> None:
    node = FakeNode(tmp_path / "plain", "superlink", "4", None)
    code, answer = node.configure(NUM_PARTITIONS="2")
    node.close()
    assert code == 0 and answer["facts"]["ready"] and answer["facts"]["ca_cert"].startswith("-----BEGIN")
    assert not [call for call in node.systemd.calls if "registrar" in call]
    assert node.systemd.calls[:2] == [f"enable {UNIT}", f"restart {UNIT}"]


def test_onegate_that_stumbles_is_asked_again(superlink: FakeNode, gate: FakeOneGate) -> None:
    gate.fail = [500, 503]
    assert superlink.configure()[0] == 0
    assert 1.0 in superlink.slept


def test_a_missing_unit_is_named(superlink: FakeNode) -> None:
    superlink.path(f"/etc/systemd/system/{UNIT}").unlink()
    code, answer = superlink.configure()
    assert code == 1 and f"no unit {UNIT}" in answer["message"]
