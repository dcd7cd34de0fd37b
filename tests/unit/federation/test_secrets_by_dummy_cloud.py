# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A key that the operator insists on goes to the SuperLink's VM alone, and into no output and no user input."""

from __future__ import annotations

import base64
import json
from datetime import datetime, timedelta, timezone

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from federation_cloud import FederationCloud, PlayedAgents

KEY = "ONEAPP_FL_SSL_KEYFILE"


def own_certificate() -> tuple[str, str]:
    """A certificate that signs itself and its key, PEM in base64."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "superlink")])
    now = datetime.now(timezone.utc)
    certificate = (
        x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
        .serial_number(1).not_valid_before(now).not_valid_after(now + timedelta(days=9)).sign(key, hashes.SHA256())
    )  # fmt: skip
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    return base64.b64encode(pem).decode(), base64.b64encode(private).decode()


def test_a_secret_that_may_be_in_the_context_is_there_and_nowhere_else(cloud: FederationCloud) -> None:
    certificate, key = own_certificate()
    values = cloud.folder / "secrets.json"
    values.write_text(json.dumps({
        "federation_variables": {"ONEAPP_FL_SSL_CA_CERTFILE": certificate, "ONEAPP_FL_SSL_CERTFILE": certificate},
        "federation_superlink_secrets": {KEY: key}, "federation_secrets_in_context": True,
    }), encoding="utf-8")  # fmt: skip
    with PlayedAgents(cloud):
        played = cloud.play("single_site", "secret", "-vvv", "--diff", "-e", f"@{values}")
    assert played.code == 0
    contexts = {vm["attributes"]["ROLE_NAME"]: cloud.context(vm["id"]) for vm in cloud.vms("secret")}
    assert contexts["superlink"][KEY] == key and KEY not in contexts["supernode"]
    assert key not in played.output and key[40:80] not in played.output
    assert key not in json.dumps(cloud.template("secret"))
