# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The gate as a process, in front of a stand-in for the SuperLink that does what a test needs."""

from __future__ import annotations

import http.client
import http.server
import os
import re
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles
from flower_ops.pki import tls

from .environments import environment
from .processes import Service, free_port, wait_until

VERSION = "1.41.0"
PULL, PUSH = "/v1/fleet/pull-object", "/v1/fleet/push-object"
MIB = 1 << 20


class Upstream:
    """A server on loopback; `answer` is called with each request's handler."""

    def __init__(self, port: int, answer: Callable[[Any], None], context: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        upstream = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                headers = {name.lower(): value for name, value in self.headers.items()}
                upstream.seen.append((self.command, self.path, headers))
                answer(self)

            do_GET = do_POST

            def log_message(self, *_words: Any) -> None:
                """Nothing is printed."""

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", port), Handler)
        if context:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def close(self) -> None:
        """Free the port."""
        self._server.shutdown()
        self._server.server_close()


def ok(handler: Any) -> None:
    """Read the whole request and answer its length."""
    left = total = int(handler.headers.get("content-length") or 0)
    while left:
        left -= len(handler.rfile.read(min(left, MIB)))
    text = f"{total} bytes".encode()
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(text)))
    handler.send_header("X-Kept", "yes")
    handler.end_headers()
    handler.wfile.write(text)


class Door:
    """A gate and where to knock."""

    def __init__(self, folder: Path, certs: Path | None = None, listen: str = "127.0.0.1") -> None:
        self.port, self.upstream_port = free_port(), free_port()
        words = ["--version", VERSION, "--listen", f"{listen}:{self.port}"]
        words += ["--superlink", f"127.0.0.1:{self.upstream_port}", *(["--certs", str(certs)] if certs else [])]
        python = str(environment(VERSION) / "bin/python")
        surroundings = {"PATH": os.defpath, "PYTHONUNBUFFERED": "1"}
        self.service = Service([python, "-m", "flower_ops.gate", *words], surroundings, folder, folder / "gate.log")
        self.service.start()
        wait_until(lambda: "fleet routes of Flower" in self.service.said(), 30, "the gate does not start")

    def connect(self, host: str = "127.0.0.1") -> http.client.HTTPConnection:
        """A connection of its own."""
        return http.client.HTTPConnection(host, self.port, timeout=20)

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> http.client.HTTPResponse:
        """One request; the answer is read to its end."""
        connection = self.connect()
        connection.request(method, path, body, {name.replace("_", "-"): value for name, value in headers.items()})
        answer = connection.getresponse()
        answer.text = answer.read()  # type: ignore[attr-defined]
        return answer

    @property
    def memory(self) -> int:
        """Largest resident memory so far, in bytes."""
        status = Path(f"/proc/{self.service._process.pid}/status").read_text()  # type: ignore[union-attr]
        return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024  # type: ignore[index]


@pytest.fixture
def door(tmp_path: Path) -> Iterator[Door]:
    one = Door(tmp_path)
    try:
        yield one
    finally:
        one.service.stop()


@pytest.fixture
def behind(door: Door) -> Iterator[Callable[[Callable[[Any], None]], Upstream]]:
    """behind(answer) puts a server behind the gate."""
    made: list[Upstream] = []

    def make(answer: Callable[[Any], None]) -> Upstream:
        made.append(Upstream(door.upstream_port, answer))
        return made[-1]

    yield make
    for one in made:
        one.close()


Behind = Callable[[Callable[[Any], None]], Upstream]


def test_fleet_routes_pass_and_nothing_else_does(door: Door, behind: Behind) -> None:
    upstream = behind(ok)
    for route in profiles.profile(VERSION).fleet_routes:
        assert door.ask("POST", route, b"abc").status == 200
    assert len(upstream.seen) == len(profiles.profile(VERSION).fleet_routes) == 12
    refused = [
        ("POST", "/v1/control/start-run"),
        ("POST", "/v1/runtime/claim-task"),
        ("GET", PULL),
        ("PUT", PULL),
        ("GET", "/health"),
        ("GET", "/openapi.json"),
        ("POST", PULL + "/"),
        ("POST", "/v1/fleet/../control/start-run"),
        ("POST", "/v1/fleet/%2e%2e/control/start-run"),
        ("POST", "/v1/fleet//pull-object"),
        ("POST", "/v1/fleet/pull%2dobject"),
        ("POST", "/V1/fleet/pull-object"),
        ("POST", "http://127.0.0.1/v1/control/start-run"),
        ("CONNECT", "127.0.0.1:22"),
        ("POST", ""),
    ]
    for method, path in refused:
        assert door.ask(method, path, b"x").status in (400, 404), (method, path)
    assert len(upstream.seen) == 12
    for _turn in range(3):
        door.ask("POST", "/v1/control/start-run")
    assert door.service.said().count("refused POST '/v1/control/start-run'") == 1
    # What stands after a question mark is no part of any route, and does not go on.
    assert door.ask("POST", PULL + "?x=/v1/control/start-run").status == 200
    assert upstream.seen[-1][1] == PULL


