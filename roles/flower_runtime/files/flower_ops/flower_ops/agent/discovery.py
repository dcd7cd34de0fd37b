# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a SuperNode finds its SuperLink and learns whom to trust."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from flower_ops import rules
from flower_ops.machine.errors import NodeError, OneGateError
from flower_ops.machine.onegate import Peer
from flower_ops.machine.patience import WaitedInVainError, patiently
from flower_ops.node.node import Node
from flower_ops.pki import trust


@dataclass(frozen=True)
class SuperLink:
    """Where the SuperLink is; `ca` is the PEM of the authority to trust, None without TLS.

    `vm_id` and `published` (FL_CA_CERT) come from OneGate and are empty where the address was given.
    """

    address: str
    ca: bytes | None
    vm_id: str = ""
    published: str = ""


def find(node: Node) -> SuperLink:
    """A given address first, else OneGate; NodeError when neither leads anywhere."""
    given = node.value("SSL_CA_CERTFILE")
    ca = trust.given(node, rules.decode_pem(given)) if given and node.is_on("TLS_ENABLED") else None
    address = node.value("SUPERLINK_ADDRESS")
    if address:
        if ca is None:
            trust.forget(node)
        return SuperLink(address, ca)
    if node.gate is None:
        raise NodeError(
            "This VM has no OneGate token and no ONEAPP_FL_SUPERLINK_ADDRESS; set the address of the SuperLink.",
            "discovery_failed",
        )
    peer = _superlink(node)
    _same_version(node, peer.attributes)
    address, published = endpoint_of(peer.attributes), peer.attributes.get("FL_CA_CERT", "")
    return SuperLink(address, ca or _trusted(node, peer), peer.vm_id, published)


def superlink_of(peers: list[Peer]) -> Peer | None:
    """The VM of the role superlink that says it is ready; the newest, should a lost one still be listed."""
    # The role is given by OneFlow; attributes alone could be claimed by any VM of the service.
    ready = [peer for peer in peers if peer.role == "superlink" and peer.attributes.get("FL_READY") == "YES"]
    return max(ready, key=lambda peer: int(peer.vm_id), default=None)


def _superlink(node: Node) -> Peer:
    gate = node.gate
    assert gate is not None

    def look() -> tuple[Peer | None, str]:
        return superlink_of(gate.peers()), "no VM of the role superlink has said FL_READY=YES"

    try:
        return patiently(look, node.sleep, node.clock, node.say, once=node.check)
    except OneGateError as error:
        raise NodeError(
            f"{error}. Set ONEAPP_FL_SUPERLINK_ADDRESS if this VM is not part of a service.", "discovery_failed"
        ) from error
    except WaitedInVainError as error:
        raise NodeError(
            f"The SuperLink was not found through OneGate ({error}); configure it first or set "
            "ONEAPP_FL_SUPERLINK_ADDRESS.",
            "discovery_failed",
        ) from error


def _same_version(node: Node, attributes: dict[str, str]) -> None:
    theirs = attributes.get("FL_VERSION", "")
    if theirs and theirs != node.profile.version:
        raise NodeError(
            f"The SuperLink runs Flower {theirs}, this node is set to {node.profile.version}; give both the same "
            "ONEAPP_FLOWER_VERSION.",
            "version_mismatch",
        )


def endpoint_of(attributes: dict[str, str]) -> str:
    """FL_ENDPOINT as Flower takes it, with brackets around an IPv6 address; NodeError when it is no address."""
    endpoint = attributes.get("FL_ENDPOINT", "")
    host, _separator, port = endpoint.rpartition(":")
    if ":" in host and "[" not in host:
        endpoint = f"[{host}]:{port}"
    try:
        rules.split_address(endpoint)
    except ValueError as error:
        raise NodeError(f"The SuperLink published no usable FL_ENDPOINT ({endpoint!r}).", "discovery_failed") from error
    return endpoint


def _trusted(node: Node, peer: Peer) -> bytes | None:
    attributes = peer.attributes
    theirs = attributes.get("FL_TLS", "NO") == "YES"
    if not theirs:
        trust.check_downgrade(node)
    if theirs != node.is_on("TLS_ENABLED"):
        raise NodeError(
            f"The SuperLink says FL_TLS={'YES' if theirs else 'NO'}, this node has ONEAPP_FL_TLS_ENABLED="
            f"{node.value('TLS_ENABLED')}; give both the same.",
            "tls_setup_failed",
        )
    if not theirs:
        return None
    published = attributes.get("FL_CA_CERT", "")
    if not rules.fits("certificate", [], published):
        raise NodeError(
            "The SuperLink published no usable FL_CA_CERT; give ONEAPP_FL_SSL_CA_CERTFILE to this node.",
            "tls_setup_failed",
        )
    try:
        return trust.accept(node, base64.b64decode(published), peer.vm_id)
    except binascii.Error as error:
        raise NodeError("FL_CA_CERT of the SuperLink is not base64.", "tls_setup_failed") from error
