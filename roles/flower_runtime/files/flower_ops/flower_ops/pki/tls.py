# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as bytes: reading, comparing and making them. Where they are stored, and when, is decided elsewhere."""

from __future__ import annotations

import datetime
import ipaddress
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey

    PrivateKey = EllipticCurvePrivateKey | RSAPrivateKey

CA_DAYS = 3650
SERVER_DAYS = 365
#: A certificate with less time left than this is renewed.
RENEW_DAYS = 30
_SKEW = datetime.timedelta(hours=1)


class TlsError(Exception):
    """The TLS material cannot be used; the message is one sentence for the operator."""


def now() -> datetime.datetime:
    """The time by which certificates are judged and dated, UTC."""
    return datetime.datetime.now(datetime.timezone.utc)


def days_left(cert: x509.Certificate) -> float:
    """Days until a certificate ends; negative after that."""
    return (cert.not_valid_after_utc - now()).total_seconds() / 86400


def is_valid(cert: x509.Certificate) -> bool:
    """Whether a certificate is valid at this time; clocks may differ by an hour."""
    return cert.not_valid_before_utc - _SKEW <= now() < cert.not_valid_after_utc


def key_pem(key: PrivateKey) -> bytes:
    """A private key as PKCS#8 in PEM, unencrypted."""
    from cryptography.hazmat.primitives import serialization

    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def cert_pem(cert: x509.Certificate) -> bytes:
    """A certificate in PEM."""
    from cryptography.hazmat.primitives import serialization

    return cert.public_bytes(serialization.Encoding.PEM)


def load_certs(pem: bytes, what: str) -> list[x509.Certificate]:
    """All certificates of a PEM text, at least one; TlsError naming `what` otherwise."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm

    try:
        found = x509.load_pem_x509_certificates(pem)
        for cert in found:
            # Parts are read only when they are asked for; who asks later counts on them.
            for part in ("extensions", "subject", "issuer", "not_valid_before_utc", "not_valid_after_utc"):
                getattr(cert, part)
            cert.public_key()
    except (
        ValueError,
        UnsupportedAlgorithm,
        x509.InvalidVersion,
        x509.DuplicateExtension,
        x509.UnsupportedGeneralNameType,
    ) as error:
        raise TlsError(f"{what} is not a PEM certificate.") from error
    return found


def load_cert(pem: bytes, what: str) -> x509.Certificate:
    """First certificate of a PEM text; TlsError naming `what` when there is none."""
    return load_certs(pem, what)[0]


def load_key(pem: bytes, what: str) -> PrivateKey:
    """An unencrypted RSA or EC private key; TlsError naming `what` otherwise. Never quotes the input."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    try:
        key = serialization.load_pem_private_key(pem, password=None)
    except TypeError as error:
        raise TlsError(
            f"{what} is encrypted, and nobody is there to type its password when a service starts; it must be an "
            "unencrypted PEM private key."
        ) from error
    except (ValueError, UnsupportedAlgorithm) as error:
        raise TlsError(f"{what} is not an unencrypted PEM private key.") from error
    if not isinstance(key, (ec.EllipticCurvePrivateKey, rsa.RSAPrivateKey)):
        raise TlsError(f"{what} must be an RSA or EC key.")
    return key


def fingerprint(cert: x509.Certificate) -> str:
    """SHA-256 of a certificate, 64 hexadecimal digits."""
    from cryptography.hazmat.primitives import hashes

    return cert.fingerprint(hashes.SHA256()).hex()


def _public_der(holder: x509.Certificate | PrivateKey) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return holder.public_key().public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def same_key(one: x509.Certificate | PrivateKey, other: x509.Certificate | PrivateKey) -> bool:
    """Whether two certificates or private keys hold the same public key."""
    return _public_der(one) == _public_der(other)


def is_authority(cert: x509.Certificate) -> bool:
    """Whether a certificate may sign others (CA:TRUE, and certificate signing where a key usage is given)."""
    from cryptography import x509

    try:
        if not cert.extensions.get_extension_for_class(x509.BasicConstraints).value.ca:
            return False
        return cert.extensions.get_extension_for_class(x509.KeyUsage).value.key_cert_sign
    except x509.ExtensionNotFound as missing:
        return missing.oid != x509.BasicConstraints.oid
    except ValueError:
        return False


