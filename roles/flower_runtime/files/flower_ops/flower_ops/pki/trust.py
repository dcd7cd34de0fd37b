# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whom a SuperNode trusts: the first authority is pinned, and another one needs a reason.

Attributes in OneGate can be written by every VM of the service, so what they say is believed once. Later changes are
taken over only when the pinned authority has signed for them, when OneFlow itself says that the SuperLink is another
VM, or when the operator gives the certificate (ONEAPP_FL_SSL_CA_CERTFILE).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.files import Files
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.node.node import Node
from flower_ops.pki import tls

if TYPE_CHECKING:
    from cryptography import x509

PIN_FILE = f"{Paths.private}/pinned.json"
#: Attribute by which a node says which authorities it trusts: the first digits of their SHA-256, separated by spaces.
CONFIRMATION = "FL_CA_FINGERPRINTS"
_DIGITS = 16
_WAY_OUT = (
    f"If the change was yours, give the new one as ONEAPP_FL_SSL_CA_CERTFILE or delete {PIN_FILE} on this node; "
    "otherwise somebody may be reading along."
)


@dataclass(frozen=True)
class Pin:
    """What is trusted: PEM certificates, the SuperLink's VM (empty: named by the operator), SHA-256 of their source."""

    superlink_vm: str
    certificates: str
    source: str
    fingerprints: list[str]


def accept(node: Node, published: bytes, superlink_vm: str) -> bytes:
    """The certificates (PEM) to trust, given what the SuperLink of that VM publishes; NodeError when not believed.

    A change that is believed replaces the pin.
    """
    pin = read(node.files)
    source = hashlib.sha256(published).hexdigest()
    if pin is not None and (pin.source, pin.superlink_vm) == (source, superlink_vm):
        # The usual case costs no look into certificates.
        return _settle(node, pin)
    try:
        anchors, crosses = split(published, "FL_CA_CERT of the SuperLink")
    except tls.TlsError as error:
        raise NodeError(str(error), "tls_setup_failed") from error
    # A pin without a VM is the operator's: no VM may replace it by itself.
    if pin is not None and pin.superlink_vm in ("", superlink_vm):
        trusted = tls.load_certs(pin.certificates.encode(), PIN_FILE)
        strangers = [cert for cert in anchors if not vouched(cert, trusted, crosses)]
        if strangers:
            raise NodeError(
                f"The SuperLink (VM {superlink_vm}) published another certificate authority, "
                f"{tls.fingerprint(strangers[0])[:_DIGITS]}, that the trusted one did not sign. {_WAY_OUT}",
                "ca_changed",
            )
    return _settle(node, _pin(anchors, superlink_vm, source))


def given(node: Node, ca: bytes) -> bytes:
    """The certificates (PEM) to trust, given the operator's own word; they replace what was pinned."""
    from flower_ops.pki import operator_pki

    pin = read(node.files)
    source = hashlib.sha256(ca).hexdigest()
    try:
        certs = operator_pki.check_authorities(ca)
        node.warnings += filter(None, (operator_pki.ends_soon(cert, operator_pki.CA) for cert in certs))
        anchors, _crosses = split(ca, operator_pki.CA)
    except tls.TlsError as error:
        raise NodeError(str(error), "tls_setup_failed") from error
    if pin is not None and (pin.source, pin.superlink_vm) == (source, ""):
        return _settle(node, pin)
    return _settle(node, _pin(anchors, "", source))


def check_downgrade(node: Node) -> None:
    """NodeError when the SuperLink says that traffic is not encrypted any more, but this node has seen it encrypted.

    To be called where the SuperLink says FL_TLS=NO. A node that is told ONEAPP_FL_TLS_ENABLED=NO itself follows.
    """
    if read(node.files) is None:
        return
    if node.is_on("TLS_ENABLED"):
        raise NodeError(
            "The SuperLink says FL_TLS=NO, but this node has trusted its certificate before and does not go on without "
            "encryption; set ONEAPP_FL_TLS_ENABLED=YES on the SuperLink, or NO on this node as well if it was meant.",
            "tls_setup_failed",
        )
    forget(node)


def forget(node: Node) -> None:
    """Trust nobody any more: the next authority is pinned as the first one was."""
    if not node.check:
        node.files.paths.at(PIN_FILE).unlink(missing_ok=True)


