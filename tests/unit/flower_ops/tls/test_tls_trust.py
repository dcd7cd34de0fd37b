# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a node believes of the SuperLink's authority, and what it refuses whoever says it."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from agent_support import FakeNode
from cryptography.hazmat.primitives import serialization
from fake_onegate import FakeOneGate
from flower_ops.pki import authority, tls, trust
from flower_ops.pki.trust import PIN_FILE
from tls_support import Holder, b64, issue

OLD = authority.new()
BOTH = OLD.begin()
NEW = BOTH.finish()
THIRD = NEW.begin().finish()


def published(own: authority.Authority) -> bytes:
    return b"".join([*own.roots, *own.evidence])


def says(gate: FakeOneGate, bundle: bytes, **changes: str) -> None:
    """What the SuperLink publishes."""
    superlink = {"FL_READY": "YES", "FL_ENDPOINT": "10.0.0.4:9092", "FL_VERSION": "1.34.0", "FL_TLS": "YES"}
    gate.of("4").update({**superlink, "FL_CA_CERT": b64(bundle), **changes})


def trusted(node: FakeNode) -> bytes:
    return node.path("/opt/flower/certs/ca.crt").read_bytes()


@pytest.fixture
def pinned(supernode: FakeNode, gate: FakeOneGate) -> FakeNode:
    """A SuperNode that trusts OLD and runs."""
    says(gate, published(OLD))
    code, answer = supernode.configure()
    assert (code, answer["message"]) == (0, "")
    supernode.systemd.calls.clear()
    return supernode


def believes(node: FakeNode) -> None:
    code, answer = node.configure()
    assert (code, answer["message"]) == (0, "")


def refuses(node: FakeNode, gate: FakeOneGate) -> str:
    """The sentence; nothing is taken over and the service is left alone."""
    before = trusted(node), node.path(PIN_FILE).read_bytes()
    code, answer = node.configure()
    assert code == 1 and gate.of("5")["FL_ERROR"] == "ca_changed"
    assert (trusted(node), node.path(PIN_FILE).read_bytes()) == before and node.systemd.calls == []
    return str(answer["message"])


def test_the_first_authority_is_pinned_and_confirmed(pinned: FakeNode, gate: FakeOneGate) -> None:
    fingerprint = tls.fingerprint(tls.load_cert(OLD.cert, ""))
    pin = json.loads(pinned.path(PIN_FILE).read_text())
    assert pin["superlink_vm"] == "4" and pin["fingerprints"] == [fingerprint]
    assert pinned.path(PIN_FILE).stat().st_mode & 0o077 == 0
    assert gate.of("5")["FL_CA_FINGERPRINTS"] == fingerprint[:16]
    assert pinned.configure()[1]["changed"] is False


def test_an_overlap_is_followed_from_begin_to_end(pinned: FakeNode, gate: FakeOneGate) -> None:
    says(gate, published(BOTH))
    believes(pinned)
    # The cross certificate is evidence, and no authority that could sign anything for this node.
    assert trusted(pinned) == b"".join(BOTH.roots)
    assert len(gate.of("5")["FL_CA_FINGERPRINTS"].split()) == 2
    assert pinned.systemd.calls == ["restart flower-supernode.service"]
    says(gate, published(NEW))
    believes(pinned)
    assert trusted(pinned) == NEW.cert
    assert pinned.configure()[1]["changed"] is False


@pytest.mark.parametrize("now", [NEW, THIRD])
def test_a_node_that_slept_through_rotations_comes_back_by_itself(
    pinned: FakeNode, gate: FakeOneGate, now: authority.Authority
) -> None:
    says(gate, published(now))
    believes(pinned)
    assert trusted(pinned) == now.cert


EVIL = authority.new()
ROOT = issue("Root", ca=True)
LEAF = issue("Some server", ROOT)
BELOW_LEAF = issue("Evil", LEAF, ca=True)
UNDER_ROOT = Holder(BELOW_LEAF.key, issue("Evil", ca=True, key=BELOW_LEAF.key).cert)
#: The name and key of EVIL, certified by a key that is not OLD's but under its name.
FORGED = issue("x", Holder(tls.load_key(EVIL.key, ""), tls.load_cert(OLD.cert, "")), ca=True)


