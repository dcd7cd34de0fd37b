# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's own certificates: what is accepted works in a handshake, what cannot work is told why."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from agent_support import FakeNode
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed25519
from fake_onegate import FakeOneGate
from flower_ops.pki import operator_pki, tls
from tls_support import LOOPBACK, Holder, b64, handshake, issue

ROOT = issue("Root", ca=True)
MIDDLE = issue("Middle", ROOT, ca=True)
SERVER = issue("superlink", ROOT, sans=LOOPBACK)


def given(server: Holder, ca: bytes, chain: bytes = b"") -> dict[str, str]:
    """The three variables."""
    return {
        "SSL_CA_CERTFILE": b64(ca),
        "SSL_CERTFILE": b64(server.pem + chain),
        "SSL_KEYFILE": b64(server.key_pem()),
    }


@pytest.mark.parametrize("kind", ["rsa", "ec"])
@pytest.mark.parametrize("ca_kind", ["rsa", "ec"])
def test_rsa_and_ec_with_an_intermediate_are_served(tmp_path: Path, kind: str, ca_kind: str) -> None:
    root = issue("Root", ca=True, kind=ca_kind)
    middle = issue("Middle", root, ca=True, kind=kind)
    server = issue("superlink", middle, kind=kind, sans=LOOPBACK)
    chain = server.pem + middle.pem
    operator_pki.check(root.pem, chain, server.key_pem(), LOOPBACK)
    for name in ("127.0.0.1", "localhost"):
        assert handshake(tmp_path, root.pem, chain, server.key_pem(), name) == ""


def test_a_bundle_of_authorities_is_taken() -> None:
    operator_pki.check(issue("Old", ca=True).pem + ROOT.pem, SERVER.pem, SERVER.key_pem())
    operator_pki.check(issue("Ended", ca=True, days=(-20, -1)).pem + ROOT.pem, SERVER.pem, SERVER.key_pem())


ED = ed25519.Ed25519PrivateKey.generate().private_bytes(
    serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
)
BELOW = issue("superlink", MIDDLE, sans=LOOPBACK)
ENDED = issue("superlink", ROOT, sans=LOOPBACK, days=(-20, -1))
EARLY = issue("superlink", ROOT, sans=LOOPBACK, days=(2, 20))
OLD_ROOT = issue("Root", ca=True, days=(-20, -1))
UNDER_OLD = issue("superlink", OLD_ROOT, sans=LOOPBACK)
ENDED_MIDDLE = issue("Middle", ROOT, ca=True, days=(-20, -1))
BELOW_ENDED = issue("superlink", ENDED_MIDDLE, sans=LOOPBACK)
LEAF_AS_CA = issue("superlink", SERVER, sans=LOOPBACK)