def signed_by(cert: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether name and signature of `cert` are those of an issuer that may sign at all."""
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

    try:
        cert.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return is_authority(issuer)


def new_ca(name: str = "Flower CA") -> tuple[bytes, bytes]:
    """An own authority: (key PEM, certificate PEM), EC P-256, ten years."""
    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    # A name of its own for each key: while two authorities overlap, verifiers look issuers up by name.
    subject = _subject(f"{name} {x509.SubjectKeyIdentifier.from_public_key(key.public_key()).digest.hex()[:8]}")
    end = now() + datetime.timedelta(days=CA_DAYS)
    return key_pem(key), cert_pem(_ca_cert(subject, subject, key, key, end))


def new_cross_certificate(ca_key_pem: bytes, ca_pem: bytes, successor_pem: bytes) -> bytes:
    """The key and name of another authority certified by the own one: who trusts the own one can trust the other."""
    ca = load_cert(ca_pem, "The certificate of the own certificate authority")
    successor = load_cert(successor_pem, "The certificate of the next certificate authority")
    ca_key = load_key(ca_key_pem, "The key of the own certificate authority")
    end = min(ca.not_valid_after_utc, successor.not_valid_after_utc)
    return cert_pem(_ca_cert(successor.subject, ca.subject, successor, ca_key, end))


def _subject(common_name: str) -> x509.Name:
    from cryptography import x509
    from cryptography.x509.oid import NameOID

    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Flower FL"),
            x509.NameAttribute(NameOID.COMMON_NAME, common_name),
        ]
    )


def _ca_cert(
    subject: x509.Name,
    issuer: x509.Name,
    holder: x509.Certificate | PrivateKey,
    signer: PrivateKey,
    end: datetime.datetime,
) -> x509.Certificate:
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes

    public = holder.public_key()
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
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
        .sign(signer, hashes.SHA256())
    )


def general_names(sans: Sequence[str]) -> list[x509.GeneralName]:
    """`IP:<address>` and `DNS:<name>` entries as certificate names, in order and without repeats."""
    from cryptography import x509

    names: list[x509.GeneralName] = []
    for entry in sans:
        kind, _separator, value = entry.partition(":")
        name = x509.IPAddress(ipaddress.ip_address(value)) if kind == "IP" else x509.DNSName(value)
        if name not in names:
            names.append(name)
    return names


def alternative_names(cert: x509.Certificate) -> list[x509.GeneralName]:
    """Names that a server certificate is good for; none when it has no such extension."""
    from cryptography import x509

    try:
        return list(cert.extensions.get_extension_for_class(x509.SubjectAlternativeName).value)
    except (x509.ExtensionNotFound, ValueError):
        return []


def new_server_cert(ca_key_pem: bytes, ca_pem: bytes, common_name: str, sans: Sequence[str]) -> tuple[bytes, bytes]:
    """A server certificate signed by the own authority: (key PEM, certificate PEM), EC P-256."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.x509.oid import ExtendedKeyUsageOID

    ca_key = load_key(ca_key_pem, "The key of the own certificate authority")
    ca = load_cert(ca_pem, "The certificate of the own certificate authority")
    key = ec.generate_private_key(ec.SECP256R1())
    # A server certificate must not outlive its issuer.
    end = min(now() + datetime.timedelta(days=SERVER_DAYS), ca.not_valid_after_utc)
    cert = (
        x509.CertificateBuilder()
        .subject_name(_subject(common_name))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - _SKEW)
        .not_valid_after(end)
        .add_extension(x509.SubjectAlternativeName(general_names(sans)), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(ca_key.public_key()), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    return key_pem(key), cert_pem(cert)


def made_at(cert: x509.Certificate) -> datetime.datetime:
    """When one of our own certificates was made."""
    return cert.not_valid_before_utc + _SKEW


def server_is_usable(key: bytes, cert: bytes, ca: bytes, sans: Sequence[str]) -> bool:
    """Whether a server certificate can stay: right key, right issuer, exactly these names, not ending soon."""
    try:
        found = load_cert(cert, "server.pem")
        if not same_key(found, load_key(key, "server.key")) or not signed_by(found, load_cert(ca, "ca.crt")):
            return False
    except TlsError:
        return False
    return set(alternative_names(found)) == set(general_names(sans)) and days_left(found) > RENEW_DAYS
