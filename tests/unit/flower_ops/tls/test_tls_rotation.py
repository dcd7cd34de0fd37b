# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`flower-ops rotate` on the SuperLink, judged by what its servers show and what nodes make of it."""

from __future__ import annotations

import base64
import contextlib
import json
from collections.abc import Callable
from typing import Any

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops import cli
from flower_ops.agent import rotation
from flower_ops.machine import health
from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths
from flower_ops.pki import authority, certificates, tls
from tls_support import LOOPBACK, b64, issue, shown_by

UNIT = "flower-superlink.service"
CA = "/opt/flower/certs/ca.crt"
RESTART = f"restart {UNIT}"
#: How many files each kind writes, the record of the restart included.
CHANGES = {"server": 3, "ca-begin": 2, "ca-finish": 6}


def rotate(node: FakeNode, kind: str, runs: list[str] | None = None, **options: Any) -> tuple[int, dict[str, Any]]:
    """Run the command on a node in a folder; `runs` are those that are active there."""
    request = rotation.Request(kind, root=node.root, **{"timeout": 5.0, **options})
    return rotation.rotate(request, node.systemd, lambda: runs or [], node.sleep, node.clock)


def done(node: FakeNode, kind: str, **options: Any) -> dict[str, Any]:
    """The same, and it has to work."""
    code, answer = rotate(node, kind, **options)
    assert (code, answer["message"]) == (0, "")
    return answer


def read(node: FakeNode, name: str) -> bytes:
    return node.path(f"/opt/flower/certs/{name}").read_bytes()


def told(gate: FakeOneGate) -> list[str]:
    """Fingerprints of the certificates in FL_CA_CERT."""
    found = tls.load_certs(base64.b64decode(gate.of("4")["FL_CA_CERT"]), "")
    return [tls.fingerprint(cert) for cert in found]


def confirm(gate: FakeOneGate, *vms: str) -> None:
    """What nodes say after they have taken over what is published."""
    for vm in vms:
        gate.of(vm)["FL_CA_FINGERPRINTS"] = " ".join(item[:16] for item in told(gate))


@pytest.fixture
def running(superlink: FakeNode, gate: FakeOneGate) -> FakeNode:
    """A SuperLink that serves."""
    code, answer = superlink.configure(CERT_EXTRA_SAN="DNS:fed.example.org,IP:fd00::7")
    assert (code, answer["message"]) == (0, "")
    superlink.systemd.calls.clear()
    return superlink


def test_a_new_server_certificate_keeps_names_and_authority(running: FakeNode, gate: FakeOneGate) -> None:
    before, ca, key = read(running, "server.pem"), read(running, "ca.crt"), read(running, "server.key")
    answer = done(running, "server")
    after = read(running, "server.pem")
    assert answer["changed"] and running.systemd.calls == [RESTART]
    assert read(running, "ca.crt") == ca and read(running, "server.key") != key
    names = certificates.names_in(after)
    assert names == certificates.names_in(before) and {"DNS:fed.example.org", "IP:fd00::7", "IP:::1"} <= set(names)
    [row] = answer["replaced"]
    assert row["before"] == tls.fingerprint(tls.load_cert(before, ""))
    assert row["after"] == tls.fingerprint(tls.load_cert(after, "")) == shown_by(running.ports["fleet"])
    assert row["valid_until"] == f"{tls.load_cert(after, '').not_valid_after_utc:%Y-%m-%d}"
    assert running.configure(CERT_EXTRA_SAN="DNS:fed.example.org,IP:fd00::7")[1]["changed"] is False
    assert "PRIVATE KEY" not in json.dumps(answer)


def test_what_is_young_stays_so_that_a_repeated_run_only_completes(running: FakeNode) -> None:
    before = read(running, "server.pem")
    for kind in ("server", "ca-begin", "ca-finish"):
        answer = done(running, kind, min_age=3600.0)
        assert answer["changed"] is False and answer["replaced"] == []
    assert read(running, "server.pem") == before and running.systemd.calls == []