def test_a_second_request_cannot_hide_in_the_first(door: Door, behind: Behind) -> None:
    upstream = behind(ok)
    inner = b"POST /v1/control/start-run HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    outer = b"POST /v1/fleet/pull-object HTTP/1.1\r\nHost: x\r\n"
    attempts = [
        outer + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + inner,
        outer + b"Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + inner,
        outer + b"Content-Length: 0\r\n\r\n" + inner,
        outer + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + inner,
    ]
    for raw in attempts:
        with socket.create_connection(("127.0.0.1", door.port), timeout=5) as plain:
            plain.sendall(raw)
            plain.shutdown(socket.SHUT_WR)
            while plain.recv(65536):
                continue
    assert {path for _method, path, _headers in upstream.seen} <= {PULL}


def test_headers_of_the_message_pass_and_those_of_the_connection_do_not(door: Door, behind: Behind) -> None:
    upstream = behind(ok)
    answer = door.ask(
        "POST",
        PUSH,
        b"12345",
        flwr_signature="s",
        x_forwarded_for="6.6.6.6",
        forwarded="for=6.6.6.6",
        upgrade="h2c",
        connection="keep-alive",
        te="trailers",
        accept="application/protobuf",
    )
    assert answer.text == b"5 bytes" and answer.getheader("X-Kept") == "yes"  # type: ignore[attr-defined]
    (_method, _path, headers) = upstream.seen[0]
    assert headers["flwr-signature"] == "s" and headers["accept"] == "application/protobuf"
    assert headers["content-length"] == "5" and headers["x-forwarded-for"] == "127.0.0.1"
    assert headers["host"] == f"127.0.0.1:{door.upstream_port}"
    assert not {"forwarded", "upgrade", "te", "user-agent"} & set(headers)


