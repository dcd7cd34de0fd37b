# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The connection against small real servers: time-outs, TLS, proxies, broken answers, and what a user is told."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import subprocess
import sys
import threading
import time
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import connection, errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.connection import Connection, Settings

CREDENTIALS = {"api_username": "alice", "api_password": "a:b%c"}


class Handler(BaseHTTPRequestHandler):
    """Answers with what the server object is told to."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        server = self.server
        server.requests.append((self.path, dict(self.headers), body))
        status, answer = server.answer(body)
        self.send_response(status)
        if status in (301, 302):
            self.send_header("Location", "http://127.0.0.1:1/RPC2")
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_args: object) -> None:
        """Stay quiet."""


@contextmanager
def serving(
    answer: Callable[[bytes], tuple[int, bytes]], tls: ssl.SSLContext | None = None
) -> Iterator[ThreadingHTTPServer]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.answer, server.requests = answer, []
    if tls:
        server.socket = tls.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def response(*answer: object) -> bytes:
    return xmlrpc.client.dumps((list(answer),), methodresponse=True).encode()


def connect(url: str, **more: object) -> Connection:
    return Connection(Settings.from_params({"api_url": url, **CREDENTIALS, **more}))


def url_of(server: ThreadingHTTPServer, scheme: str = "http") -> str:
    return f"{scheme}://127.0.0.1:{server.server_port}/RPC2"


def test_a_call_sends_session_and_rendered_template_and_returns_the_raw_value() -> None:
    with serving(lambda body: (200, response(True, "<IMAGE><ID>3</ID></IMAGE>", 0))) as server:
        connection = connect(url_of(server))
        assert connection.call("one.image.update", 3, {"A": 'x"y'}, 1) == "<IMAGE><ID>3</ID></IMAGE>"
        assert connection.call("one.image.info", 3) == "<IMAGE><ID>3</ID></IMAGE>"
        assert connection.calls == 2
    params, method = xmlrpc.client.loads(server.requests[0][2])
    assert method == "one.image.update"
    assert params == ("alice:a:b%c", 3, 'A="x\\"y"', 1)


def test_an_empty_value_and_numbers_come_back_as_they_are() -> None:
    for value in ("", 0, True):
        with serving(lambda body, value=value: (200, response(True, value, 0))) as server:
            assert connect(url_of(server)).call("one.vm.info", 0) == value


@pytest.mark.parametrize(
    ("answer", "expected", "words"),
    [
        (
            (200, response(False, "[one.x] NAME is already taken by IMAGE 0.", 16384, -1, -1)),
            errors.OneAllocateError,
            "taken",
        ),
        ((200, response(False, "[one.x] nope", 256, -1, -1)), errors.OneAuthenticationError, "check api_username"),
        (
            (200, xmlrpc.client.dumps(xmlrpc.client.Fault(-506, "Method 'x' not defined")).encode()),
            errors.OneApiError,
            "not def",
        ),
        ((404, b"not here"), errors.OneConnectionError, "HTTP 404"),
        ((301, b""), errors.OneConnectionError, "HTTP 301"),
        ((200, b"<html>hello</html>"), errors.OneInternalError, "not XML-RPC"),
        ((200, b"hello"), errors.OneInternalError, "not XML-RPC"),
    ],
)
def test_failures_become_one_sentence(answer: tuple[int, bytes], expected: type[errors.OneError], words: str) -> None:
    with serving(lambda body: answer) as server:
        with pytest.raises(expected) as caught:
            connect(url_of(server)).call("one.image.info", 0)
        assert words in str(caught.value) and url_of(server) in str(caught.value)
        assert caught.value.method == "one.image.info"
        assert "a:b%c" not in str(caught.value)


def test_a_silent_server_is_given_up_after_the_timeout_and_nothing_global_changes() -> None:
    release = threading.Event()

    def silent(_body: bytes) -> tuple[int, bytes]:
        release.wait(5)
        return 200, b""

    with serving(silent) as server:
        start = time.monotonic()
        with pytest.raises(errors.OneTimeoutError, match="no answer within 1 s"):
            connect(url_of(server), api_timeout=1).call("one.vm.info", 0)
        assert time.monotonic() - start < 3
        release.set()
    assert socket.getdefaulttimeout() is None


def test_nobody_listens() -> None:
    with pytest.raises(errors.OneConnectionError, match="Connection refused"):
        connect("http://127.0.0.1:1").call("one.vm.info", 0)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A self-signed certificate for 127.0.0.1 with its key in one file."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "server.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + made.public_bytes(serialization.Encoding.PEM)
    )
    return path


@pytest.mark.filterwarnings("ignore:Unverified HTTPS request")
def test_d17_certificates_are_verified_unless_told_otherwise(certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with serving(lambda body: (200, response(True, "7.4.0", 0)), tls) as server:
        url = url_of(server, "https")
        with pytest.raises(errors.OneConnectionError, match="TLS failed .*ca_path"):
            connect(url).call("one.system.version")
        assert connect(url, validate_certs=False).call("one.system.version") == "7.4.0"
        assert connect(url, ca_path=str(certificate)).call("one.system.version") == "7.4.0"


def test_the_proxy_of_the_environment_is_used_but_not_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(lambda body: (200, response(True, "7.4.0", 0))) as proxy:
        monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{proxy.server_port}")
        monkeypatch.delenv("no_proxy", raising=False)
        monkeypatch.delenv("NO_PROXY", raising=False)
        assert connect("http://one.invalid:2633/RPC2").call("one.system.version") == "7.4.0"
        assert proxy.requests[0][0] == "http://one.invalid:2633/RPC2"
        with pytest.raises(errors.OneConnectionError, match="refused"):
            connect("http://127.0.0.1:1/RPC2").call("one.system.version")
        assert len(proxy.requests) == 1


def test_importing_the_client_does_not_load_the_bindings_but_leaves_them_usable() -> None:
    code = (
        "import sys\n"
        "from ansible_collections.opennebula.flower.plugins.module_utils.one.lazy_pyone import load_pyone\n"
        "pyone = load_pyone()\n"
        "assert 'pyone.bindings.supbind' not in sys.modules\n"
        "from pyone import server_xrpc\n"
        "assert server_xrpc.bindings.parseString(b'<VM><ID>1</ID></VM>').ID == 1\n"
        "import pyone.bindings\n"
        "assert pyone.bindings.__file__\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": ":".join(sys.path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(
    ("params", "words"),
    [
        ({}, "set api_url"),
        ({"api_url": "one:2633"}, "must be a URL"),
        ({"api_url": "http://one:port/RPC2"}, "must be a URL"),
        ({"api_url": "http://u:p@one:2633/RPC2"}, "must not contain credentials"),
        ({"api_url": "http://one:2633", "api_username": "x"}, "api_password is missing"),
        ({"api_url": "http://one:2633", "api_username": "a:b", "api_password": "x"}, "colon"),
        ({"api_url": "http://one:2633", **CREDENTIALS, "ca_path": "/nonexistent.pem"}, "does not exist"),
        ({"api_url": "http://one:2633", **CREDENTIALS, "api_timeout": -1}, "positive"),
    ],
)
def test_settings_say_what_is_missing(params: dict, words: str) -> None:
    with pytest.raises(errors.OneUsageError, match=words):
        Settings.from_params(params, environ={})


def test_d27_credentials_of_one_auth_may_contain_colons(tmp_path: Path) -> None:
    auth = tmp_path / "one_auth"
    auth.write_text("oneadmin:pass:with:colons\n")
    settings = Settings.from_params({"api_url": "http://one:2633"}, environ={"ONE_AUTH": str(auth)})
    assert (settings.username, settings.password) == ("oneadmin", "pass:with:colons")
    assert settings.api_url == "http://one:2633/RPC2"
    assert settings.oneflow_url == "http://one:2474"
    assert "pass" not in repr(settings)
    with pytest.raises(errors.OneUsageError, match="no credentials"):
        Settings.from_params({"api_url": "http://one:2633"}, environ={"ONE_AUTH": str(tmp_path / "none")})


def test_without_pyone_the_user_is_told_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> None:
        raise ImportError("No module named 'pyone'")

    monkeypatch.setattr(connection, "load_pyone", missing)
    with pytest.raises(errors.OneError, match=r"pyone.*No module named 'pyone'"):
        connect("http://127.0.0.1:1")