@pytest.mark.parametrize(
    ("ca", "cert", "key", "reason"),
    [
        (ROOT.pem, SERVER.pem, BELOW.key_pem(), "is not the key of ONEAPP_FL_SSL_CERTFILE"),
        (ROOT.pem, SERVER.pem, SERVER.key_pem(b"secret"), "ONEAPP_FL_SSL_KEYFILE is encrypted"),
        (ROOT.pem, SERVER.pem, ED, "must be an RSA or EC key"),
        (ROOT.pem, SERVER.pem, b"junk", "is not an unencrypted PEM private key"),
        (ROOT.pem, b"junk", SERVER.key_pem(), "ONEAPP_FL_SSL_CERTFILE is not a PEM certificate"),
        (b"junk", SERVER.pem, SERVER.key_pem(), "ONEAPP_FL_SSL_CA_CERTFILE is not a PEM certificate"),
        (ROOT.pem, ENDED.pem, ENDED.key_pem(), "ONEAPP_FL_SSL_CERTFILE ended on"),
        (ROOT.pem, EARLY.pem, EARLY.key_pem(), "is valid from .* set the clock"),
        (OLD_ROOT.pem, UNDER_OLD.pem, UNDER_OLD.key_pem(), "ONEAPP_FL_SSL_CA_CERTFILE ended on"),
        (ROOT.pem, BELOW.pem, BELOW.key_pem(), "intermediate certificates after the server's"),
        (MIDDLE.pem, SERVER.pem, SERVER.key_pem(), "is not signed by ONEAPP_FL_SSL_CA_CERTFILE"),
        (ROOT.pem, BELOW_ENDED.pem + ENDED_MIDDLE.pem, BELOW_ENDED.key_pem(), "intermediate certificate .* ended on"),
        (SERVER.pem, SERVER.pem, SERVER.key_pem(), "CA:TRUE is missing"),
        (ROOT.pem, LEAF_AS_CA.pem + SERVER.pem, LEAF_AS_CA.key_pem(), "is not signed by"),
    ],
)
def test_what_cannot_work_is_refused_with_its_reason(ca: bytes, cert: bytes, key: bytes, reason: str) -> None:
    with pytest.raises(tls.TlsError, match=reason) as caught:
        operator_pki.check(ca, cert, key)
    assert str(caught.value).endswith(".") and "PRIVATE KEY" not in str(caught.value)


def test_the_superlink_serves_with_them_and_publishes_the_authority(superlink: FakeNode, gate: FakeOneGate) -> None:
    server = issue("superlink", MIDDLE, kind="rsa", sans=[*LOOPBACK, "IP:10.0.0.20"])
    variables = given(server, ROOT.pem, MIDDLE.pem)
    code, answer = superlink.configure(**variables)
    assert (code, answer["message"], answer["warnings"]) == (0, "", [])
    assert gate.of("4")["FL_CA_CERT"] == b64(ROOT.pem)
    assert not superlink.path("/etc/flower-ops/ca.key").exists()
    assert superlink.configure(**variables)[1]["changed"] is False


def test_all_or_none_of_the_three(superlink: FakeNode) -> None:
    variables = given(SERVER, ROOT.pem)
    del variables["SSL_KEYFILE"]
    code, answer = superlink.configure(**variables)
    assert code == 2 and [error["name"] for error in answer["errors"]] == ["ONEAPP_FL_SSL_KEYFILE"]


def test_a_fault_is_published_with_its_code_and_changes_nothing(superlink: FakeNode, gate: FakeOneGate) -> None:
    code, answer = superlink.configure(**given(issue("x", ROOT, sans=LOOPBACK, days=(-20, -1)), ROOT.pem))
    assert code == 1 and "ended on" in answer["message"] and gate.of("4")["FL_ERROR"] == "tls_setup_failed"
    assert not superlink.path("/opt/flower/certs/server.key").exists()


def test_a_certificate_that_this_vm_cannot_connect_with_is_refused_before_the_start(superlink: FakeNode) -> None:
    code, answer = superlink.configure(**given(issue("x", ROOT, sans=["IP:10.0.0.20"]), ROOT.pem))
    assert code == 1 and "is not valid for IP:127.0.0.1" in answer["message"]
    assert superlink.systemd.calls == []


def test_an_end_within_a_month_and_a_missing_address_are_warnings(
    superlink: FakeNode, in_days: Callable[[float], None]
) -> None:
    variables = given(issue("x", ROOT, sans=LOOPBACK, days=(-20, 45)), ROOT.pem)
    warnings = superlink.configure(**variables)[1]["warnings"]
    assert len(warnings) == 1 and "is not valid for IP:10.0.0.20" in warnings[0]
    in_days(16)
    warnings = superlink.configure(check=True, **variables)[1]["warnings"]
    assert any("ONEAPP_FL_SSL_CERTFILE ends on" in line and "in 28 days" in line for line in warnings)
    in_days(46)
    code, answer = superlink.configure(check=True, **variables)
    assert code == 1 and "ended on" in answer["message"]
