# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Server certificates of the SuperLink: an own certificate authority, or the operator's material checked.

Everything here works on bytes; where they are stored, and when, is the business of the steps.
"""

from __future__ import annotations

import datetime
import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey

CA_DAYS = 3650
SERVER_DAYS = 365
RENEW_DAYS = 30
_SKEW = datetime.timedelta(hours=1)


class TlsError(Exception):
    """The TLS material cannot be used; the message is one sentence for the operator."""


def _now() -> datetime.datetime:
    return datetime.datetime.now(datetime.timezone.utc)


def _key_pem(key: PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _cert_pem(cert: x509.Certificate) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return cert.public_bytes(serialization.Encoding.PEM)


def load_cert(pem: bytes, what: str) -> x509.Certificate:
    """First certificate of a PEM text; TlsError naming `what` when there is none."""
    from cryptography import x509

    try:
        return x509.load_pem_x509_certificate(pem)
    except ValueError as error:
        raise TlsError(f"{what} is not a PEM certificate.") from error


def load_key(pem: bytes, what: str) -> PrivateKey:
    """An unencrypted RSA or EC private key; TlsError naming `what` otherwise. Never quotes the input."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise TlsError(f"{what} is not an unencrypted PEM private key.") from error
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise TlsError(f"{what} must be an RSA or EC key.")
    return key


def _same_key(cert: x509.Certificate, key: PrivateKey) -> bool:
    from cryptography.hazmat.primitives import serialization

    form = (serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    return cert.public_key().public_bytes(*form) == key.public_key().public_bytes(*form)


def _signed_by(cert: x509.Certificate, ca: x509.Certificate) -> bool:
    from cryptography.exceptions import InvalidSignature

    try:
        cert.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def new_ca(name: str = "Flower CA") -> tuple[bytes, bytes]:
    """An own authority: (key PEM, certificate PEM), EC P-256, ten years."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import NameOID

    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Flower FL"), x509.NameAttribute(NameOID.COMMON_NAME, name)]
    )
    usage = x509.KeyUsage(
        digital_signature=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=True,
        crl_sign=True,
        encipher_only=False,
        decipher_only=False,
    )
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _SKEW)
        .not_valid_after(_now() + datetime.timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    return _key_pem(key), _cert_pem(cert)


def general_names(sans: list[str]) -> list[x509.GeneralName]:
    """`IP:<address>` and `DNS:<name>` entries as certificate names, in order and without repeats."""
    from cryptography import x509

    names: list[x509.GeneralName] = []
    for entry in sans:
        kind, _separator, value = entry.partition(":")
        name = x509.IPAddress(ipaddress.ip_address(value)) if kind == "IP" else x509.DNSName(value)
        if name not in names:
            names.append(name)
    return names


def new_server_cert(ca_key_pem: bytes, ca_pem: bytes, common_name: str, sans: list[str]) -> tuple[bytes, bytes]:
    """A server certificate signed by the own authority: (key PEM, certificate PEM), EC P-256."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

    ca_key = load_key(ca_key_pem, "The key of the own certificate authority")
    ca = load_cert(ca_pem, "The certificate of the own certificate authority")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Flower FL"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )
    # A server certificate must not outlive its issuer.
    end = min(_now() + datetime.timedelta(days=SERVER_DAYS), ca.not_valid_after_utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_now() - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(general_names(sans)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return _key_pem(key), _cert_pem(cert)


def ca_is_usable(ca_key_pem: bytes, ca_pem: bytes) -> bool:
    """Whether key and certificate of the own authority belong together and do not end within the renewal time."""
    try:
        ca = load_cert(ca_pem, "ca.crt")
        if not _same_key(ca, load_key(ca_key_pem, "ca.key")):
            return False
    except TlsError:
        return False
    return ca.not_valid_after_utc - _now() > datetime.timedelta(days=RENEW_DAYS)


def server_is_usable(key_pem: bytes, cert_pem: bytes, ca_pem: bytes, sans: list[str]) -> bool:
    """Whether a server certificate can stay: right key, right issuer, exactly these names, not ending soon."""
    from cryptography import x509

    try:
        cert = load_cert(cert_pem, "server.pem")
        if not _same_key(cert, load_key(key_pem, "server.key")) or not _signed_by(cert, load_cert(ca_pem, "ca.crt")):
            return False
        present = cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (TlsError, x509.ExtensionNotFound, ValueError):
        return False
    if set(present) != set(general_names(sans)):
        return False
    return cert.not_valid_after_utc - _now() > datetime.timedelta(days=RENEW_DAYS)


def check_operator_pki(ca_pem: bytes, cert_pem: bytes, key_pem: bytes) -> None:
    """TlsError unless the operator's files form a server identity that gRPC will accept now."""
    cert = load_cert(cert_pem, "ONEAPP_FL_SSL_CERTFILE")
    key = load_key(key_pem, "ONEAPP_FL_SSL_KEYFILE")
    if not _same_key(cert, key):
        raise TlsError("ONEAPP_FL_SSL_KEYFILE is not the key of ONEAPP_FL_SSL_CERTFILE; give a matching pair.")
    if cert.not_valid_after_utc <= _now():
        raise TlsError(
            f"ONEAPP_FL_SSL_CERTFILE ended on {cert.not_valid_after_utc:%Y-%m-%d}; give a valid certificate."
        )
    _check_chain(cert_pem, ca_pem)


def _check_chain(cert_pem: bytes, ca_pem: bytes) -> None:
    """Follow the chain from the server certificate through the intermediates sent with it to a trusted one."""
    from cryptography import x509

    trusted = x509.load_pem_x509_certificates(ca_pem) if b"BEGIN CERTIFICATE" in ca_pem else []
    if not trusted:
        raise TlsError("ONEAPP_FL_SSL_CA_CERTFILE is not a PEM certificate.")
    current, *rest = x509.load_pem_x509_certificates(cert_pem)
    while not any(_signed_by(current, ca) for ca in trusted):
        issuer = next((cert for cert in rest if _signed_by(current, cert)), None)
        if issuer is None:
            raise TlsError("ONEAPP_FL_SSL_CERTFILE is not signed by ONEAPP_FL_SSL_CA_CERTFILE; give the right CA.")
        rest.remove(issuer)
        current = issuer
