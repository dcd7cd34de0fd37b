# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates and keys, judged by real TLS handshakes."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from agent_support import Listener, free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.x509.oid import NameOID
from flower_ops.machine import health
from flower_ops.pki import keys, operator_pki, tls

LOOPBACK = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]


def handshake(folder: Path, ca: bytes, cert: bytes, key: bytes, name: str) -> str:
    """What a client says that trusts `ca` and connects to a server with these files under `name`."""
    for file, data in (("ca", ca), ("cert", cert), ("key", key)):
        (folder / file).write_bytes(data)
    port = free_port()
    server = Listener(port, folder / "cert", folder / "key")
    try:
        return health.serves_tls("127.0.0.1", port, name, folder / "ca")
    finally:
        server.close()


def operator_cert(
    key: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey, ca_key: bytes, ca: bytes, days: int = 10
) -> tuple[bytes, bytes]:
    """(key, certificate) as an operator's own authority would make them."""
    issuer = tls.load_cert(ca, "ca")
    now = datetime.datetime.now(datetime.timezone.utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "superlink.example.org")]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(7)
        .not_valid_before(now - datetime.timedelta(days=20))
        .not_valid_after(now + datetime.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName(tls.general_names(LOOPBACK)), critical=False)
        .sign(tls.load_key(ca_key, "ca key"), hashes.SHA256())
    )
    form = (serialization.Encoding.PEM, serialization.PrivateFormat.TraditionalOpenSSL, serialization.NoEncryption())
    return key.private_bytes(*form), cert.public_bytes(serialization.Encoding.PEM)


@pytest.fixture(scope="module")
def authority() -> tuple[bytes, bytes]:
    return tls.new_ca()


@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "10.1.2.3", "fed.example.org"])
def test_clients_accept_the_own_certificate_under_all_its_names(
    tmp_path: Path, authority: tuple[bytes, bytes], name: str
) -> None:
    key, cert = tls.new_server_cert(*authority, "10.1.2.3", [*LOOPBACK, "IP:10.1.2.3", "DNS:fed.example.org"])
    assert handshake(tmp_path, authority[1], cert, key, name) == ""


def test_clients_refuse_another_name_and_another_authority(tmp_path: Path, authority: tuple[bytes, bytes]) -> None:
    key, cert = tls.new_server_cert(*authority, "x", LOOPBACK)
    assert "not trusted" in handshake(tmp_path, authority[1], cert, key, "10.9.9.9")
    assert "not trusted" in handshake(tmp_path, tls.new_ca()[1], cert, key, "127.0.0.1")


def test_health_tells_a_closed_port_and_a_plain_server(tmp_path: Path, authority: tuple[bytes, bytes]) -> None:
    (tmp_path / "ca").write_bytes(authority[1])
    assert "no connection" in health.serves_tls("127.0.0.1", free_port(), "127.0.0.1", tmp_path / "ca")
    port = free_port()
    plain = Listener(port)
    assert health.serves_tls("127.0.0.1", port, "127.0.0.1", tmp_path / "ca") != ""
    assert health.listens("127.0.0.1", port) == ""
    plain.close()


def test_a_certificate_stays_only_with_exactly_its_names(authority: tuple[bytes, bytes]) -> None:
    ca_key, ca = authority
    key, cert = tls.new_server_cert(ca_key, ca, "10.0.0.12", [*LOOPBACK, "IP:10.0.0.12"])
    assert tls.server_is_usable(key, cert, ca, ["IP:10.0.0.12", *reversed(LOOPBACK)])
    assert not tls.server_is_usable(key, cert, ca, [*LOOPBACK, "IP:10.0.0.1"])
    assert not tls.server_is_usable(key, cert, ca, [*LOOPBACK, "IP:10.0.0.12", "DNS:more"])
    assert not tls.server_is_usable(key, cert, tls.new_ca()[1], [*LOOPBACK, "IP:10.0.0.12"])
    assert not tls.server_is_usable(
        tls.new_server_cert(ca_key, ca, "x", LOOPBACK)[0], cert, ca, [*LOOPBACK, "IP:10.0.0.12"]
    )
    assert not tls.server_is_usable(b"junk", cert, ca, LOOPBACK)


def test_a_certificate_about_to_end_is_not_kept(
    authority: tuple[bytes, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tls, "SERVER_DAYS", tls.RENEW_DAYS - 1)
    key, cert = tls.new_server_cert(*authority, "x", LOOPBACK)
    assert not tls.server_is_usable(key, cert, authority[1], LOOPBACK)


@pytest.mark.parametrize("kind", ["rsa", "ec"])
def test_operator_pki_of_both_kinds_is_accepted(tmp_path: Path, authority: tuple[bytes, bytes], kind: str) -> None:
    private = rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1())
    key, cert = operator_cert(private, *authority)
    operator_pki.check(authority[1], cert, key)
    assert handshake(tmp_path, authority[1], cert, key, "localhost") == ""


def test_operator_pki_that_cannot_work_is_refused_with_its_reason(authority: tuple[bytes, bytes]) -> None:
    key, cert = operator_cert(ec.generate_private_key(ec.SECP256R1()), *authority)
    other_key, _rest = operator_cert(ec.generate_private_key(ec.SECP256R1()), *authority)
    old_key, old_cert = operator_cert(ec.generate_private_key(ec.SECP256R1()), *authority, days=-1)
    ed = ed25519.Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    for ca, crt, private, reason in (
        (authority[1], cert, other_key, "is not the key of"),
        (tls.new_ca()[1], cert, key, "is not signed by"),
        (authority[1], old_cert, old_key, "ended on"),
        (authority[1], cert, ed, "must be an RSA or EC key"),
        (authority[1], b"junk", key, "is not a PEM certificate"),
        (authority[1], cert, b"junk", "is not an unencrypted PEM private key"),
    ):
        with pytest.raises(tls.TlsError, match=reason):
            operator_pki.check(ca, crt, private)


def test_node_keys_have_the_form_that_flower_takes() -> None:
    private, public = keys.new_key_pair()
    assert private.startswith(b"-----BEGIN OPENSSH PRIVATE KEY-----")
    assert public.startswith(b"ecdsa-sha2-nistp384 ") and public.endswith(b"\n")
    assert keys.public_of(private) == public
    loaded = serialization.load_ssh_private_key(private, None)
    assert isinstance(loaded, ec.EllipticCurvePrivateKey) and loaded.curve.name == "secp384r1"


def test_public_keys_of_other_kinds_are_refused() -> None:
    _rest, public = keys.new_key_pair()
    assert keys.check_public(public.decode() + "comment") == " ".join(public.decode().split())
    ed = ed25519.Ed25519PrivateKey.generate().public_key()
    line = ed.public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH).decode()
    for text in ("", line, "ecdsa-sha2-nistp384 AAAA", "-----BEGIN PUBLIC KEY-----"):
        with pytest.raises(ValueError, match="not an EC public key"):
            keys.check_public(text)
