# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a SuperNode finds its SuperLink and learns whom to trust."""

from __future__ import annotations

import base64
import binascii
from dataclasses import dataclass

from flower_ops import rules
from flower_ops.node.errors import NodeError, OneGateError
from flower_ops.node.node import Node
from flower_ops.node.onegate import Peer

TRIES = 30
PAUSE = 10.0
_QUICK = (1.0, 1.0, 2.0, 2.0, 4.0)


@dataclass(frozen=True)
class SuperLink:
    """Where the SuperLink is; `ca` is the PEM of the authority to trust, None without TLS."""

    address: str
    ca: bytes | None


def find(node: Node) -> SuperLink:
    """A given address first, else OneGate; NodeError when neither leads anywhere."""
    given = node.value("SSL_CA_CERTFILE")
    ca = rules.decode_pem(given) if given and node.is_on("TLS_ENABLED") else None
    address = node.value("SUPERLINK_ADDRESS")
    if address:
        return SuperLink(address, ca)
    if node.gate is None:
        raise NodeError(
            "This VM has no OneGate token and no ONEAPP_FL_SUPERLINK_ADDRESS; set the address of the SuperLink.",
            "discovery_failed",
        )
    attributes = _superlink(node).attributes
    _same_version(node, attributes)
    return SuperLink(_endpoint(attributes), ca or _trusted(node, attributes))


def _superlink(node: Node) -> Peer:
    assert node.gate is not None
    pauses = [*_QUICK, *[PAUSE] * (TRIES - 1)]
    reason = "no VM of the role superlink has said FL_READY=YES"
    for pause in [*pauses, None]:
        try:
            for peer in node.gate.peers():
                # The role is given by OneFlow; attributes alone could be claimed by any VM of the service.
                if peer.role == "superlink" and peer.attributes.get("FL_READY") == "YES":
                    return peer
        except OneGateError as error:
            if error.status in (400, 401, 403, 404):
                raise NodeError(
                    f"{error}. Set ONEAPP_FL_SUPERLINK_ADDRESS if this VM is not part of a service.", "discovery_failed"
                ) from error
            reason = str(error)
        if pause is None or node.check:
            break
        node.sleep(pause)
    raise NodeError(
        f"The SuperLink was not found through OneGate ({reason}); configure it first or set "
        "ONEAPP_FL_SUPERLINK_ADDRESS.",
        "discovery_failed",
    )


def _same_version(node: Node, attributes: dict[str, str]) -> None:
    theirs = attributes.get("FL_VERSION", "")
    if theirs and theirs != node.profile.version:
        raise NodeError(
            f"The SuperLink runs Flower {theirs}, this node is set to {node.profile.version}; give both the same "
            "ONEAPP_FLOWER_VERSION.",
            "version_mismatch",
        )


def _endpoint(attributes: dict[str, str]) -> str:
    endpoint = attributes.get("FL_ENDPOINT", "")
    host, _separator, port = endpoint.rpartition(":")
    if ":" in host and "[" not in host:
        endpoint = f"[{host}]:{port}"
    try:
        rules.split_address(endpoint)
    except ValueError as error:
        raise NodeError(f"The SuperLink published no usable FL_ENDPOINT ({endpoint!r}).", "discovery_failed") from error
    return endpoint


def _trusted(node: Node, attributes: dict[str, str]) -> bytes | None:
    theirs = attributes.get("FL_TLS", "NO") == "YES"
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
        return base64.b64decode(published)
    except binascii.Error as error:
        raise NodeError("FL_CA_CERT of the SuperLink is not base64.", "tls_setup_failed") from error