def read(files: Files) -> Pin | None:
    """The pin of this node; None when it has none yet. A pin that cannot be read is a fault, not a reason to trust."""
    text = files.read(PIN_FILE)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return Pin(
            str(found["superlink_vm"]),
            str(found["certificates"]),
            str(found["source"]),
            [str(item) for item in found["fingerprints"]],
        )
    except (ValueError, KeyError, TypeError) as error:
        raise NodeError(
            f"{PIN_FILE} is damaged; delete it if this node may trust the SuperLink's present certificate.",
            "tls_setup_failed",
        ) from error


def confirmation(files: Files) -> str:
    """Value of FL_CA_FINGERPRINTS: what this node trusts. Empty without a pin."""
    pin = read(files)
    return " ".join(item[:_DIGITS] for item in pin.fingerprints) if pin else ""


def unconfirmed(gate: OneGate | None, ca: bytes) -> list[str]:
    """VM ids of the SuperNodes of the own service that have not said that they trust this authority."""
    if gate is None:
        return []
    wanted = tls.fingerprint(tls.load_cert(ca, "The certificate authority"))[:_DIGITS]
    try:
        peers = gate.peers()
    except OneGateError as error:
        if error.status in (400, 401, 403, 404):
            # A VM of its own, in no service: its nodes are added by hand, and so are their certificates.
            return []
        raise NodeError(f"{error}.", "onegate_failed") from error
    return [
        peer.vm_id
        for peer in peers
        if peer.role != "superlink"
        and peer.attributes.get("FL_ROLE") == "supernode"
        and wanted not in peer.attributes.get(CONFIRMATION, "").split()
    ]


def split(pem: bytes, what: str) -> tuple[list[x509.Certificate], list[x509.Certificate]]:
    """Certificates of a bundle: (those to trust, cross certificates); TlsError when there is nothing to trust.

    A cross certificate holds the key of an authority that is in the bundle under its own signature as well, or has
    signed such a one. It says something about that authority and is never trusted itself.
    """
    found = [cert for cert in tls.load_certs(pem, what) if tls.days_left(cert) > 0]
    own = [cert for cert in found if cert.subject == cert.issuer]
    rest = [cert for cert in found if cert.subject != cert.issuer]
    crosses = [cert for cert in rest if any(tls.same_key(cert, other) for other in own)]
    for cross in crosses:
        # Those of earlier successors, whose own certificates are gone, lead to it; the list grows while it is walked.
        crosses += [cert for cert in rest if cert not in crosses and tls.signed_by(cross, cert)]
    anchors = [cert for cert in found if cert not in crosses]
    if not anchors:
        raise tls.TlsError(f"{what} holds no certificate that is valid now; renew it.")
    wrong = next((cert for cert in anchors if not tls.is_authority(cert)), None)
    if wrong is not None:
        raise tls.TlsError(
            f"{what} holds {wrong.subject.rfc4514_string()!r}, which is no certificate of an authority (CA:TRUE is "
            "missing)."
        )
    if any(cert.subject == cert.issuer and not tls.signed_by(cert, cert) for cert in anchors):
        raise tls.TlsError(f"{what} holds a certificate with a broken signature.")
    return anchors, crosses


def vouched(cert: x509.Certificate, trusted: list[x509.Certificate], crosses: list[x509.Certificate]) -> bool:
    """Whether a certificate is trusted already, or cross certificates lead from a trusted one to its key."""
    if cert in trusted:
        return True
    believed = [item for item in trusted if tls.is_valid(item)]
    open_crosses = [item for item in crosses if tls.is_valid(item) and tls.is_authority(item)]
    while True:
        step = next((item for item in open_crosses if any(tls.signed_by(item, one) for one in believed)), None)
        if step is None:
            return False
        if step.subject == cert.subject and tls.same_key(step, cert):
            return True
        open_crosses.remove(step)
        believed.append(step)


def _pin(anchors: list[x509.Certificate], superlink_vm: str, source: str) -> Pin:
    pem = b"".join(map(tls.cert_pem, anchors)).decode()
    return Pin(superlink_vm, pem, source, [tls.fingerprint(cert) for cert in anchors])


def _settle(node: Node, pin: Pin) -> bytes:
    """Keep a pin; returns its certificates."""
    text = {
        "superlink_vm": pin.superlink_vm,
        "fingerprints": pin.fingerprints,
        "source": pin.source,
        "certificates": pin.certificates,
    }
    data = f"{json.dumps(text, indent=1)}\n".encode()
    if node.files.read(PIN_FILE) != data:
        node.files.store(PIN_FILE, data)
    return pin.certificates.encode()
