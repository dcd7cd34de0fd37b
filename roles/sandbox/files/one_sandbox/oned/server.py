# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The XML-RPC server in front of the core."""

from __future__ import annotations

import logging
import re
import threading
import xmlrpc.client
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from xml.parsers.expat import ExpatError

from ..faults import Faults, Rule
from . import faulty
from .calls import is_write
from .core import Oned
from .errors import OnedError, RpcFault
from .methods import METHODS, find

_LOG = logging.getLogger(__name__)
_LIMIT = 64 * 1024 * 1024
_METHOD = re.compile(rb"<methodName>\s*([^<\s]*)")


def answer(oned: Oned, body: bytes) -> bytes:
    """The XML answer to an XML request; never raises."""
    try:
        params, name = xmlrpc.client.loads(body, use_builtin_types=True)
    except (ExpatError, xmlrpc.client.Error, ValueError, LookupError, TypeError) as error:
        return _fault(-503, f"Call XML not a proper XML-RPC call. {error}")
    name = str(name)
    if name in METHODS:
        oned.calls.count(name, is_write(name))
    try:
        if not params or not isinstance(params[0], str):
            find(name)
            text = "Parameter that is supposed to be a string is not" if params else "Not enough parameters"
            raise RpcFault(-501, text)
        result: tuple[Any, ...] = (True, oned.call(params[0], name, *params[1:]), 0)
    except RpcFault as fault:
        return _fault(fault.code, fault.text)
    except OnedError as error:
        result = (False, error.message, error.code, error.object_id, -1)
    except Exception:
        _LOG.exception("The sandbox failed in %s.", name)
        return _fault(-500, f"The sandbox failed in {name}; its log has the details.")
    return xmlrpc.client.dumps((list(result),), methodresponse=True, allow_none=False).encode()


def _fault(code: int, text: str) -> bytes:
    return xmlrpc.client.dumps(xmlrpc.client.Fault(code, text), methodresponse=True).encode()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: XmlRpcServer
    # Small answers go out at once instead of waiting for more (Nagle), which costs 40 ms a call on keep-alive.
    disable_nagle_algorithm = True
    timeout = 120

    def do_POST(self) -> None:
        """One call."""
        length = int(self.headers.get("Content-Length") or 0)
        if self.path.rstrip("/") not in ("/RPC2", "") or length > _LIMIT:
            self._send(404 if length <= _LIMIT else 413, b"", close=True)
            return
        body = self.rfile.read(length)
        faults = self.server.faults
        if faults is not None and faults.armed():
            found = _METHOD.search(body)
            rule = faults.take("xmlrpc", found.group(1).decode("utf-8", "replace") if found else "")
            if rule is not None:
                self._fail(faults, rule, body)
                return
        self._send(200, answer(self.server.oned, body))

    def _fail(self, faults: Faults, rule: Rule, body: bytes) -> None:
        """Answer as the rule says."""
        if rule.do == "drop_before":
            self.close_connection = True
            return
        if rule.do == "http":
            page = f"<html><body><h1>{rule.code} {rule.text}</h1></body></html>".encode()
            self._send(rule.code, page, text=rule.text, close=True)
            return
        content = faulty.answered(self.server.oned, rule, body, answer)
        if rule.do == "drop_after":
            self.close_connection = True
            return
        if rule.do == "slow":
            faults.wait(rule.seconds)
        self._send(200, content, cut=rule.do == "garble" and rule.how == "cut")

    def _send(self, status: int, body: bytes, close: bool = False, cut: bool = False, text: str = "") -> None:
        """cut: announce the whole body and send half of it."""
        self.send_response(status, text or None)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if close or cut:
            self.send_header("Connection", "close")
            self.close_connection = True
        self.end_headers()
        self.wfile.write(body[: len(body) // 2] if cut else body)

    def log_message(self, format: str, *args: Any) -> None:
        """Calls are counted, not logged: session strings hold passwords."""


class XmlRpcServer(ThreadingHTTPServer):
    """Serves /RPC2 on host:port (0: any free port) in a thread of its own."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, oned: Oned, host: str, port: int, faults: Faults | None = None) -> None:
        super().__init__((host, port), _Handler)
        self.oned = oned
        self.faults = faults
        self._thread = threading.Thread(target=self.serve_forever, args=(0.05,), name="one-xmlrpc", daemon=True)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients may go away at any time."""
        _LOG.debug("A client went away.", exc_info=True)

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://{self.server_address[0]!s}:{self.server_address[1]}/RPC2"

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Stop answering and free the port."""
        self.shutdown()
        self.server_close()
        self._thread.join()