def test_an_authority_is_replaced_with_an_overlap(running: FakeNode, gate: FakeOneGate) -> None:
    old = read(running, "ca.crt")
    leaf = read(running, "server.pem")
    answer = done(running, "ca-begin")
    both = read(running, "ca.crt")
    # Nothing is interrupted: the same certificate is served by the same process.
    assert running.systemd.calls == [] and read(running, "server.pem") == leaf and both.startswith(old)
    assert len(told(gate)) == 3 and answer["replaced"][0]["before"] == told(gate)[0]
    assert done(running, "ca-begin")["changed"] is False

    code, answer = rotate(running, "ca-finish")
    assert code == 1 and "VM 5 and 6 did not say within 5 s" in answer["message"]
    confirm(gate, "5")
    assert "VM 6 did not" in rotate(running, "ca-finish")[1]["message"]
    assert read(running, "server.pem") == leaf
    confirm(gate, "6")
    answer = done(running, "ca-finish")
    assert running.systemd.calls == [RESTART]
    new = read(running, "ca.crt")
    assert new == both.removeprefix(old) and told(gate)[0] == tls.fingerprint(tls.load_cert(new, ""))
    assert [row["what"] for row in answer["replaced"]] == ["certificate authority", "server certificate"]
    assert answer["replaced"][0]["before"] == tls.fingerprint(tls.load_cert(old, ""))
    assert tls.signed_by(tls.load_cert(read(running, "server.pem"), ""), tls.load_cert(new, ""))
    assert shown_by(running.ports["control"]) == answer["replaced"][1]["after"]
    running.systemd.calls.clear()
    assert done(running, "ca-finish")["changed"] is False and running.systemd.calls == []


def test_a_node_is_waited_for_while_it_takes_the_bundle(running: FakeNode, gate: FakeOneGate) -> None:
    done(running, "ca-begin")
    confirm(gate, "5")
    running.events[running.now + 4.0] = lambda: confirm(gate, "6")
    assert done(running, "ca-finish")["changed"]


def test_superlink_and_supernode_go_through_it_together(
    running: FakeNode, supernode: FakeNode, gate: FakeOneGate
) -> None:
    """Nobody writes down here what the other one says: it goes through OneGate as it is."""
    del gate.vms["6"]

    def reaches() -> str:
        return health.serves_tls("127.0.0.1", running.ports["fleet"], "127.0.0.1", supernode.path(CA))

    assert supernode.configure()[0] == 0 and reaches() == ""
    old = read(supernode, "ca.crt")
    done(running, "ca-begin")
    assert "VM 5 did not" in rotate(running, "ca-finish")[1]["message"]
    assert done(supernode, "trust")["changed"] and reaches() == ""
    done(running, "ca-finish")
    assert reaches() == ""
    answer = done(supernode, "trust")
    assert answer["replaced"][0]["after"] == tls.fingerprint(tls.load_cert(read(running, "ca.crt"), ""))
    assert read(supernode, "ca.crt") == read(running, "ca.crt") != old and reaches() == ""
    assert done(supernode, "trust")["changed"] is False


def test_force_waits_for_nobody(running: FakeNode, gate: FakeOneGate) -> None:
    done(running, "ca-begin", runs=["7"], force=True)
    assert done(running, "ca-finish", runs=["7"], force=True)["changed"]


@pytest.mark.parametrize("kind", ["idle", "server", "ca-begin", "ca-finish"])
def test_nothing_is_rotated_while_somebody_trains(running: FakeNode, gate: FakeOneGate, kind: str) -> None:
    if kind == "ca-finish":
        done(running, "ca-begin")
        confirm(gate, "5", "6")
    files = {path: path.read_bytes() for path in running.root.rglob("*") if path.is_file()}
    code, answer = rotate(running, kind, runs=["11", "12"])
    assert code == 1 and "Run 11 and 12 is active" in answer["message"] and "rotate_force" in answer["message"]
    assert {path: path.read_bytes() for path in running.root.rglob("*") if path.is_file()} == files
    assert rotate(running, "idle")[0] == 0


