# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Small real servers for the tests of the connection: a cloud that says what it is told, authorities, a proxy."""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import socket
import ssl
import threading
import xmlrpc.client
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "alice", "a:b%c é"
POOL = '{"DOCUMENT_POOL": {"DOCUMENT": [{"ID": "1"}]}}'


class DropError(Exception):
    """Raised by an answer: the connection is closed without one, or with only the given bytes."""

    def __init__(self, raw: bytes = b"") -> None:
        super().__init__()
        self.raw = raw


def rpc(*answer: object) -> bytes:
    """An XML-RPC answer."""
    return xmlrpc.client.dumps((list(answer),), methodresponse=True).encode()


def well(path: str, _body: bytes) -> tuple[int, bytes]:
    """What a healthy cloud says."""
    return (200, rpc(True, "<VM><ID>0</ID></VM>", 0)) if path.endswith("/RPC2") else (200, POOL.encode())


Says = Callable[[str, bytes], tuple[int, bytes]]


class Server(ThreadingHTTPServer):
    """A cloud of both protocols; requests: (method, path, headers, body). connections: how many were opened."""

    daemon_threads = True

    def __init__(self, says: Says, tls: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.says, self.tls = says, tls
        self.requests: list[tuple[str, str, dict[str, str], bytes]] = []
        self.connections = 0

    def finish_request(self, request: Any, client_address: Any) -> None:
        self.connections += 1
        if self.tls is not None:
            request = self.tls.wrap_socket(request, server_side=True)
        super().finish_request(request, client_address)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that gave up, or was refused, is part of the test."""

    def url(self, scheme: str = "http", host: str = "127.0.0.1") -> str:
        return f"{scheme}://{host}:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def answer(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.server.requests.append((self.command, self.path, dict(self.headers), body))
        try:
            status, content = self.server.says(self.path, body)
        except DropError as drop:
            self.wfile.write(drop.raw)
            self.close_connection = True
            return
        self.send_response(status)
        if 300 <= status < 400:
            self.send_header("Location", "https://elsewhere.example.org/")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PUT = do_DELETE = answer

    def log_message(self, *_args: object) -> None:
        """Quiet."""


@contextlib.contextmanager
def serving(says: Says = well, tls: ssl.SSLContext | None = None) -> Iterator[Server]:
    server = Server(says, tls)
    threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def settings(url: str, **more: Any) -> Settings:
    return Settings.from_params(
        {"api_url": f"{url}/RPC2", "oneflow_url": url, "api_username": USER, "api_password": PASSWORD, **more}
    )


class Client:
    """One protocol, asked for something or told something."""

    def __init__(self, protocol: str, url: str, **more: Any) -> None:
        self.protocol = protocol
        made = settings(url, **more)
        self.client: Any = Connection(made) if protocol == "oned" else OneFlow(made)

    def read(self) -> Any:
        return self.client.call("one.vm.info", 0) if self.protocol == "oned" else self.client.services()

    def write(self) -> Any:
        if self.protocol == "oned":
            return self.client.call("one.vm.update", 0, {"A": "1"}, 1)
        return self.client.create_template({"name": "x"})


PROTOCOLS = ("oned", "oneflow")


# -- certificates ------------------------------------------------------------------------------------------------------


class Authority:
    """An authority that signs for host names and addresses. Its files lie in `folder`; file: its own certificate."""

    def __init__(self, folder: Path, name: str = "Test CA") -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
        self._own = self._signed(self._name, self._key, None)
        self.file = folder / f"{name.replace(' ', '-')}.pem"
        self.file.write_bytes(self._own.public_bytes(serialization.Encoding.PEM))

    def issue(self, host: str, passphrase: bytes = b"") -> Path:
        """A file with a certificate for that host, and its key."""
        key = ec.generate_private_key(ec.SECP256R1())
        made = self._signed(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, host)]), key, host)
        path = self._folder / f"{host}-{made.serial_number}.pem"
        path.write_bytes(_pem(key, passphrase) + made.public_bytes(serialization.Encoding.PEM))
        return path

    def serving_as(self, host: str) -> ssl.SSLContext:
        """A server's context with a certificate for that host."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.issue(host))
        return context

    def _signed(self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, host: str | None) -> x509.Certificate:
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(ca=host is None, path_length=None), critical=True)
        )
        if host is not None:
            builder = builder.add_extension(x509.SubjectAlternativeName([_general_name(host)]), critical=False)
        return builder.sign(self._key, hashes.SHA256())


def _general_name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    guard = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, guard)


# -- a proxy -----------------------------------------------------------------------------------------------------------


class Proxy:
    """Forwards everything to one server on this machine, whatever host is asked for. heads: the requests' heads."""

    def __init__(self, upstream: int, authorization: str = "") -> None:
        self._upstream, self._authorization = upstream, authorization
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.heads: list[str] = []
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        # A thread that waits in accept() keeps a closed socket listening.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _address = self._listener.accept()
                threading.Thread(target=self._handle, args=(client,), daemon=True).start()

    def _handle(self, client: socket.socket) -> None:
        head = b""
        while b"\r\n\r\n" not in head:
            part = client.recv(65536)
            if not part:
                return
            head += part
        text = head.partition(b"\r\n\r\n")[0].decode("latin-1")
        self.heads.append(text)
        if self._authorization and f"Proxy-Authorization: {self._authorization}" not in text:
            client.sendall(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            client.close()
            return
        server = socket.create_connection(("127.0.0.1", self._upstream))
        if text.startswith("CONNECT "):
            client.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        else:
            server.sendall(head)
        threading.Thread(target=_copy, args=(server, client), daemon=True).start()
        _copy(client, server)


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
        target.shutdown(socket.SHUT_WR)


@contextlib.contextmanager
def proxying(upstream: int, authorization: str = "") -> Iterator[Proxy]:
    proxy = Proxy(upstream, authorization)
    try:
        yield proxy
    finally:
        proxy.close()
