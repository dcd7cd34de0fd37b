# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Is a service really serving? Judged by connecting to it, never by the absence of complaints."""

from __future__ import annotations

import socket
import ssl
from pathlib import Path


def listens(host: str, port: int, timeout: float = 2.0) -> str:
    """Empty when a TCP connection is accepted, else the reason why not."""
    try:
        with socket.create_connection((host, port), timeout):
            return ""
    except OSError as error:
        return f"no connection to {host}:{port} ({error.strerror or error})"


def serves_tls(host: str, port: int, name: str, ca: Path, timeout: float = 5.0, http2: bool = True) -> str:
    """Empty when a TLS handshake verified against `ca` for `name` succeeds, else the reason why not.

    With `http2` the other side has to speak HTTP/2, as gRPC does.
    """
    try:
        context = ssl.create_default_context(cafile=str(ca))
        # Python 3.13 began to ask for extensions that authorities of operators lack, and gRPC does not.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        context.set_alpn_protocols(["h2"] if http2 else ["http/1.1"])
        with (
            socket.create_connection((host, port), timeout) as plain,
            context.wrap_socket(plain, server_hostname=name) as secure,
        ):
            if http2 and secure.selected_alpn_protocol() != "h2":
                return f"{host}:{port} does not speak HTTP/2"
            return ""
    except ssl.SSLCertVerificationError as error:
        return f"certificate of {host}:{port} is not trusted ({error.verify_message})"
    except ssl.SSLError as error:
        return f"no TLS with {host}:{port} ({error.reason})"
    except OSError as error:
        return f"no connection to {host}:{port} ({error.strerror or error})"


def has_child(pid: int) -> bool:
    """Whether a process has started another one; True where the kernel does not tell."""
    process = Path(f"/proc/{pid}/task/{pid}")
    if not process.is_dir():
        return False
    try:
        return bool((process / "children").read_text(encoding="ascii").split())
    except FileNotFoundError:
        return process.is_dir()
