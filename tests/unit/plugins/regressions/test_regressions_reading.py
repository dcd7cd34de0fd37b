# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Defects of other modules for networks and hosts, as far as ours read the same objects, and of the connection."""

from __future__ import annotations

import http.client
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml
from ansible_collections.opennebula.flower.plugins.modules import one_vnet_info
from proof_cloud import ProofCloud


def test_d14_fields_of_a_network_are_named_as_documented(cloud: ProofCloud) -> None:
    """Elsewhere: a returned key is misspelt, so what the documentation promises is never there, and address ranges are
    out of reach.

    Ours: exactly the documented keys, and the address ranges among them. Networks are read and never written.
    """
    (network,) = cloud.ok("one_vnet_info", name="private")["vnets"]
    assert set(network) == set(yaml.safe_load(one_vnet_info.RETURN)["vnets"]["contains"])
    assert network["bridge"] and network["state"] == "READY"
    assert [area["ip"] for area in network["address_ranges"]] and network["size"] > 0


def test_d15_hosts_keep_their_cluster(cloud: ProofCloud) -> None:
    """Elsewhere: a task that does not name a cluster moves the host into cluster 0.

    Ours: hosts are read, with their cluster, and never written.
    """
    before = cloud.ok("one_host_info")["hosts"]
    assert cloud.calls.writes == 0
    assert all(set(host["cluster"]) == {"id", "name"} for host in before)
    assert cloud.ok("one_host_info")["hosts"] == before


def test_d16_nothing_is_read_that_nobody_asked_for(cloud: ProofCloud) -> None:
    """Elsewhere: every run reads all clusters although no task names one.

    Ours: one call, to the pool that was asked for.
    """
    for module, method in (
        ("one_host_info", "one.hostpool.info"),
        ("one_vnet_info", "one.vnpool.info"),
        ("one_template_info", "one.templatepool.info"),
        ("one_image_info", "one.imagepool.info"),
    ):
        cloud.ok(module)
        assert dict(cloud.calls.by_method) == {method: 1}
    cloud.ok("one_image", name="zero")
    assert dict(cloud.calls.by_method) == {"one.imagepool.info": 1}


class Forwarder(BaseHTTPRequestHandler):
    """Hands requests on to `server.target` (host:port)."""

    def forward(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        other = http.client.HTTPConnection(self.server.target, timeout=10)
        headers = {key: value for key, value in self.headers.items() if key.lower() not in ("host", "connection")}
        other.request(self.command, self.path, self.rfile.read(length), headers)
        answer = other.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers.get("Content-Type", "text/xml"))
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = forward

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@contextmanager
def over_tls(url: str, certificate: Path) -> Iterator[str]:
    """The same endpoint over TLS."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Forwarder)
    server.target = urlsplit(url).netloc
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *_args: None
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"https://127.0.0.1:{server.server_port}{urlsplit(url).path}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key in one file."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    start = datetime.datetime.now(datetime.timezone.utc) - datetime.timedelta(hours=1)
    built = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    no_password = serialization.NoEncryption()
    pem = serialization.Encoding.PEM
    file.write_bytes(key.private_bytes(pem, serialization.PrivateFormat.PKCS8, no_password) + built.public_bytes(pem))
    return file


def test_d17_the_switch_for_certificates_works(cloud: ProofCloud, certificate: Path) -> None:
    """Elsewhere: `validate_certs: false` has no effect, and there is no way to name an authority.

    Ours: a certificate that nobody signed is refused, accepted with the switch, and trusted with `ca_path`; for oned
    and for OneFlow alike.
    """
    ends = cloud.sandbox.endpoints
    with over_tls(ends.xmlrpc, certificate) as api_url, over_tls(ends.oneflow, certificate) as oneflow_url:
        api = {**cloud.api, "api_url": api_url, "oneflow_url": oneflow_url}
        for module in ("one_image_info", "one_service_info"):
            assert "certificate" in cloud.fails(module, api=api).lower()
            assert cloud.ok(module, api=api, validate_certs=False)["changed"] is False
            assert cloud.ok(module, api=api, ca_path=str(certificate))["changed"] is False
