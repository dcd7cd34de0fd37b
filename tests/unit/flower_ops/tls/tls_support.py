# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Certificates as an operator's own authority makes them, and servers that show them."""

from __future__ import annotations

import base64
import datetime
import ssl
from dataclasses import dataclass
from pathlib import Path

from agent_support import Listener, free_port
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID
from flower_ops.machine import health
from flower_ops.pki import tls

LOOPBACK = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"]
Key = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey


@dataclass
class Holder:
    """A certificate with its key."""

    key: Key
    cert: x509.Certificate

    @property
    def pem(self) -> bytes:
        """The certificate."""
        return tls.cert_pem(self.cert)

    def key_pem(self, password: bytes | None = None) -> bytes:
        """The private key."""
        how: serialization.KeySerializationEncryption = serialization.NoEncryption()
        if password:
            how = serialization.BestAvailableEncryption(password)
        return self.key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def issue(
    name: str,
    issuer: Holder | None = None,
    *,
    ca: bool | None = False,
    kind: str = "ec",
    sans: list[str] | None = None,
    days: tuple[float, float] = (-20, 100),
    key: Key | None = None,
) -> Holder:
    """A certificate for `name`, signed by `issuer` (None: itself), valid between `days` from now; ca None: unsaid."""
    key = key or (rsa.generate_private_key(65537, 2048) if kind == "rsa" else ec.generate_private_key(ec.SECP384R1()))
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.cert.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + datetime.timedelta(days=days[0]))
        .not_valid_after(now + datetime.timedelta(days=days[1]))
    )
    if ca is not None:
        builder = builder.add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    if sans:
        builder = builder.add_extension(x509.SubjectAlternativeName(tls.general_names(sans)), critical=False)
    return Holder(key, builder.sign(issuer.key if issuer else key, hashes.SHA256()))


def handshake(folder: Path, ca: bytes, cert: bytes, key: bytes, name: str = "127.0.0.1") -> str:
    """What a client says that trusts `ca` and meets a server with these files under `name`; empty: all is well."""
    for file, data in (("ca", ca), ("cert", cert), ("key", key)):
        (folder / file).write_bytes(data)
    port = free_port()
    server = Listener(port, folder / "cert", folder / "key")
    try:
        return health.serves_tls("127.0.0.1", port, name, folder / "ca")
    finally:
        server.close()


def shown_by(port: int) -> str:
    """Fingerprint of the certificate that a running server on loopback shows."""
    pem = ssl.get_server_certificate(("127.0.0.1", port))
    return tls.fingerprint(tls.load_cert(pem.encode(), "server"))


def b64(pem: bytes) -> str:
    """As context variables carry it."""
    return base64.b64encode(pem).decode()
