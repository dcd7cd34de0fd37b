# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The proxy variables of the environment: which proxy a request takes, if any."""

from __future__ import annotations

import base64
import ipaddress
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from .errors import OneUsageError

DEFAULT_PORT = 3128


@dataclass(frozen=True)
class Proxy:
    """Where the proxy listens; authorization is the value of the header Proxy-Authorization, "" without credentials."""

    host: str
    port: int
    authorization: str = field(default="", repr=False)

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


def proxy_for(url: str, environ: Mapping[str, str] | None = None) -> Proxy | None:
    """Return the proxy for url by http_proxy, https_proxy, all_proxy and no_proxy; lower case wins over upper case.

    Raises OneUsageError, which names the variable, for a proxy that is not of the form http://[user:password@]host:port.
    """
    env = os.environ if environ is None else environ
    parts = urlsplit(url)
    for variable in (f"{parts.scheme}_proxy", "all_proxy"):
        name, value = _variable(env, variable)
        if value:
            if is_loopback(url) or _bypassed(parts.hostname or "", parts.port, _variable(env, "no_proxy")[1]):
                return None
            return _parsed(name, value)
    return None


def _variable(env: Mapping[str, str], name: str) -> tuple[str, str]:
    if name in env:
        return name, env[name].strip()
    upper = name.upper()
    # A CGI server puts the header "Proxy" of its clients into this one.
    if upper == "HTTP_PROXY" and "REQUEST_METHOD" in env:
        return upper, ""
    return upper, env.get(upper, "").strip()


def _parsed(variable: str, value: str) -> Proxy:
    parts = urlsplit(value if "://" in value else f"http://{value}")
    try:
        port = parts.port or DEFAULT_PORT
    except ValueError:
        port = 0
    if parts.scheme != "http" or not parts.hostname or not port:
        # The value may hold a password, so it is not shown.
        raise OneUsageError(
            f"the proxy in the environment variable {variable} cannot be used",
            hint="it must look like http://proxy.example.org:3128; for other kinds of proxies set no_proxy",
        )
    authorization = ""
    if parts.username is not None:
        credentials = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        authorization = "Basic " + base64.b64encode(credentials.encode("utf-8")).decode("ascii")
    return Proxy(parts.hostname, port, authorization)


def _bypassed(host: str, port: int | None, no_proxy: str) -> bool:
    """Whether an entry of no_proxy covers the host: *, a name, a domain, an address or a network; a port may follow."""
    host = host.lower().rstrip(".")
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        address = None
    for entry in (item.strip().lower() for item in no_proxy.split(",")):
        if entry == "*":
            return True
        if address is not None and _holds(entry, address):
            return True
        name, colon, wanted = entry.rpartition(":")
        if colon and wanted.isdigit():
            if port != int(wanted):
                continue
            entry = name.strip("[]")
        entry = entry.lstrip("*").lstrip(".")
        if entry and (host == entry or host.endswith(f".{entry}")):
            return True
    return False


def _holds(entry: str, address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> bool:
    try:
        return address in ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return False