def test_a_large_model_passes_in_pieces(door: Door, behind: Behind) -> None:
    size = 192 * MIB

    def echo_size(handler: Any) -> None:
        left = int(handler.headers["content-length"])
        while left:
            left -= len(handler.rfile.read(min(left, MIB)))
        handler.send_response(200)
        handler.send_header("Content-Length", str(size))
        handler.end_headers()
        for _piece in range(size // MIB):
            handler.wfile.write(bytes(MIB))

    behind(echo_size)
    before = door.memory
    connection = door.connect()
    connection.request("POST", PUSH, (bytes(MIB) for _piece in range(size // MIB)), {"Content-Length": str(size)})
    answer = connection.getresponse()
    received = 0
    while piece := answer.read(MIB):
        received += len(piece)
    assert received == size and answer.status == 200
    assert door.memory - before < 32 * MIB


def test_an_answer_begins_before_it_is_whole(door: Door, behind: Behind) -> None:
    go_on = threading.Event()

    def slowly(handler: Any) -> None:
        handler.rfile.read(int(handler.headers["content-length"]))
        handler.send_response(200)
        handler.send_header("Content-Length", "10")
        handler.end_headers()
        handler.wfile.write(b"first")
        handler.wfile.flush()
        assert go_on.wait(15)
        handler.wfile.write(b"later")

    behind(slowly)
    connection = door.connect()
    connection.request("POST", PULL, b"x")
    answer = connection.getresponse()
    assert answer.read(5) == b"first"
    go_on.set()
    assert answer.read() == b"later"


def test_a_client_that_leaves_ends_its_request_at_the_superlink(door: Door, behind: Behind) -> None:
    outcome: dict[str, bytes] = {}
    begun = threading.Event()

    def waiting(handler: Any) -> None:
        name = handler.headers["x-case"]
        if name == "upload":
            begun.set()
            outcome[name] = handler.rfile.read(int(handler.headers["content-length"]))
        else:
            handler.rfile.read(int(handler.headers["content-length"]))
            begun.set()
            # Nothing comes from a client that waits; the end of the connection reads as nothing at all.
            outcome[name] = handler.connection.recv(1)
        handler.close_connection = True

    behind(waiting)
    for name, length, sent in (("upload", 1000, b"x" * 10), ("answer", 10, b"x" * 10)):
        begun.clear()
        with socket.create_connection(("127.0.0.1", door.port)) as plain:
            head = f"POST {PUSH} HTTP/1.1\r\nHost: x\r\nX-Case: {name}\r\nContent-Length: {length}\r\n\r\n"
            plain.sendall(head.encode() + sent)
            assert begun.wait(10)
        wait_until(lambda name=name: name in outcome, 10, f"the SuperLink still waits ({name})")
    assert outcome["answer"] == b""
    assert "Traceback" not in door.service.said()


def test_a_superlink_that_is_away_is_502_and_told_once(door: Door) -> None:
    for _turn in range(3):
        assert door.ask("POST", PULL, b"x").status == 502
    upstream = Upstream(door.upstream_port, ok)
    try:
        assert door.ask("POST", PULL, b"x").status == 200
    finally:
        upstream.close()
    said = door.service.said()
    assert said.count("the SuperLink does not answer") == 1 and said.count("the SuperLink answers again") == 1


def test_an_answer_that_breaks_off_does_not_look_whole(door: Door, behind: Behind) -> None:
    def half(handler: Any) -> None:
        handler.rfile.read(int(handler.headers["content-length"]))
        handler.send_response(200)
        handler.send_header("Content-Length", "1000")
        handler.end_headers()
        handler.wfile.write(b"half")
        handler.close_connection = True

    behind(half)
    connection = door.connect()
    connection.request("POST", PULL, b"x")
    answer = connection.getresponse()
    with pytest.raises(http.client.IncompleteRead):
        answer.read()


def test_ends_when_asked_to_even_with_an_open_connection(door: Door, behind: Behind) -> None:
    behind(ok)
    connection = door.connect()
    connection.request("POST", PULL, b"x")
    connection.getresponse().read()
    begun = time.monotonic()
    assert door.service.stop() in (0, -15)
    assert time.monotonic() - begun < 8


@pytest.mark.parametrize("listen", ["0.0.0.0", "[::]"])
def test_all_addresses_are_those_of_both_families(tmp_path: Path, listen: str) -> None:
    door = Door(tmp_path, listen=listen)
    upstream = Upstream(door.upstream_port, ok)
    try:
        for host in ("127.0.0.1", "::1"):
            connection = door.connect(host)
            connection.request("POST", PULL, b"abc")
            assert connection.getresponse().status == 200
    finally:
        upstream.close()
        door.service.stop()
    assert [headers["x-forwarded-for"] for _method, _path, headers in upstream.seen] == ["127.0.0.1", "::1"]


def test_the_superlink_must_show_a_certificate_of_our_authority(tmp_path: Path) -> None:
    names = ["DNS:localhost", "IP:127.0.0.1"]
    for folder in ("ours", "strange"):
        (tmp_path / folder).mkdir()
        ca_key, ca = tls.new_ca()
        key, cert = tls.new_server_cert(ca_key, ca, "localhost", names)
        for name, content in (("ca.crt", ca), ("server.pem", cert), ("server.key", key)):
            (tmp_path / folder / name).write_bytes(content)
    door = Door(tmp_path, tmp_path / "ours")
    trust = ssl.create_default_context(cafile=tmp_path / "ours/ca.crt")
    try:
        for folder, status in (("strange", 502), ("ours", 200)):
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(tmp_path / folder / "server.pem", tmp_path / folder / "server.key")
            upstream = Upstream(door.upstream_port, ok, context)
            try:
                connection = http.client.HTTPSConnection("127.0.0.1", door.port, timeout=20, context=trust)
                connection.request("POST", PULL, b"x")
                assert connection.getresponse().status == status, folder
            finally:
                upstream.close()
        assert "certificate verify failed" in door.service.said().lower()
    finally:
        door.service.stop()


@pytest.mark.parametrize("version", [v for v in profiles.known() if v != VERSION])
def test_no_gate_where_fleet_has_a_port_of_its_own(tmp_path: Path, version: str) -> None:
    words = ["-m", "flower_ops.gate", "--version", version, "--listen", "127.0.0.1:1", "--superlink", "127.0.0.1:2"]
    python = str(environment(VERSION) / "bin/python")
    service = Service([python, *words], {}, tmp_path, tmp_path / "gate.log")
    service.start()
    wait_until(lambda: not service.running, 30, "it serves")
    assert "needs no gate" in service.said() and service.stop() == 2
