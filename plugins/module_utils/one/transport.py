# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HTTP for both protocols: time-outs, TLS, proxies, what is tried again, and one set of error sentences."""

from __future__ import annotations

import http.client
import os
import socket
import ssl
import time
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple, NoReturn
from urllib.parse import quote, urlsplit

from .channel import Channel, Deadline, TunnelError
from .errors import OneConnectionError, OneTimeoutError
from .settings import Settings

if TYPE_CHECKING:
    from .proxy import Proxy

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


class _LostError(Exception):
    """The connection broke after the request had been sent, before the answer was complete."""


class Transport:
    """Requests to one endpoint of one cloud, over one connection as long as it holds."""

    def __init__(self, url: str, settings: Settings, service: Service) -> None:
        self.url = url
        self._timeout = settings.timeout
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
        for pause in PAUSES if reads else ():
            try:
                answer = self._attempt(call, method, path, body, headers, reads)
                if answer.status not in _PASSING:
                    return self._accepted(call, answer)
            except _LostError:
                pass
            time.sleep(pause)
        try:
            answer = self._attempt(call, method, path, body, headers, reads)
        except _LostError as error:
            self._lost(call, str(error), reads)
        if answer.status in _PASSING:
            self._passing(call, answer, reads)
        return self._accepted(call, answer)

    def _attempt(
        self, call: str, method: str, path: str, body: bytes | None, headers: dict[str, str], reads: bool
    ) -> Answer:
        deadline = Deadline(self._timeout)
        try:
            self._channel.open(deadline)
        except OSError as error:
            self._not_connected(call, error)
        target = quote(self._parts.path + path, safe="/:?=&%") or "/"
        if self._parts.query:
            target += f"?{self._parts.query}"
        proxy = self._proxy
        if proxy and self._parts.scheme == "http":
            # A proxy that forwards wants to be told where to.
            target = f"http://{self._channel.authority}{target}"
            if proxy.authorization:
                headers = {**headers, "Proxy-Authorization": proxy.authorization}
        try:
            status, reason, content, fields = self._channel.ask(method, target, body, headers, deadline)
        except TimeoutError as error:
            late = "" if reads else f"; {UNKNOWN_OUTCOME}"
            raise OneTimeoutError(
                f"no answer within {self._timeout:g} s",
                method=call,
                endpoint=self.url,
                hint=f"check that {self._service.program} is well and reachable, or raise api_timeout{late}",
            ) from error
        except (ConnectionError, http.client.RemoteDisconnected, http.client.IncompleteRead, ssl.SSLError) as error:
            if isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason):
                # With TLS 1.3 a server judges the client's certificate after the client has begun to speak.
                self._no_tls(call, error)
            raise _LostError(_how_lost(error)) from error
        except (http.client.HTTPException, OSError, ValueError) as error:
            late = "" if reads else f"; {UNKNOWN_OUTCOME}"
            raise OneConnectionError(
                f"the answer is not HTTP ({_words(error)})",
                method=call,
                endpoint=self.url,
                hint=f"check {self._service.option}, also whether it must begin with https{late}",
            ) from error
        if 300 <= status < 400:
            reason = f"{reason} to {fields.get('location', 'somewhere else')}"
        return Answer(status, reason, content)

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

    def _not_connected(self, call: str, error: OSError) -> NoReturn:
        """Nothing was sent yet, so nothing can have happened."""
        service, host = self._service, self._parts.hostname
        if isinstance(error, TimeoutError):
            raise OneTimeoutError(
                f"no answer within {self._timeout:g} s",
                method=call,
                endpoint=self.url,
                hint=f"check that {service.program} is running and reachable, or raise api_timeout",
            ) from error
        if isinstance(error, TunnelError):
            self._refused_by_proxy(call, error.status, str(error).partition(" ")[2].partition(" ")[2])
        if isinstance(error, ssl.SSLError):
            self._no_tls(call, error)
        text, hint = (
            f"{service.name} does not answer ({_words(error)})",
            f"check {service.option}, the network, and that {service.program} is running",
        )
        if self._proxy:
            text = f"the proxy {self._proxy} does not answer ({_words(error)})"
            hint = f"check the proxy variables of the environment, or add {host} to no_proxy"
        elif isinstance(error, socket.gaierror):
            text = f"the host {host} is unknown ({_words(error)})"
            hint = f"check {service.option} and the name service"
        raise OneConnectionError(text, method=call, endpoint=self.url, hint=hint) from error

    def _no_tls(self, call: str, error: ssl.SSLError) -> NoReturn:
        hint = f"check that {self._service.option} is right to begin with https"
        reason = _words(error)
        if isinstance(error, ssl.SSLCertVerificationError):
            reason = f"its certificate is refused: {error.verify_message.rstrip('.')}"
            hint = "give the right authority with ca_path, or set validate_certs to false for a test"
            # X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
            if error.verify_code in (62, 64):
                hint = f"use a name that is in the certificate in {self._service.option}"
        elif "ALERT" in reason.upper():
            reason = f"the server refused the connection: {reason}"
            hint = "it may want a certificate from its clients: give client_cert and client_key"
        raise OneConnectionError(f"TLS failed ({reason})", method=call, endpoint=self.url, hint=hint) from error

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

    def _lost(self, call: str, reason: str, reads: bool) -> NoReturn:
        service = self._service
        raise OneConnectionError(
            f"{service.name} closed the connection {reason}",
            method=call,
            endpoint=self.url,
            hint=f"it was asked {len(PAUSES) + 1} times; check that {service.program} is well"
            if reads
            else UNKNOWN_OUTCOME,
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
        secure = self._parts.scheme == "https"
        port = self._parts.port or (443 if secure else 80)
        context = None
        if secure:
            from .tls import make_context

            context = make_context(self._settings)
        host = str(self._parts.hostname)
        if not host.isascii():
            host = host.encode("idna").decode("ascii")
        return Channel(host, port, context, self._proxy)


def _how_lost(error: BaseException) -> str:
    if isinstance(error, http.client.RemoteDisconnected):
        return "without an answer"
    if isinstance(error, http.client.IncompleteRead):
        return f"in the middle of its answer, after {len(error.partial)} bytes"
    return f"before the answer was complete ({_words(error)})"


def _words(error: BaseException) -> str:
    """One line for people: the system's words, without numbers and class names."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or type(error).__name__
