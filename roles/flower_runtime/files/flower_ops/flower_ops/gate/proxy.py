# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy as an ASGI application: POST to a known route goes on, anything else is refused.

Bodies pass in pieces in both directions, so that a model of any size takes no more memory than a piece of it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, MutableMapping
from typing import Any

import httpx

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

# What belongs to one connection and not to the message (RFC 9110, 7.6.1).
HOP_BY_HOP = frozenset(
    b"connection keep-alive proxy-authenticate proxy-authorization proxy-connection te trailer transfer-encoding "
    b"upgrade".split()
)
# The SuperLink believes these of a proxy on loopback, so they may not come from outside.
FORWARDED = frozenset(b"forwarded x-forwarded-for x-forwarded-host x-forwarded-port x-forwarded-proto".split())
TOLD_AT_MOST = 100


class _ClientGoneError(Exception):
    """The client ended its connection in the middle of its request."""


class Gate:
    """Passes POST requests for `routes` on to `upstream` (https://host:port); `say` gets one line per kind of event."""

    def __init__(
        self, routes: Iterable[str], upstream: str, client: httpx.AsyncClient, say: Callable[[str], None]
    ) -> None:
        self._urls = {route.encode(): upstream + route for route in routes}
        self._client = client
        self._say = say
        self._told: set[str] = set()
        self._down = ""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One connection's request, as ASGI wants it."""
        if scope["type"] != "http":
            return
        # The path as it was sent: one that has to be decoded or shortened first is none that a SuperNode asks for.
        path = scope.get("raw_path") or scope["path"].encode()
        url = self._urls.get(path) if scope["method"] == "POST" else None
        # An IPv4 client of a socket that takes both families is written as an IPv6 address.
        client = (scope.get("client") or ("unknown",))[0].removeprefix("::ffff:")
        if url is None:
            self._tell(f"refused {scope['method']} {path[:80].decode('ascii', 'replace')!r} from {client}")
            await _answer(send, 404, b"Only the Fleet API is served here.\n")
            return
        await self._pass(url, request_headers(scope["headers"], client), receive, send)

    async def _pass(self, url: str, headers: Headers, receive: Receive, send: Send) -> None:
        body = _Body(receive)
        request = httpx.Request("POST", url, headers=headers, content=body.pieces())
        sending = asyncio.ensure_future(self._client.send(request, stream=True))
        leaving = asyncio.ensure_future(body.client_left())
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
            if not sending.done():
                return
            answer = sending.result()
        except _ClientGoneError:
            return
        except httpx.TransportError as error:
            self._upstream(f"{type(error).__name__} {error}".strip())
            # SuperNodes try again after this status.
            await _answer(send, 502, b"The SuperLink does not answer.\n")
            return
        else:
            self._upstream("")
            await self._give_back(answer, leaving, send)
        finally:
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _give_back(self, answer: httpx.Response, leaving: asyncio.Future[None], send: Send) -> None:
        headers = [(name.lower(), value) for name, value in answer.headers.raw if name.lower() not in HOP_BY_HOP]
        try:
            await send({"type": "http.response.start", "status": answer.status_code, "headers": headers})
            async for piece in answer.aiter_raw():
                if leaving.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
            await send({"type": "http.response.body", "body": b""})
        except httpx.TransportError as error:
            # The connection to the client ends with an unfinished answer, which the client takes as a broken one.
            self._upstream(f"{type(error).__name__} {error}".strip())
        finally:
            await answer.aclose()

    def _upstream(self, trouble: str) -> None:
        """Say when the SuperLink begins not to answer, and when it answers again."""
        if bool(trouble) != bool(self._down):
            self._say(f"the SuperLink does not answer: {trouble}" if trouble else "the SuperLink answers again")
        self._down = trouble

    def _tell(self, line: str) -> None:
        """Say a line once; after many different ones somebody is only filling the journal."""
        if line in self._told or len(self._told) > TOLD_AT_MOST:
            return
        self._told.add(line)
        self._say(line if len(self._told) <= TOLD_AT_MOST else "refused many more; they are not told from here on")


class _Body:
    """A request's body in pieces, and after it the news that the client has left."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._read = asyncio.Event()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body; _ClientGoneError when its sender leaves before its end."""
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise _ClientGoneError
            if piece := message.get("body"):
                yield piece
            more = message.get("more_body", False)
        self._read.set()

    async def client_left(self) -> None:
        """Return when the client has left although its body was read to the end."""
        await self._read.wait()
        while (await self._receive())["type"] != "http.disconnect":
            continue


def request_headers(headers: Iterable[tuple[bytes, bytes]], client: str) -> Headers:
    """Headers for the SuperLink: those of the message, and from whom it came."""
    left_out = HOP_BY_HOP | FORWARDED | {b"host", b"expect"}
    kept = [(name, value) for name, value in headers if name.lower() not in left_out]
    return [*kept, (b"x-forwarded-for", client.encode())]


async def _answer(send: Send, status: int, text: bytes) -> None:
    headers = [
        (b"content-type", b"text/plain"),
        (b"content-length", str(len(text)).encode()),
        # What the client still wants to send is not read.
        (b"connection", b"close"),
    ]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": text})
