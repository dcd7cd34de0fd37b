# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""`flower-ops rotate trust` and `node-key` on a SuperNode, with a OneGate whose registrar answers as the real one."""

from __future__ import annotations

import contextlib
import json
import os
import time
from dataclasses import asdict
from typing import Any

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.agent import key_rotation, rotation
from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths
from flower_ops.pki import authority, keys, tls
from tls_support import b64

OLD = authority.new()
UNIT = "flower-supernode.service"


class Registrar(dict[str, str]):
    """Attributes of a VM. Another public key is admitted if the registered one has signed for it, as with a node that
    is online."""

    registered = ""
    admitted = 0
    deaf = False

    def update(self, *args: Any, **values: str) -> None:
        for key, value in dict(*args, **values).items():
            self[key] = value

    def poll(self) -> None:
        """What the registrar does every few seconds."""
        wanted, proof = self.get("FL_NODE_PUBKEY", ""), self.get("FL_NODE_KEY_PROOF", "")
        if self.deaf or not wanted or wanted == self.registered:
            return
        if self.registered and not keys.proven(self.registered, wanted, proof):
            self["FL_ADMISSION_ERROR"] = "This node is there with another key."
            return
        self.registered = wanted
        self.admitted += 1
        self.update(FL_NODE_ID=str(100 + self.admitted), FL_ADMISSION_ERROR="NONE")


@pytest.fixture
def registrar(gate: FakeOneGate, supernode: FakeNode) -> Registrar:
    """It looks whenever the node waits."""
    attributes = Registrar(gate.of("5"))
    attributes.pop("FL_NODE_ID")
    gate.vms["5"] = ("supernode", attributes)
    real = supernode.sleep

    def sleep(seconds: float) -> None:
        attributes.poll()
        real(seconds)

    supernode.sleep = sleep  # type: ignore[method-assign]
    return attributes


@pytest.fixture
def online(gate: FakeOneGate, supernode: FakeNode, registrar: Registrar) -> FakeNode:
    """A SuperNode that is registered and runs."""
    superlink = {"FL_READY": "YES", "FL_ENDPOINT": "10.0.0.4:9092", "FL_VERSION": "1.34.0", "FL_TLS": "YES"}
    gate.of("4").update({**superlink, "FL_CA_CERT": b64(OLD.cert)})
    code, answer = supernode.configure()
    assert (code, answer["message"]) == (0, "") and registrar["FL_NODE_ID"] == "101"
    supernode.systemd.calls.clear()
    return supernode


def rotate(node: FakeNode, kind: str = "node-key", **options: Any) -> tuple[int, dict[str, Any]]:
    request = rotation.Request(kind, root=node.root, **{"timeout": 5.0, **options})
    return rotation.rotate(request, node.systemd, lambda: [], node.sleep, node.clock)


def public(node: FakeNode) -> str:
    """Public half of the private key on the node; its public file has to say the same."""
    found = keys.public_of(node.path("/opt/flower/certs/supernode.key").read_bytes())
    assert node.path("/opt/flower/certs/supernode.pub").read_bytes() == found
    return found.decode().strip()


def test_a_new_key_is_admitted_and_used_and_the_partition_stays(online: FakeNode, registrar: Registrar) -> None:
    before = public(online)
    code, answer = rotate(online)
    assert (code, answer["message"]) == (0, "") and answer["changed"]
    assert public(online) != before and registrar.registered == registrar["FL_NODE_PUBKEY"] == public(online)
    assert registrar["FL_NODE_ID"] == "102" and registrar["FL_PARTITION_ID"] == "1"
    assert online.systemd.calls == [f"restart {UNIT}"]
    [row] = answer["replaced"]
    assert (row["before"], row["after"]) == tuple(map(key_rotation.fingerprint, (before, public(online))))
    assert not online.path(key_rotation.NOTE).exists()
    assert online.configure()[1]["changed"] is False
    assert "PRIVATE KEY" not in str(answer) + str(registrar)


def test_a_rotation_that_was_never_finished_does_not_speak_for_a_later_key(
    online: FakeNode, registrar: Registrar
) -> None:
    rotate(online)
    stale = key_rotation.Note("ecdsa-sha2-nistp384 AAAA", "100", keys.prove(keys.new_key_pair()[0], public(online)))
    Files(Paths(online.root)).store(key_rotation.NOTE, json.dumps(asdict(stale)).encode())
    before = public(online)
    registrar["FL_RETIRED_KEY"] = before
    code, answer = online.configure()
    assert (code, answer["message"]) == (0, "")
    assert public(online) != before and registrar.registered == public(online)


