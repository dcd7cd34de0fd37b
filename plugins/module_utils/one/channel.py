# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A TCP or TLS connection to an endpoint, through a proxy where the environment wants one, with one deadline for all.

Socket time-outs count from byte to byte: a server that drips could hold a task for hours. Here every wait of one
request, from the connection to the last byte of the answer, draws on the same allowance.
"""

from __future__ import annotations

import http.client
import io
import re
import select
import socket
import ssl
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .proxy import Proxy

_UNFIT = re.compile(r"[\x00-\x1f\x7f]")


class Deadline:
    """The moment by which one request must be done."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Seconds that are left. Raises TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("timed out")
        return left


class TunnelError(OSError):
    """The proxy did not open the way to the endpoint. status: its HTTP status."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"HTTP {status} {reason}".strip())
        self.status = status


class _Reader(io.RawIOBase):
    """Reads from a socket, each time with what is left until the deadline."""

    def __init__(self, wire: socket.socket, raw: Any, deadline: Deadline) -> None:
        self._wire, self._raw, self._deadline = wire, raw, deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        self._wire.settimeout(self._deadline.left())
        got: int | None = self._raw.readinto(buffer)
        return got

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    def __init__(self, wire: socket.socket, *args: Any, deadline: Deadline, **kwargs: Any) -> None:
        super().__init__(wire, *args, **kwargs)
        self.fp = io.BufferedReader(_Reader(wire, self.fp.detach(), deadline))


class Channel:
    """One connection that is used again while both sides keep it open."""

    def __init__(self, host: str, port: int, tls: ssl.SSLContext | None, proxy: Proxy | None) -> None:
        self._host, self._port, self._tls, self._proxy = host, port, tls, proxy
        self._wire: socket.socket | None = None

    def open(self, deadline: Deadline) -> None:
        """Have a connection. Raises OSError (TimeoutError, ssl.SSLError, TunnelError) when there cannot be one."""
        if self._wire is not None and not _has_news(self._wire):
            return
        self.close()
        proxy = self._proxy
        wire = _dial(proxy.host, proxy.port, deadline) if proxy else _dial(self._host, self._port, deadline)
        try:
            if self._tls is not None:
                if proxy:
                    self._tunnel(wire, proxy, deadline)
                wire.settimeout(deadline.left())
                wire = self._tls.wrap_socket(wire, server_hostname=self._host)
        except BaseException:
            wire.close()
            raise
        self._wire = wire

    def ask(
        self, method: str, target: str, body: bytes | None, headers: dict[str, str], deadline: Deadline
    ) -> tuple[int, str, bytes, dict[str, str]]:
        """Send a request and return status, reason, body and headers (lower case).

        Raises OSError and http.client.HTTPException; the connection is closed then.
        """
        if self._wire is None:
            raise ConnectionError("not connected")
        fields = {"Host": self.authority, "Accept-Encoding": "identity", **headers}
        if body is not None:
            fields["Content-Length"] = str(len(body))
        lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        if any(_UNFIT.search(line) for line in lines) or " " in target:
            raise ValueError("a request cannot hold spaces or control characters in its address")
        try:
            self._wire.settimeout(deadline.left())
            # In one piece: a second write would wait for the server's delayed ACK.
            self._wire.sendall("\r\n".join([*lines, "", ""]).encode("latin-1") + (body or b""))
            response = _Response(self._wire, method=method, deadline=deadline)
            response.begin()
            content = response.read()
        except BaseException:
            self.close()
            raise
        if response.will_close:
            self.close()
        return response.status, response.reason, content, {name.lower(): value for name, value in response.getheaders()}

    def close(self) -> None:
        """Give the connection up."""
        if self._wire is not None:
            self._wire.close()
            self._wire = None

    @property
    def authority(self) -> str:
        """Host and port as they stand in addresses."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"{host}:{self._port}"

    def _tunnel(self, wire: socket.socket, proxy: Proxy, deadline: Deadline) -> None:
        lines = [f"CONNECT {self.authority} HTTP/1.1", f"Host: {self.authority}"]
        if proxy.authorization:
            lines.append(f"Proxy-Authorization: {proxy.authorization}")
        wire.settimeout(deadline.left())
        wire.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))
        response = _Response(wire, method="CONNECT", deadline=deadline)
        try:
            response.begin()
        except http.client.HTTPException as error:
            raise TunnelError(0, str(error)) from error
        if response.status != 200:
            raise TunnelError(response.status, response.reason)


def _dial(host: str, port: int, deadline: Deadline) -> socket.socket:
    """Connect to the first address that answers; each gets its share of the time."""
    found = socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    problem: OSError = OSError("the name has no address")
    for index, (family, kind, protocol, _name, address) in enumerate(found):
        wire = socket.socket(family, kind, protocol)
        try:
            wire.settimeout(deadline.left() / (len(found) - index))
            wire.connect(address)
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return wire
        except OSError as error:
            wire.close()
            problem = error
    raise problem


def _has_news(wire: socket.socket) -> bool:
    """Whether an idle connection can be read from: then the other side has closed it, or is out of step."""
    poll = select.poll()
    poll.register(wire, select.POLLIN)
    return bool(poll.poll(0))
