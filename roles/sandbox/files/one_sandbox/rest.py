# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The little of HTTP that OneFlow and OneGate need: routes, plain answers, a threaded server."""

from __future__ import annotations

import json
import logging
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Protocol
from urllib.parse import parse_qs, unquote, urlsplit

from .faults import Faults, Rule

_LOG = logging.getLogger(__name__)
_MAX_BODY = 16 * 1024 * 1024


class Headers(Protocol):
    """Header fields by name, whatever the case."""

    def get(self, name: str, /) -> str | None: ...


@dataclass
class Request:
    """One request. path: decoded, without the query; params: what the route's `:names` matched."""

    method: str
    path: str
    headers: Headers
    query: dict[str, str] = field(default_factory=dict)
    params: dict[str, str] = field(default_factory=dict)
    body: str = ""


@dataclass
class Response:
    """content_type None leaves the header out (204)."""

    status: int
    body: str = ""
    content_type: str | None = "text/html;charset=utf-8"
    headers: dict[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Response]

_PAGE = "<!DOCTYPE html><html><body><h1>It works!</h1></body></html>"


class Routes:
    """Route patterns like "POST /service/:id/scale" in order; the first that matches serves."""

    def __init__(self, table: Mapping[str, Handler]) -> None:
        self._routes = []
        for name, handler in table.items():
            method, _separator, path = name.partition(" ")
            pattern = re.compile(re.sub(r":(\w+)", r"(?P<\1>[^/]+)", path) + "/?$")
            self._routes.append((method, pattern, name, handler))

    def find(self, request: Request) -> tuple[str, Handler] | None:
        """Name and handler of the route, with the request's params filled in."""
        for method, pattern, name, handler in self._routes:
            match = pattern.match(request.path)
            if match and method == request.method:
                request.params = match.groupdict()
                return name, handler
        return None


class RestServer:
    """Serves `app` on one or several addresses of the same port, each request on a thread of its own."""

    def __init__(self, app: Handler, hosts: list[str], port: int, api: str = "", faults: Faults | None = None) -> None:
        """port 0: a free one. api: its name in `faults`. Raises OSError when an address or port cannot be had."""
        self._servers: list[ThreadingHTTPServer] = []
        try:
            for host in hosts:
                server = _Server((host, port), _handler(app, api, faults))
                self._servers.append(server)
                port = int(server.server_address[1])
        except OSError:
            self._close()
            raise
        self.port = port
        self.url = f"http://{hosts[0]}:{port}"

    def start(self) -> None:
        for server in self._servers:
            threading.Thread(target=server.serve_forever, args=(0.1,), name="one-rest", daemon=True).start()

    def stop(self) -> None:
        for server in self._servers:
            server.shutdown()
        self._close()

    def _close(self) -> None:
        for server in self._servers:
            server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 64

    def handle_error(self, request: Any, client_address: Any) -> None:
        _LOG.debug("A client went away.", exc_info=True)


def _handler(app: Handler, api: str, faults: Faults | None) -> type[BaseHTTPRequestHandler]:
    class Connection(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # Header and body leave as two writes; without this each answer waits for the client's delayed ACK.
        disable_nagle_algorithm = True
        timeout = 60

        def serve(self) -> None:
            length = min(int(self.headers.get("Content-Length") or 0), _MAX_BODY)
            parts = urlsplit(self.path)
            query = {key: values[-1] for key, values in parse_qs(parts.query, keep_blank_values=True).items()}
            body = self.rfile.read(length).decode("utf-8", "replace") if length else ""
            request = Request(self.command, unquote(parts.path), self.headers, query, {}, body)
            if faults is not None and faults.armed():
                rule = faults.take(api, f"{request.method} {request.path}")
                if rule is not None:
                    self._fail(faults, rule, request)
                    return
            self._send(self._answer(request))

        def _answer(self, request: Request) -> Response:
            try:
                return app(request)
            except Exception:
                _LOG.exception("%s %s failed.", request.method, request.path)
                return Response(500, "Internal server error")

        def _fail(self, faults: Faults, rule: Rule, request: Request) -> None:
            """Answer as the rule says."""
            cut = rule.do == "garble" and rule.how in ("cut", "xml")
            happens = cut or rule.do in ("slow", "drop_after")
            response = self._answer(request) if happens else _pretended(rule, request)
            if rule.do in ("drop_before", "drop_after"):
                self.close_connection = True
                return
            if rule.do == "slow":
                faults.wait(rule.seconds)
            self._send(response, cut)

        def _send(self, response: Response, cut: bool = False) -> None:
            """cut: announce the whole body and send half of it."""
            payload = response.body.encode()
            bare = response.status == 204
            self.send_response(response.status)
            if response.content_type and not bare:
                self.send_header("Content-Type", response.content_type)
            for name, value in response.headers.items():
                self.send_header(name, value)
            if not bare:
                self.send_header("Content-Length", str(len(payload)))
            if cut:
                self.send_header("Connection", "close")
            self.end_headers()
            if not bare and self.command != "HEAD":
                self.wfile.write(payload[: len(payload) // 2] if cut else payload)

        do_GET = do_POST = do_PUT = do_DELETE = do_HEAD = do_PATCH = do_OPTIONS = serve

        def log_message(self, format: str, *args: Any) -> None:
            _LOG.debug(format, *args)

    return Connection


def _pretended(rule: Rule, request: Request) -> Response:
    """The answer under a rule by which nothing happens."""
    if rule.do in ("error", "http"):
        page = f"<html><body><h1>{rule.code} {rule.text}</h1></body></html>"
        return Response(rule.code, rule.text if rule.do == "error" else page)
    if rule.do == "garble":
        return Response(200, '[7, "nonsense"]' if rule.how == "type" else _PAGE)
    if rule.value is not None:
        return Response(200, json.dumps(rule.value))
    return Response(200 if request.method == "GET" else 204, "{}")