@pytest.mark.parametrize("kind", ["server", "ca-begin", "ca-finish"])
def test_check_mode_tells_and_touches_nothing(running: FakeNode, gate: FakeOneGate, kind: str) -> None:
    if kind == "ca-finish":
        done(running, "ca-begin")
    files = {path: path.read_bytes() for path in running.root.rglob("*") if path.is_file()}
    gate.requests.clear()
    answer = done(running, kind, check=True)
    assert answer["changed"] and answer["diff"] and gate.writes() == [] and running.systemd.calls == []
    headers = sorted(change["after_header"] for change in answer["diff"])
    if kind == "ca-begin":
        assert headers == [authority.SUCCESSOR_FILE, authority.CA_FILE]
    else:
        assert {certificates.CERT_FILE, certificates.KEY_FILE, UNIT} <= set(headers)
        assert len(set(headers)) == len(headers)
    assert {path: path.read_bytes() for path in running.root.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize(("kind", "step"), [(kind, step) for kind, steps in CHANGES.items() for step in range(steps)])
def test_a_rotation_that_is_cut_off_is_completed_by_the_next_run(
    running: FakeNode, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch, kind: str, step: int
) -> None:
    old = read(running, "ca.crt")
    if kind == "ca-finish":
        done(running, "ca-begin")
        confirm(gate, "5", "6")
    real, left = Files._replace, [step]

    def shaky(self: Files, *args: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "_replace", shaky)
        with contextlib.suppress(KeyboardInterrupt):
            rotate(running, kind)
    done(running, kind)
    if kind == "ca-begin":
        assert len(told(gate)) == 3 and read(running, "ca.crt").startswith(old)
    if kind == "ca-finish":
        assert old not in read(running, "ca.crt") and len(told(gate)) == 2
    assert shown_by(running.ports["fleet"]) == tls.fingerprint(tls.load_cert(read(running, "server.pem"), ""))
    assert running.configure(CERT_EXTRA_SAN="DNS:fed.example.org,IP:fd00::7")[1]["changed"] is False


def test_the_agent_alone_completes_a_rotation_too(
    running: FakeNode, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    done(running, "ca-begin")
    confirm(gate, "5", "6")
    old, new = told(gate)[:2]
    real = Files.write

    def cut_off_after_the_key(self: Files, path: str, *args: Any, **options: Any) -> bool:
        result = real(self, path, *args, **options)
        if path == Paths.ca_key and result:
            raise KeyboardInterrupt
        return result

    with monkeypatch.context() as patch:
        patch.setattr(Files, "write", cut_off_after_the_key)
        with pytest.raises(KeyboardInterrupt):
            rotate(running, "ca-finish")
    assert running.configure(CERT_EXTRA_SAN="DNS:fed.example.org,IP:fd00::7")[0] == 0
    assert told(gate)[0] == new and old not in told(gate) and running.systemd.calls == [RESTART]


@pytest.fixture
def aged(superlink: FakeNode, gate: FakeOneGate, in_days: Callable[[float], None]) -> FakeNode:
    """A SuperLink whose authority is one day younger than one that is followed by another.

    Servers judge certificates by the real clock, so they are made in the past, and later the limits move instead.
    """
    in_days(authority.OVERLAP_DAYS + 1 - tls.CA_DAYS)
    superlink.configure()
    in_days(0)
    assert superlink.configure()[0] == 0
    assert len(told(gate)) == 1
    return superlink


def test_an_authority_near_its_end_is_followed_by_itself(
    aged: FakeNode, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old] = told(gate)
    monkeypatch.setattr(authority, "OVERLAP_DAYS", authority.OVERLAP_DAYS + 2)
    for _again in range(2):
        assert aged.configure()[0] == 0
        assert told(gate)[0] == old and len(told(gate)) == 3
    new = told(gate)[1]
    confirm(gate, "5")
    aged.configure()
    assert told(gate)[0] == old
    # It ends when all nodes know.
    confirm(gate, "5", "6")
    assert aged.configure()[0] == 0
    assert told(gate)[0] == new and old not in told(gate)
    assert aged.configure()[1]["changed"] is False


def test_an_overlap_ends_in_time_although_a_node_stays_away(
    aged: FakeNode, gate: FakeOneGate, monkeypatch: pytest.MonkeyPatch
) -> None:
    [old] = told(gate)
    monkeypatch.setattr(authority, "OVERLAP_DAYS", authority.OVERLAP_DAYS + 2)
    aged.configure()
    monkeypatch.setattr(tls, "RENEW_DAYS", authority.OVERLAP_DAYS)
    assert aged.configure()[0] == 0
    assert old not in told(gate) and len(told(gate)) == 2


def test_a_server_certificate_is_renewed_before_its_end(
    superlink: FakeNode, gate: FakeOneGate, in_days: Callable[[float], None]
) -> None:
    superlink.configure()
    before, ca = read(superlink, "server.pem"), told(gate)
    in_days(tls.SERVER_DAYS - tls.RENEW_DAYS - 1)
    assert superlink.configure()[1]["changed"] is False
    in_days(tls.SERVER_DAYS - tls.RENEW_DAYS + 1)
    superlink.configure()
    assert read(superlink, "server.pem") != before and told(gate) == ca


def test_what_cannot_be_rotated_is_told(superlink: FakeNode, supernode: FakeNode) -> None:
    for node in (superlink, supernode):
        assert "not a configured SuperLink" in rotate(node, "server")[1]["message"]
    superlink.configure(TLS_ENABLED="NO", SUPERNODE_AUTH="NO")
    assert "no TLS" in rotate(superlink, "ca-begin")[1]["message"]
    root = issue("Root", ca=True)
    server = issue("superlink", root, sans=LOOPBACK)
    own = {"SSL_CA_CERTFILE": root.pem, "SSL_CERTFILE": server.pem, "SSL_KEYFILE": server.key_pem()}
    assert superlink.configure(**{name: b64(pem) for name, pem in own.items()})[0] == 0
    for kind in ("server", "ca-begin", "ca-finish"):
        assert "are the operator's own" in rotate(superlink, kind)[1]["message"]


def test_a_lost_key_of_the_authority_is_told(running: FakeNode) -> None:
    running.path("/etc/flower-ops/ca.key").unlink()
    code, answer = rotate(running, "server")
    assert code == 1 and "is lost" in answer["message"]


def test_a_new_authority_in_place_of_a_lost_one_is_a_warning(running: FakeNode, gate: FakeOneGate) -> None:
    [old] = told(gate)
    running.path("/etc/flower-ops/ca.key").unlink()
    code, answer = running.configure()
    assert code == 0 and "ONEAPP_FL_SSL_CA_CERTFILE" in answer["warnings"][0]
    assert len(told(gate)) == 1 and old not in told(gate)
    assert running.configure()[1]["warnings"] == []


def test_nodes_that_were_added_by_hand_are_named(running: FakeNode) -> None:
    member = {"site": "hospital-b", "name": "node-1", "partition_id": 0, "vm_id": ""}
    running.path("/etc/flower-ops/members.json").write_text(json.dumps({"members": [member]}))
    warnings = done(running, "ca-begin")["warnings"]
    assert any("hospital-b/node-1" in line and "ONEAPP_FL_SSL_CA_CERTFILE" in line for line in warnings)


def test_the_operators_pki_after_the_own_is_vouched_for_by_it(
    running: FakeNode, supernode: FakeNode, gate: FakeOneGate
) -> None:
    assert supernode.configure()[0] == 0
    root = issue("Root", ca=True)
    server = issue("superlink", root, sans=LOOPBACK)
    own = {"SSL_CA_CERTFILE": root.pem, "SSL_CERTFILE": server.pem, "SSL_KEYFILE": server.key_pem()}
    variables = {name: b64(pem) for name, pem in own.items()}
    for _again in range(2):
        assert running.configure(**variables)[0] == 0
        assert len(told(gate)) == 2
    code, answer = supernode.configure()
    assert (code, answer["message"]) == (0, "") and read(supernode, "ca.crt") == root.pem
    assert running.configure(**variables)[1]["changed"] is False


def test_the_command_answers_in_json_and_in_words(running: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
    # A tree of files that no systemd runs.
    arguments = ["rotate", "server", "--force", "--root", str(running.root)]
    assert cli.main([*arguments, "--check", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["changed"] and answer["replaced"][0]["what"] == "server certificate"
    assert cli.main([*arguments, "--check"]) == 0
    assert "server certificate: " in capsys.readouterr().out
    assert cli.main(["rotate", "node-key", "--root", str(running.root)]) == 1
    assert "no key pair of a SuperNode" in capsys.readouterr().err
