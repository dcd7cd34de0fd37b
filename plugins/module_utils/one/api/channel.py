# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One connection of http.client that is kept, with a deadline for each request."""

from __future__ import annotations

import http.client
import select
import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import SplitResult

if TYPE_CHECKING:
    from .proxy import Proxy


class Reply(NamedTuple):
    """What a server says; location: of a redirection, else empty."""

    status: int
    reason: str
    location: str
    body: bytes


class Channel:
    """A connection to one server, direct or by a proxy, that is used again while both sides keep it open."""

    def __init__(self, parts: SplitResult, tls: ssl.SSLContext | None, proxy: Proxy | None, timeout: float) -> None:
        """parts: of the URL; tls: for https; timeout: seconds for connecting, and again for each request."""
        self._tls, self._proxy, self._timeout = tls, proxy, timeout
        self._wire: http.client.HTTPConnection | None = None
        self._host = str(parts.hostname)
        if not self._host.isascii():
            self._host = self._host.encode("idna").decode("ascii")
        self._port = parts.port or (80 if tls is None else 443)
        # A proxy that forwards wants the whole address and its own headers; a tunnel hides it after CONNECT.
        forwarding = proxy if tls is None else None
        self._base = f"http://{_bracketed(self._host)}:{self._port}" if forwarding else ""
        self._extra = forwarding.headers if forwarding else {}

    def open(self) -> None:
        """Have a connection. Raises OSError (TimeoutError, ssl.SSLError, socket.gaierror) when there cannot be one."""
        if self._wire is not None and self._wire.sock is not None and not _has_news(self._wire.sock):
            return
        self.close()
        first = (self._proxy.host, self._proxy.port) if self._proxy else (self._host, self._port)
        if self._tls is None:
            self._wire = http.client.HTTPConnection(*first, timeout=self._timeout)
        else:
            self._wire = http.client.HTTPSConnection(*first, timeout=self._timeout, context=self._tls)
            if self._proxy:
                self._wire.set_tunnel(self._host, self._port, self._proxy.headers)
        try:
            self._wire.connect()
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, target: str, body: bytes | None, headers: dict[str, str]) -> Reply:
        """Send one request and read its answer. Raises OSError and http.client.HTTPException; it is closed then."""
        wire = self._wire
        if wire is None or wire.sock is None:
            raise ConnectionError("not connected")
        try:
            with _deadline(wire.sock, self._timeout):
                wire.request(method, self._base + target, body, {**headers, **self._extra})
                reply = wire.getresponse()
                content = reply.read()
        except BaseException:
            self.close()
            raise
        return Reply(reply.status, reply.reason, reply.headers.get("Location", ""), content)

    def close(self) -> None:
        """Give the connection up."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None


@contextmanager
def _deadline(wire: socket.socket, seconds: float) -> Iterator[None]:
    """End what happens on the wire after so many seconds, with TimeoutError.

    The time-out of a socket begins anew with every byte, so a server that sends slowly enough would never meet it.
    """
    late = threading.Event()
    timer = threading.Timer(seconds, _cut, [wire, late])
    timer.daemon = True
    timer.start()
    try:
        yield
    except (OSError, http.client.HTTPException) as error:
        if late.is_set():
            raise TimeoutError("the answer takes too long") from error
        raise
    finally:
        timer.cancel()
    # The end of the stream may also pass for the end of the headers.
    if late.is_set():
        raise TimeoutError("the answer takes too long")


def _cut(wire: socket.socket, late: threading.Event) -> None:
    late.set()
    with suppress(OSError):
        # Not the method of SSLSocket, which takes the cipher away from the reader.
        socket.socket.shutdown(wire, socket.SHUT_RDWR)


def _has_news(wire: socket.socket) -> bool:
    """Whether an idle connection can be read from: then the other side has closed it, or is out of step."""
    poll = select.poll()
    poll.register(wire, select.POLLIN)
    return bool(poll.poll(0))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
