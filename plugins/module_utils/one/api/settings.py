# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where the cloud is and who asks: one set of options for every module and plugin."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import SplitResult, urlsplit, urlunsplit

from ansible.module_utils.basic import env_fallback

from ..errors import OneUsageError

DEFAULT_TIMEOUT = 30
ONEFLOW_PORT = 2474
DEFAULT_AUTH_FILE = "~/.one/one_auth"


def api_argument_spec() -> dict[str, dict[str, Any]]:
    """Return a fresh argument spec of the options in the fragment opennebula.flower.auth."""
    return {
        "api_url": {"type": "str", "fallback": (env_fallback, ["ONE_URL", "ONE_XMLRPC"])},
        "api_username": {"type": "str", "fallback": (env_fallback, ["ONE_USERNAME"])},
        "api_password": {"type": "str", "no_log": True, "fallback": (env_fallback, ["ONE_PASSWORD"])},
        "api_timeout": {"type": "int", "default": DEFAULT_TIMEOUT},
        "validate_certs": {"type": "bool", "default": True},
        "ca_path": {"type": "path"},
        "client_cert": {"type": "path"},
        "client_key": {"type": "path"},
        "oneflow_url": {"type": "str", "fallback": (env_fallback, ["ONEFLOW_URL"])},
    }


@dataclass(frozen=True)
class Settings:
    """Everything needed to talk to one cloud. URLs are complete; timeout is in seconds per request."""

    api_url: str
    username: str
    password: str = field(repr=False)
    timeout: float = DEFAULT_TIMEOUT
    validate_certs: bool = True
    ca_path: str | None = None
    oneflow_url: str = ""
    client_cert: str | None = None
    client_key: str | None = None

    @classmethod
    def from_params(cls, params: Mapping[str, Any], environ: Mapping[str, str] | None = None) -> Settings:
        """Build from module parameters; ONE_AUTH (or ~/.one/one_auth) fills in missing credentials.

        Raises OneUsageError with a sentence that names the option to set.
        """
        env = os.environ if environ is None else environ
        api_url = params.get("api_url")
        if not api_url:
            raise OneUsageError(
                "the address of the cloud is missing: set api_url (or ONE_URL or ONE_XMLRPC), e.g. http://one:2633/RPC2"
            )
        url = _checked_url(api_url, "api_url")
        username, password = _credentials(params, env)
        timeout = float(params.get("api_timeout") or DEFAULT_TIMEOUT)
        if timeout <= 0:
            raise OneUsageError("api_timeout must be a positive number of seconds")
        oneflow = params.get("oneflow_url")
        return cls(
            api_url=urlunsplit((url.scheme, url.netloc, url.path.rstrip("/") or "/RPC2", url.query, "")),
            username=username,
            password=password,
            timeout=timeout,
            validate_certs=bool(params.get("validate_certs", True)),
            ca_path=_checked_file(params, "ca_path"),
            oneflow_url=_oneflow_url(oneflow, url),
            client_cert=_checked_file(params, "client_cert"),
            client_key=_checked_file(params, "client_key"),
        )

    @property
    def session(self) -> str:
        """Session string that oned expects as the first argument of every call."""
        return f"{self.username}:{self.password}"

    @property
    def authorities(self) -> str | None:
        """File or folder with the certificates to trust; None: those that the system trusts."""
        return self.ca_path or os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or None


def _checked_url(text: str, option: str) -> SplitResult:
    url = urlsplit(text.strip())
    try:
        port_ok = url.port is None or url.port > 0
    except ValueError:
        port_ok = False
    if url.scheme not in ("http", "https") or not url.hostname or not port_ok:
        raise OneUsageError(f"{option} must be a URL such as http://one.example.org:2633/RPC2, not {text!r}")
    if url.username or url.password:
        raise OneUsageError(f"{option} must not contain credentials; use api_username and api_password")
    return url


def _checked_file(params: Mapping[str, Any], option: str) -> str | None:
    path = params.get(option)
    if path and not os.path.exists(path):
        raise OneUsageError(f"{option} {path} does not exist on {os.uname().nodename}")
    return path or None


def _oneflow_url(given: str | None, api: SplitResult) -> str:
    if given:
        url = _checked_url(given, "oneflow_url")
        return urlunsplit((url.scheme, url.netloc, url.path.rstrip("/"), "", ""))
    host = f"[{api.hostname}]" if ":" in str(api.hostname) else str(api.hostname)
    return f"{api.scheme}://{host}:{ONEFLOW_PORT}"


def _credentials(params: Mapping[str, Any], env: Mapping[str, str]) -> tuple[str, str]:
    username, password = params.get("api_username"), params.get("api_password")
    if username and password:
        if ":" in username:
            raise OneUsageError("api_username must not contain a colon")
        return username, password
    if username or password:
        missing, variable = ("api_password", "ONE_PASSWORD") if username else ("api_username", "ONE_USERNAME")
        raise OneUsageError(
            f"{missing} is missing: give both api_username and api_password (or set {variable}), "
            "or neither to use the file named by ONE_AUTH"
        )
    return _from_file(os.path.expanduser(env.get("ONE_AUTH") or DEFAULT_AUTH_FILE))


def _from_file(path: str) -> tuple[str, str]:
    """The line user:password, or user:token, that OpenNebula's own tools read as well."""
    try:
        with open(path, encoding="utf-8") as handle:
            line = handle.read().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise OneUsageError(
            f"no credentials: set api_username and api_password (or ONE_USERNAME and ONE_PASSWORD), "
            f"or have a readable file for ONE_AUTH ({path}: {reason})"
        ) from error
    # Only the first colon separates: passwords may contain colons.
    username, _colon, password = line.partition(":")
    if not username or not password or "\n" in line:
        raise OneUsageError(
            f"the file of ONE_AUTH {path} must hold one line user:password",
            hint="or set api_username and api_password (or ONE_USERNAME and ONE_PASSWORD)",
        )
    return username, password
