# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The SuperLink's step for its certificates: the operator's files, or an own authority that is kept and renewed."""

from __future__ import annotations

import ipaddress

from flower_ops import rules
from flower_ops.machine.errors import NodeError
from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths
from flower_ops.node.node import Node
from flower_ops.pki import authority, operator_pki, tls, trust
from flower_ops.pki.authority import CA_FILE, CROSS_FILE, Authority

CERT_FILE = f"{Paths.certs}/server.pem"
KEY_FILE = f"{Paths.certs}/server.key"
#: A restart is needed when one of these changes; what is trusted is read at each connection.
SERVICE_FILES = (CERT_FILE, KEY_FILE)


def certificates(node: Node) -> None:
    """Server identity of the SuperLink. Certificates stay as long as they are valid and fit its addresses."""
    node.facts["tls"] = node.is_on("TLS_ENABLED")
    if not node.facts["tls"]:
        return
    try:
        if node.value("SSL_CA_CERTFILE"):
            _operator_pki(node)
        else:
            _own_pki(node)
    except tls.TlsError as error:
        raise NodeError(str(error), "tls_setup_failed") from error
    node.facts["ca_cert"] = (node.files.read(CA_FILE) or b"").decode()


def published(files: Files) -> bytes:
    """What nodes are told as FL_CA_CERT (PEM): the certificates to trust, and cross certificates as their evidence."""
    return (files.read(CA_FILE) or b"") + b"".join(_evidence(files))


def days_left(files: Files) -> float | None:
    """Days until the server certificate ends, None without one that can be read; renewed from tls.RENEW_DAYS on."""
    pem = files.read(CERT_FILE)
    try:
        return None if pem is None else tls.days_left(tls.load_cert(pem, CERT_FILE))
    except tls.TlsError:
        return None


def subject_names(node: Node) -> list[str]:
    """Names in the server certificate: loopback, the VM's addresses, the operator's extras."""
    addresses = node.addresses()
    if not addresses:
        raise NodeError("This VM has no IP address to put into its certificate; give it a network.", "tls_setup_failed")
    names = ["DNS:localhost", "IP:127.0.0.1", "IP:::1"] + [f"IP:{ipaddress.ip_address(item)}" for item in addresses]
    names += _listening(node)
    return list(dict.fromkeys(names + rules.split_sans(node.value("CERT_EXTRA_SAN"))))


def _listening(node: Node) -> list[str]:
    """Addresses that the services are bound to, but those that mean all of them."""
    names = []
    for name in ("FLEET_API_ADDRESS", "CONTROL_API_ADDRESS"):
        host = rules.split_address(node.value(name))[0]
        try:
            if not ipaddress.ip_address(host).is_unspecified:
                names.append(f"IP:{ipaddress.ip_address(host)}")
        except ValueError:
            names.append(f"DNS:{host}")
    return names


def names_in(pem: bytes) -> list[str]:
    """Names of a server certificate in the form of `subject_names`."""
    from cryptography import x509

    found = tls.alternative_names(tls.load_cert(pem, CERT_FILE))
    return [f"{'IP' if isinstance(name, x509.IPAddress) else 'DNS'}:{name.value}" for name in found]


def store_server(files: Files, own: Authority, cert: bytes, key: bytes) -> None:
    """Write a server certificate of the own authority, followed by what leads from former authorities to this one."""
    leaf = tls.cert_pem(tls.load_cert(cert, CERT_FILE))
    bridges = [pem for pem in own.crosses if tls.days_left(tls.load_cert(pem, CROSS_FILE)) > 0]
    files.write(CERT_FILE, leaf + b"".join(bridges), 0o644, "flower:flower")
    files.write(KEY_FILE, key, 0o600, "flower:flower", secret=True)


def _operator_pki(node: Node) -> None:
    ca, cert, key = (rules.decode_pem(node.value(name)) for name in ("SSL_CA_CERTFILE", "SSL_CERTFILE", "SSL_KEYFILE"))
    operator_pki.check(ca, cert, key, list(dict.fromkeys(["IP:127.0.0.1", *_listening(node)])))
    if node.value("CERT_EXTRA_SAN"):
        node.warnings.append("ONEAPP_FL_CERT_EXTRA_SAN has no effect on the operator's own certificate")
    server = tls.load_cert(cert, operator_pki.CERT)
    soon = [operator_pki.ends_soon(server, operator_pki.CERT)]
    soon += [operator_pki.ends_soon(item, operator_pki.CA) for item in tls.load_certs(ca, operator_pki.CA)]
    node.warnings += [sentence for sentence in soon if sentence]
    absent = operator_pki.lacking(server, [f"IP:{address}" for address in node.addresses()[:1]])
    if absent:
        node.warnings.append(
            f"{operator_pki.CERT} is not valid for {absent[0]}; nodes that connect to that address will refuse it"
        )
    anchors, crosses = trust.split(ca, operator_pki.CA)
    own = authority.load(node.files)
    if own is not None and not set(map(tls.cert_pem, anchors)) & set(own.roots):
        # Nodes that trust the own authority are told by it that they may trust the operator's from now on.
        crosses = [*(tls.load_cert(own.cross_for(tls.cert_pem(item)), "") for item in anchors), *crosses]
        authority.save_crosses(node.files, tuple(map(tls.cert_pem, crosses)))
    node.files.write(CA_FILE, b"".join(map(tls.cert_pem, anchors)), 0o644, "flower:flower")
    node.files.write(CERT_FILE, cert, 0o644, "flower:flower")
    node.files.write(KEY_FILE, key, 0o600, "flower:flower", secret=True)


def _own_pki(node: Node) -> None:
    names = subject_names(node)
    own = authority.load(node.files)
    if own is None:
        if node.files.read(CA_FILE) is not None:
            node.warnings.append(
                "the former certificate authority is lost or has ended, and a new one was made; SuperNodes take it "
                "over only when it is given to them as ONEAPP_FL_SSL_CA_CERTFILE"
            )
        own = authority.new()
    elif own.days_left <= authority.OVERLAP_DAYS:
        # Soon after its end nothing could vouch for a new one any more.
        own = own.begin(by_itself=True)
    if own.successor is not None and _is_time(node, own):
        authority.save(node.files, own)
        own = own.finish()
    authority.save(node.files, own)
    cert, key = node.files.read(CERT_FILE), node.files.read(KEY_FILE)
    if cert is None or key is None or not tls.server_is_usable(key, cert, own.cert, names):
        key, cert = tls.new_server_cert(own.key, own.cert, names[-1].partition(":")[2], names)
    store_server(node.files, own, cert, key)


def _is_time(node: Node, own: Authority) -> bool:
    """Whether an overlap ends without being asked: it began by itself and all nodes know, or it cannot wait longer."""
    assert own.successor is not None
    if own.days_left <= tls.RENEW_DAYS:
        return True
    return own.successor.by_itself and node.gate is not None and not trust.unconfirmed(node.gate, own.successor.cert)


def _evidence(files: Files) -> list[bytes]:
    own = authority.load(files)
    if own is not None:
        return own.evidence
    pem = files.read(CROSS_FILE)
    return [] if pem is None else [pem]
