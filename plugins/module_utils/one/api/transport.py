# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for both protocols: time-outs, TLS, proxies, what is tried again, and one set of error sentences."""

from __future__ import annotations

import os
import time
from functools import cached_property
from http.client import HTTPException
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import quote, urlsplit

from ..errors import OneConnectionError, OneTimeoutError
from .channel import Channel
from .settings import Settings

if TYPE_CHECKING:
    from .proxy import Proxy
    from .trouble import Trouble

# Seconds before a request that only reads is made for the second and for the third time.
PAUSES = (0.2, 1.0)
# What a proxy in front says while the server behind it restarts.
_PASSING = (502, 503, 504)
UNKNOWN_OUTCOME = (
    "the request may have taken effect all the same, so run again: what is there by then is looked at first, "
    "and nothing is done twice"
)


class Service(NamedTuple):
    """How people know the server at the other end: its name, the option with its URL, what must run."""

    name: str
    option: str
    program: str


class Answer(NamedTuple):
    """An HTTP answer of any status that is not a proxy's own."""

    status: int
    reason: str
    body: bytes

    @property
    def text(self) -> str:
        return self.body.decode("utf-8", "replace")


class Transport:
    """Requests to one endpoint of one cloud, over one connection as long as it holds."""

    def __init__(self, url: str, settings: Settings, service: Service) -> None:
        self.url = url
        self._settings = settings
        self._service = service
        self._parts = urlsplit(url)

    def send(
        self, call: str, method: str, path: str, body: bytes | None, headers: dict[str, str], *, reads: bool
    ) -> Answer:
        """Make one request; path comes after that of the URL. call: its name in error sentences.

        reads: it changes nothing. Only then it is made again, twice at most, when the connection breaks or a proxy has
        lost the server. Raises OneTimeoutError, OneConnectionError and, for unusable settings, OneUsageError.
        """
        for pause in (*PAUSES, None) if reads else (None,):
            found = self._attempt(method, path, body, headers)
            if isinstance(found, Answer) and found.status not in _PASSING:
                return self._accepted(call, found)
            if pause is None or (not isinstance(found, Answer) and found.kind != "lost"):
                break
            time.sleep(pause)
        if isinstance(found, Answer):
            self._passing(call, found, reads)
        self._fail(call, found, reads)

    def _attempt(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> Answer | Trouble:
        target = quote(self._parts.path + path, safe="/:?=&%") or "/"
        if self._parts.query:
            target += f"?{self._parts.query}"
        channel = self._channel
        opened = False
        try:
            channel.open()
            opened = True
            reply = channel.ask(method, target, body, headers)
        # ValueError: characters that no request can hold.
        except (OSError, HTTPException, ValueError) as error:
            # Loaded for failures only.
            from .trouble import while_asking, while_opening

            return while_asking(error) if opened else while_opening(error, self._proxy is not None)
        reason = reply.reason
        if 300 <= reply.status < 400:
            reason += f" to {reply.location or 'somewhere else'}"
        return Answer(reply.status, reason, reply.body)

    def _accepted(self, call: str, answer: Answer) -> Answer:
        """The answer, unless a proxy or a redirection stands in the way."""
        if answer.status == 407:
            self._refused_by_proxy(call, 407, "Proxy Authentication Required")
        if 300 <= answer.status < 400:
            # Followed, a redirection would turn a POST into a GET.
            raise OneConnectionError(
                f"HTTP {answer.status} {answer.reason}",
                code=answer.status,
                method=call,
                endpoint=self.url,
                hint=f"set {self._service.option} to where it leads",
            )
        return answer

    # -- failures ---------------------------------------------------------------------------------------------------

    def _fail(self, call: str, trouble: Trouble, reads: bool) -> NoReturn:
        service, host = self._service, self._parts.hostname
        late = "" if reads or not trouble.sent else f"; {UNKNOWN_OUTCOME}"
        if trouble.kind == "timeout":
            raise OneTimeoutError(
                f"no answer within {self._settings.timeout:g} s",
                method=call,
                endpoint=self.url,
                hint=f"check that {service.program} is well and reachable, or raise api_timeout{late}",
            )
        if trouble.kind == "tunnel":
            self._refused_by_proxy(call, trouble.status, trouble.words)
        wanting = ""
        if self._parts.scheme == "https" and not self._settings.client_cert:
            # A server that refuses a client sometimes hangs up before its reason is read.
            wanting = "; if it wants a certificate from its clients, give client_cert"
        through = f"through the proxy {self._proxy} " if self._proxy else ""
        text, hint = {
            "tls": (f"TLS failed ({trouble.words})", trouble.hint.format(option=service.option)),
            "proxy": (
                f"the proxy {self._proxy} does not answer ({trouble.words})",
                f"check the proxy variables of the environment, or add {host} to no_proxy",
            ),
            "name": (
                f"the host {host} is unknown ({trouble.words})",
                f"check {service.option} and the name service",
            ),
            "refused": (
                f"{service.name} does not answer ({trouble.words})",
                f"check {service.option}, the network, and that {service.program} is running",
            ),
            "lost": (
                f"{service.name} closed the connection {trouble.words}",
                f"it was asked {len(PAUSES) + 1} times; check that {service.program} is well{wanting}"
                if reads
                else f"{UNKNOWN_OUTCOME}{wanting}",
            ),
            "nonsense": (
                f"the answer {through}is not HTTP ({trouble.words})",
                f"check {service.option}, also whether it must begin with https{late}",
            ),
        }[trouble.kind]
        raise OneConnectionError(text, method=call, endpoint=self.url, hint=hint)

    def _refused_by_proxy(self, call: str, status: int, reason: str) -> NoReturn:
        host = self._parts.hostname
        hint = f"check the proxy variables of the environment, or add {host} to no_proxy"
        if status == 407:
            hint = f"put user and password into the proxy variable of the environment, or add {host} to no_proxy"
        raise OneConnectionError(
            f"the proxy {self._proxy or 'in front'} did not forward the request (HTTP {status} {reason})",
            code=status,
            method=call,
            endpoint=self.url,
            hint=hint,
        )

    def _passing(self, call: str, answer: Answer, reads: bool) -> NoReturn:
        service = self._service
        front = f"the proxy {self._proxy}" if self._proxy else f"what stands in front of {service.name}"
        raise OneConnectionError(
            f"{front} says HTTP {answer.status} {answer.reason}",
            code=answer.status,
            method=call,
            endpoint=self.url,
            hint=f"check that {service.program} is running" + ("" if reads else f"; {UNKNOWN_OUTCOME}"),
        )

    # -- made when first needed -------------------------------------------------------------------------------------

    @cached_property
    def _proxy(self) -> Proxy | None:
        if not any(name.lower().endswith("_proxy") for name in os.environ):
            return None
        # Loaded only where the environment names a proxy.
        from .proxy import proxy_for

        return proxy_for(self.url)

    @cached_property
    def _channel(self) -> Channel:
        context = None
        if self._parts.scheme == "https":
            from .tls import make_context

            context = make_context(self._settings)
        return Channel(self._parts, context, self._proxy, self._settings.timeout)
