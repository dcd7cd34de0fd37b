# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What went wrong with a request: the exceptions of sockets, http.client and ssl in a few kinds and plain words."""

from __future__ import annotations

import http.client
import re
import socket
import ssl
from typing import NamedTuple

_TUNNEL = re.compile(r"Tunnel connection failed: (\d+) ?(.*)")
# X509_V_ERR_HOSTNAME_MISMATCH, X509_V_ERR_IP_ADDRESS_MISMATCH
_OTHER_NAME = (62, 64)


class Trouble(NamedTuple):
    """kind: timeout, tunnel, tls, proxy, name, refused, lost or nonsense.

    hint: for tls, with {option} in it. sent: whether the server may have got the request.
    """

    kind: str
    words: str = ""
    hint: str = ""
    status: int = 0
    sent: bool = True


def while_opening(error: Exception, by_proxy: bool) -> Trouble:
    """Return what an exception of connecting means; nothing was sent."""
    tunnel = _TUNNEL.search(str(error))
    if tunnel:
        return Trouble("tunnel", tunnel.group(2), status=int(tunnel.group(1)), sent=False)
    if isinstance(error, http.client.HTTPException):
        return Trouble("nonsense", _words(error), sent=False)
    if isinstance(error, ssl.SSLError):
        return _of_tls(error)
    if isinstance(error, TimeoutError):
        return Trouble("timeout", sent=False)
    if by_proxy:
        return Trouble("proxy", _words(error), sent=False)
    if isinstance(error, (socket.gaierror, UnicodeError)):
        return Trouble("name", _words(error), sent=False)
    return Trouble("refused", _words(error), sent=False)


def while_asking(error: Exception) -> Trouble:
    """Return what an exception of a request means."""
    if isinstance(error, TimeoutError):
        return Trouble("timeout")
    if isinstance(error, ssl.SSLError) and "ALERT" in str(error.reason):
        # With TLS 1.3 a server judges the client's certificate after the client has begun to speak.
        return _of_tls(error)
    if isinstance(error, http.client.RemoteDisconnected):
        return Trouble("lost", "without an answer")
    if isinstance(error, http.client.IncompleteRead):
        return Trouble("lost", f"in the middle of its answer, after {len(error.partial)} bytes")
    if isinstance(error, OSError):
        return Trouble("lost", f"before the answer was complete ({_words(error)})")
    return Trouble("nonsense", _words(error))


def _of_tls(error: ssl.SSLError) -> Trouble:
    words, hint = _words(error), "check that {option} is right to begin with https"
    if isinstance(error, ssl.SSLCertVerificationError):
        words = f"its certificate is refused: {error.verify_message.rstrip('.')}"
        hint = "give the right authority with ca_path, or set validate_certs to false for a test"
        if error.verify_code in _OTHER_NAME:
            hint = "use a name that is in the certificate in {option}"
    elif "ALERT" in str(error.reason):
        words = f"the server refused the connection: {words}"
        hint = "it may want a certificate from its clients: give client_cert and client_key"
    return Trouble("tls", words, hint, sent=False)


def _words(error: BaseException) -> str:
    """One line for people: the system's words, without numbers and class names."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return str(error.reason).replace("_", " ").lower()
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return " ".join(str(error).split())[:200] or type(error).__name__