def with_name_of(holder: Holder, name: bytes) -> bytes:
    """A self-signed authority that calls itself as another one does."""
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509 import BasicConstraints, CertificateBuilder, random_serial_number

    subject = tls.load_cert(name, "").subject
    return tls.cert_pem(
        CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(holder.key.public_key())
        .serial_number(random_serial_number())
        .not_valid_before(holder.cert.not_valid_before_utc)
        .not_valid_after(holder.cert.not_valid_after_utc)
        .add_extension(BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(holder.key, hashes.SHA256())
    )


@pytest.mark.parametrize(
    "bundle",
    [
        pytest.param(EVIL.cert, id="another authority"),
        pytest.param(OLD.cert + EVIL.cert, id="added beside the trusted one"),
        pytest.param(published(BOTH) + EVIL.cert, id="added to a rotation"),
        pytest.param(
            EVIL.cert + tls.new_cross_certificate(EVIL.key, OLD.cert, EVIL.cert), id="cross certificate by another key"
        ),
        pytest.param(EVIL.cert + EVIL.begin().evidence[0], id="cross certificate by itself"),
        pytest.param(with_name_of(UNDER_ROOT, NEW.cert) + NEW.crosses[0], id="the name of the successor, another key"),
        pytest.param(NEW.crosses[0] + EVIL.cert, id="evidence of another one"),
        pytest.param(EVIL.cert + FORGED.pem, id="signature by another key under the name of the trusted one"),
    ],
)
def test_forgeries_are_refused(pinned: FakeNode, gate: FakeOneGate, bundle: bytes) -> None:
    says(gate, bundle)
    sentence = refuses(pinned, gate)
    assert "published another certificate authority" in sentence and "ONEAPP_FL_SSL_CA_CERTFILE" in sentence


END = b"-----END CERTIFICATE-----\n"


@pytest.mark.parametrize("victim", [0, 1, 2])
def test_no_changed_byte_of_a_bundle_is_believed_or_breaks_anything(victim: int) -> None:
    """Old, new, and the cross certificate between them, each with one byte changed."""
    pinned = tls.load_certs(OLD.cert, "")
    good = [tls.load_cert(pem, "") for pem in (*BOTH.roots, *BOTH.evidence)]
    der = good[victim].public_bytes(serialization.Encoding.DER)
    for place in range(0, len(der), 3):
        bad = bytearray(der)
        bad[place] ^= 0x15
        bundle = [tls.cert_pem(cert) for cert in good]
        bundle[victim] = b"".join([b"-----BEGIN CERTIFICATE-----\n", base64.encodebytes(bad), END])
        try:
            anchors, crosses = trust.split(b"".join(bundle), "x")
        except tls.TlsError:
            continue
        if all(trust.vouched(cert, pinned, crosses) for cert in anchors):
            # What is left is good without the changed one, which nobody trusts.
            assert victim == 0 and anchors == [good[1]], place


def test_a_leaf_certificate_cannot_vouch_for_an_authority(supernode: FakeNode, gate: FakeOneGate) -> None:
    says(gate, ROOT.pem)
    believes(supernode)
    supernode.systemd.calls.clear()
    says(gate, UNDER_ROOT.pem + BELOW_LEAF.pem + LEAF.pem)
    code, answer = supernode.configure()
    assert code == 1 and supernode.systemd.calls == [] and trusted(supernode) == ROOT.pem
    # The same chain through an authority is good.
    middle = issue("Middle", ROOT, ca=True)
    below = issue("Evil", middle, ca=True, key=BELOW_LEAF.key)
    self_signed_middle = Holder(middle.key, issue("Middle", ca=True, key=middle.key).cert)
    says(gate, UNDER_ROOT.pem + below.pem + self_signed_middle.pem + middle.pem)
    believes(supernode)


@pytest.mark.parametrize("ca", [False, None])
def test_what_is_no_authority_is_refused_from_the_start(
    supernode: FakeNode, gate: FakeOneGate, ca: bool | None
) -> None:
    says(gate, issue("Self-signed server", ca=ca).pem)
    code, answer = supernode.configure()
    assert code == 1 and "CA:TRUE is missing" in answer["message"] and not supernode.path(PIN_FILE).exists()


def test_a_cross_certificate_counts_only_while_it_and_its_issuer_are_valid(
    pinned: FakeNode, gate: FakeOneGate, in_days: Callable[[float], None]
) -> None:
    in_days(tls.CA_DAYS - 1)
    late = OLD.begin()
    in_days(tls.CA_DAYS + 1)
    says(gate, late.roots[1] + late.evidence[0])
    refuses(pinned, gate)


def test_another_vm_in_the_role_of_the_superlink_is_a_new_beginning(pinned: FakeNode, gate: FakeOneGate) -> None:
    gate.vms["9"] = gate.vms.pop("4")
    gate.of("9")["FL_CA_CERT"] = b64(EVIL.cert)
    # Its registrar registers the nodes of its predecessor.
    pinned.events[pinned.now + 1.0] = lambda: gate.of("5").update(FL_NODE_ID="88")
    believes(pinned)
    assert trusted(pinned) == EVIL.cert and json.loads(pinned.path(PIN_FILE).read_text())["superlink_vm"] == "9"


def test_a_supernode_that_calls_itself_superlink_changes_nothing(pinned: FakeNode, gate: FakeOneGate) -> None:
    superlink = dict(gate.of("4"))
    gate.of("6").update({**superlink, "FL_ROLE": "superlink", "FL_CA_CERT": b64(EVIL.cert)})
    believes(pinned)
    assert trusted(pinned) == OLD.cert


def test_the_operator_may_change_it_and_then_no_vm_may(pinned: FakeNode, gate: FakeOneGate) -> None:
    says(gate, EVIL.cert)
    assert pinned.configure(SSL_CA_CERTFILE=b64(NEW.cert + OLD.cert))[0] == 0
    assert trusted(pinned) == NEW.cert + OLD.cert
    pinned.systemd.calls.clear()
    refuses(pinned, gate)
    says(gate, published(NEW))
    believes(pinned)


def test_the_operators_authority_near_its_end_is_a_warning(
    supernode: FakeNode, gate: FakeOneGate, in_days: Callable[[float], None]
) -> None:
    says(gate, OLD.cert)
    ca = b64(issue("Root", ca=True, days=(-1, 40)).pem)
    assert supernode.configure(SSL_CA_CERTFILE=ca)[1]["warnings"] == []
    in_days(20)
    assert "ONEAPP_FL_SSL_CA_CERTFILE ends on" in supernode.configure(SSL_CA_CERTFILE=ca)[1]["warnings"][0]
    in_days(41)
    code, answer = supernode.configure(SSL_CA_CERTFILE=ca)
    assert code == 1 and "ended on" in answer["message"]


def test_never_a_silent_downgrade(pinned: FakeNode, gate: FakeOneGate) -> None:
    says(gate, OLD.cert, FL_TLS="NO")
    code, answer = pinned.configure()
    assert code == 1 and "does not go on without encryption" in answer["message"]
    assert "--insecure" not in pinned.path("/opt/flower/config/supernode.env").read_text()
    assert pinned.systemd.calls == []
    # When both say so it is the operator's will, and a later way back starts anew.
    plain = {"TLS_ENABLED": "NO", "SUPERNODE_AUTH": "NO"}
    assert pinned.configure(**plain)[0] == 0 and not pinned.path(PIN_FILE).exists()
    says(gate, EVIL.cert)
    code, answer = pinned.configure(**plain)
    assert code == 1 and "FL_TLS=YES" in answer["message"]
    believes_again = pinned.configure(TLS_ENABLED="YES", SUPERNODE_AUTH="YES")
    assert believes_again[0] == 0 and trusted(pinned) == EVIL.cert


def test_a_damaged_pin_is_a_fault_and_no_reason_to_trust(pinned: FakeNode) -> None:
    for text in ("{", "[]", '{"superlink_vm": "4"}'):
        pinned.path(PIN_FILE).write_text(text)
        code, answer = pinned.configure()
        assert code == 1 and "is damaged" in answer["message"]


def test_a_changed_file_of_trusted_certificates_is_put_right(pinned: FakeNode) -> None:
    pinned.path("/opt/flower/certs/ca.crt").write_bytes(EVIL.cert)
    believes(pinned)
    assert trusted(pinned) == OLD.cert


def test_check_mode_changes_no_pin(pinned: FakeNode, gate: FakeOneGate) -> None:
    before = pinned.path(PIN_FILE).read_bytes()
    says(gate, published(BOTH))
    code, answer = pinned.configure(check=True)
    assert code == 0 and answer["changed"] and pinned.path(PIN_FILE).read_bytes() == before
    says(gate, EVIL.cert)
    assert "warnings" in answer and pinned.path(PIN_FILE).read_bytes() == before


def test_a_look_at_a_pin_that_fits_needs_no_cryptography(tmp_path: Path, pinned: FakeNode) -> None:
    code = (
        "import sys; from pathlib import Path; from flower_ops.pki import trust; "
        "from flower_ops.machine.files import Files; "
        "from flower_ops.machine.paths import Paths; assert trust.confirmation(Files(Paths(Path(sys.argv[1])))); "
        "assert not any(name.startswith('cryptography') for name in sys.modules)"
    )
    path = ":".join(entry for entry in sys.path if entry)
    subprocess.run([sys.executable, "-c", code, str(pinned.root)], check=True, env={"PYTHONPATH": path})
