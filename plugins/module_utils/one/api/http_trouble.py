# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong with a request: the exceptions of urllib3, http.client and ssl in a few kinds and plain words."""

from __future__ import annotations

import http.client
import re
import ssl
from typing import NamedTuple

import urllib3.exceptions as urllib3

_TUNNEL = re.compile(r"Tunnel connection failed: (\d+) ?(.*)")
# X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_OTHER_NAME = (62, 64)


class Trouble(NamedTuple):
    """kind: timeout, tunnel, tls, proxy, name, refused, lost or nonsense.

    hint: the whole one for tls, with {option} in it; an addition for lost.
    sent: whether the server may have got the request.
    """

    kind: str
    words: str = ""
    hint: str = ""
    status: int = 0
    sent: bool = True

    @property
    def lost(self) -> bool:
        """Whether the connection broke, so that asking again makes sense."""
        return self.kind == "lost"


def trouble_of(error: Exception) -> Trouble:
    """Return what an exception of a request means."""
    if isinstance(error, urllib3.ProxyError):
        return _of_proxy(error.original_error)
    if isinstance(error, urllib3.SSLError):
        return _of_tls(error)
    if isinstance(error, getattr(urllib3, "NameResolutionError", ())):
        return Trouble("name", _words(_cause(error)), sent=False)
    if isinstance(error, urllib3.NewConnectionError):
        return Trouble("refused", _words(_cause(error)), sent=False)
    if isinstance(error, urllib3.ConnectTimeoutError):
        return Trouble("timeout", sent=False)
    if isinstance(error, (urllib3.TimeoutError, TimeoutError)):
        return Trouble("timeout")
    cause = _cause(error)
    if isinstance(cause, http.client.RemoteDisconnected):
        return Trouble("lost", "without an answer")
    if isinstance(cause, http.client.IncompleteRead):
        return Trouble("lost", f"in the middle of its answer, after {_size(cause.partial)} bytes")
    if isinstance(cause, TimeoutError):
        return Trouble("timeout")
    if isinstance(cause, OSError):
        return Trouble("lost", f"before the answer was complete ({_words(cause)})")
    return Trouble("nonsense", _words(cause))


def _of_proxy(error: Exception) -> Trouble:
    found = _TUNNEL.search(str(error))
    if found:
        return Trouble("tunnel", found.group(2), status=int(found.group(1)), sent=False)
    if isinstance(error, urllib3.SSLError):
        return _of_tls(error)
    if isinstance(error, (urllib3.ConnectTimeoutError, TimeoutError)) and not isinstance(
        error, urllib3.NewConnectionError
    ):
        return Trouble("timeout", sent=False)
    return Trouble("proxy", _words(_cause(error)), sent=False)


def _of_tls(error: urllib3.SSLError) -> Trouble:
    cause = error.args[0] if error.args else error
    if isinstance(cause, ssl.SSLEOFError):
        # It may have come after the request was sent, so this is the safe reading.
        words = f"before the answer was complete ({_words(cause)})"
        return Trouble("lost", words, "; if it wants a certificate from its clients, give client_cert")
    words, hint = _words(cause), "check that {option} is right to begin with https"
    if isinstance(cause, ssl.SSLCertVerificationError):
        words = f"its certificate is refused: {cause.verify_message.rstrip('.')}"
        hint = "give the right authority with ca_path, or set validate_certs to false for a test"
        if cause.verify_code in _OTHER_NAME:
            hint = "use a name that is in the certificate in {option}"
    elif "ALERT" in str(getattr(cause, "reason", "")):
        # With TLS 1.3 a server judges the client's certificate after the client has begun to speak.
        words = f"the server refused the connection: {words}"
        hint = "it may want a certificate from its clients: give client_cert and client_key"
    return Trouble("tls", words, hint, sent=False)


def _size(partial: object) -> object:
    """http.client keeps what has arrived, urllib3 its length."""
    return len(partial) if isinstance(partial, bytes) else partial


def _cause(error: BaseException) -> BaseException:
    """The exception at the bottom: urllib3 keeps it as its cause or as its last argument."""
    for inner in (error.__cause__, *reversed(error.args)):
        if isinstance(inner, BaseException):
            return inner
    return error


def _words(error: BaseException) -> str:
    """One line for people: the system's words, without numbers and class names."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or type(error).__name__
