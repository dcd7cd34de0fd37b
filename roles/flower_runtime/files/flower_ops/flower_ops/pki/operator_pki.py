# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The operator's own certificates, judged before a service is started with them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flower_ops.pki import tls

if TYPE_CHECKING:
    from cryptography import x509

CA, CERT, KEY = "ONEAPP_FL_SSL_CA_CERTFILE", "ONEAPP_FL_SSL_CERTFILE", "ONEAPP_FL_SSL_KEYFILE"


def check(ca: bytes, cert: bytes, key: bytes, names: Sequence[str] = ()) -> None:
    """TlsError unless the operator's files (PEM) form a server identity that gRPC will accept now.

    `names` (`IP:…`, `DNS:…`) are those under which this VM itself connects to its services.
    """
    server = tls.load_cert(cert, CERT)
    if not tls.same_key(server, tls.load_key(key, KEY)):
        raise tls.TlsError(f"{KEY} is not the key of {CERT}; give a matching pair.")
    check_time(server, CERT)
    _check_chain(cert, ca)
    missing = lacking(server, names)
    if missing:
        raise tls.TlsError(
            f"{CERT} is not valid for {' and '.join(missing)}, where the flwr command on this VM connects; "
            "issue it with this subject alternative name as well."
        )


def lacking(server: x509.Certificate, names: Sequence[str]) -> list[str]:
    """Those of `names` that a server certificate does not carry."""
    present = tls.alternative_names(server)
    return [name for name in names if tls.general_names([name])[0] not in present]


def check_authorities(pem: bytes, what: str = CA) -> list[x509.Certificate]:
    """The certificates of a CA file, one or a bundle; TlsError when none of them can be trusted now."""
    found = tls.load_certs(pem, what)
    usable = [cert for cert in found if tls.is_authority(cert)]
    if not usable:
        raise tls.TlsError(
            f"{what} holds no certificate of an authority (CA:TRUE is missing); give the certificate of the CA that "
            "signed the server's, not the server's."
        )
    if not any(tls.is_valid(cert) for cert in usable):
        check_time(usable[0], what)
    return found


def check_time(cert: x509.Certificate, what: str) -> None:
    """TlsError when a certificate has ended or is not valid yet."""
    if cert.not_valid_after_utc <= tls.now():
        raise tls.TlsError(f"{what} ended on {cert.not_valid_after_utc:%Y-%m-%d}; give a valid certificate.")
    if not tls.is_valid(cert):
        raise tls.TlsError(
            f"{what} is valid from {cert.not_valid_before_utc:%Y-%m-%d %H:%M} UTC only; give one that is valid now, or "
            f"set the clock of this VM (it says {tls.now():%Y-%m-%d %H:%M} UTC)."
        )


def ends_soon(cert: x509.Certificate, what: str) -> str:
    """One sentence when an operator's certificate ends within the renewal time, else nothing."""
    left = tls.days_left(cert)
    if left > tls.RENEW_DAYS:
        return ""
    end = f"{cert.not_valid_after_utc:%Y-%m-%d}"
    if left <= 0:
        return f"{what} ended on {end}; give a new one"
    return f"{what} ends on {end}, in {int(left)} days; give a new one before that"


def _check_chain(cert: bytes, ca: bytes) -> None:
    """Follow the chain from the server certificate through the intermediates sent with it to a trusted one."""
    trusted = check_authorities(ca)
    current, *rest = tls.load_certs(cert, CERT)
    while True:
        issuer = next((item for item in trusted if tls.signed_by(current, item)), None)
        if issuer is not None:
            check_time(issuer, CA)
            return
        between = next((item for item in rest if tls.signed_by(current, item)), None)
        if between is None:
            raise tls.TlsError(
                f"{CERT} is not signed by {CA}; give the right CA, and intermediate certificates after the server's "
                f"own in {CERT}."
            )
        check_time(between, f"An intermediate certificate in {CERT}")
        rest.remove(between)
        current = between