def test_a_young_key_stays(online: FakeNode) -> None:
    before = public(online)
    code, answer = rotate(online, min_age=3600.0)
    assert code == 0 and not answer["changed"] and public(online) == before and "stays" in answer["warnings"][0]
    old = time.time() - 7200
    os.utime(online.path("/opt/flower/certs/supernode.key"), (old, old))
    assert rotate(online, min_age=3600.0)[1]["changed"] and public(online) != before


def test_check_mode_tells_and_touches_nothing(online: FakeNode, gate: FakeOneGate) -> None:
    files = {path: path.read_bytes() for path in online.root.rglob("*") if path.is_file()}
    gate.requests.clear()
    code, answer = rotate(online, check=True)
    assert code == 0 and answer["changed"] and gate.writes() == [] and online.systemd.calls == []
    assert {path: path.read_bytes() for path in online.root.rglob("*") if path.is_file()} == files


@pytest.mark.parametrize("step", range(6))
def test_a_rotation_that_is_cut_off_is_completed_by_the_next_run(
    online: FakeNode, registrar: Registrar, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    before = public(online)
    real, left = Files._replace, [step]

    def shaky(self: Files, *args: Any) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        real(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Files, "_replace", shaky)
        with contextlib.suppress(KeyboardInterrupt):
            rotate(online)
    code, answer = rotate(online)
    assert (code, answer["message"]) == (0, "")
    assert public(online) != before and registrar.registered == public(online)
    assert not online.path(key_rotation.NOTE).exists() and online.configure()[1]["changed"] is False


def test_the_agent_alone_completes_a_rotation_too(
    online: FakeNode, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = public(online)

    def cut_off(*_args: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(key_rotation, "_admitted", cut_off)
        rotate(online)
    assert public(online) != before and registrar.registered == before
    code, answer = online.configure()
    assert (code, answer["message"]) == (0, "") and registrar.registered == public(online)


def test_a_key_that_was_replaced_for_another_reason_is_not_taken_for_a_rotated_one(
    online: FakeNode, registrar: Registrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = public(online)
    real = Files.store

    def cut_off(self: Files, path: str, data: bytes) -> None:
        real(self, path, data)
        if path == key_rotation.NOTE:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Files, "store", cut_off)
        rotate(online)
    # Only the note was written. Without a new pair there is nothing to complete, and it may stay.
    assert online.configure()[0] == 0 and public(online) == before and online.path(key_rotation.NOTE).exists()
    registrar["FL_RETIRED_KEY"] = before
    assert online.configure()[0] == 0
    replaced = public(online)
    assert replaced != before and not online.path(key_rotation.NOTE).exists()
    assert rotate(online)[0] == 0
    assert public(online) not in (before, replaced) and registrar.registered == public(online)


def test_a_registrar_that_does_not_answer_is_told_and_the_next_run_goes_on(
    online: FakeNode, registrar: Registrar
) -> None:
    before = public(online)
    registrar.deaf = True
    code, answer = rotate(online)
    assert code == 1 and "did not admit the new key within 300 s" in answer["message"]
    after = public(online)
    registrar.deaf = False
    assert rotate(online)[0] == 0
    assert before != after == public(online) == registrar.registered and registrar.admitted == 2


def test_what_cannot_be_rotated_is_told(supernode: FakeNode, online: FakeNode) -> None:
    given = {"SUPERLINK_ADDRESS": "192.0.2.1:9092", "SSL_CA_CERTFILE": b64(OLD.cert)}
    assert supernode.configure(**given)[0] == 0
    code, answer = rotate(supernode)
    assert code == 1 and "was admitted by hand" in answer["message"]
    supernode.path("/opt/flower/certs/supernode.key").unlink()
    assert "no key pair" in rotate(supernode)[1]["message"]


def test_a_node_takes_over_what_is_published(online: FakeNode, gate: FakeOneGate) -> None:
    assert rotate(online, "trust")[1]["changed"] is False
    both = OLD.begin()
    gate.of("4")["FL_CA_CERT"] = b64(b"".join([*both.roots, *both.evidence]))
    code, answer = rotate(online, "trust")
    assert code == 0 and answer["changed"] and online.systemd.calls == [f"restart {UNIT}"]
    prints = [tls.fingerprint(tls.load_cert(pem, "")) for pem in both.roots]
    [row] = answer["replaced"]
    assert (row["before"], row["after"]) == (prints[0], " ".join(prints))
    assert gate.of("5")["FL_CA_FINGERPRINTS"] == " ".join(item[:16] for item in prints)
    gate.of("4")["FL_CA_CERT"] = b64(authority.new().cert)
    code, answer = rotate(online, "trust")
    assert code == 1 and "another certificate authority" in answer["message"]
