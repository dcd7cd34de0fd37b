# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy variables of the environment: which proxy a request takes, if any."""

from __future__ import annotations

import base64
import ipaddress
import os
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from ..errors import OneUsageError

DEFAULT_PORT = 3128


@dataclass(frozen=True)
class Proxy:
    """Where the proxy listens, and the headers that it wants: Proxy-Authorization, or none."""

    host: str
    port: int
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    def __str__(self) -> str:
        """Never with credentials: this stands in error sentences."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


def is_loopback(url: str) -> bool:
    """Tell whether url points to this machine, where a proxy from the environment must not be used."""
    host = (urlsplit(url).hostname or "").rstrip(".")
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def proxy_for(url: str) -> Proxy | None:
    """Return the proxy for url by http_proxy, https_proxy, all_proxy and no_proxy, as requests reads them.

    Raises OneUsageError for a proxy that is not of the form http://[user:password@]host:port.
    """
    if not any(name.lower().endswith("_proxy") for name in os.environ) or is_loopback(url):
        return None
    # Loaded only where the environment names a proxy.
    from requests.utils import get_environ_proxies, select_proxy

    found = select_proxy(url, get_environ_proxies(url))
    if not found:
        return None
    parts = urlsplit(found if "://" in found else f"http://{found}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        # The value may hold a password, so it is not shown.
        raise OneUsageError(
            f"the proxy that the environment names for {urlsplit(url).scheme} cannot be used",
            hint="it must look like http://proxy.example.org:3128; for other kinds of proxies set no_proxy",
        )
    headers: dict[str, str] = {}
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        token = base64.b64encode(credentials.encode("utf-8")).decode("ascii")
        headers = {"Proxy-Authorization": f"Basic {token}"}
    return Proxy(parts.hostname, port, headers)
