# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of OneFlow, the REST service of OpenNebula that runs groups of VMs.

Every answer is judged by its status and its text: OneFlow calls its JSON `text/html`, its errors are plain text, and it
uses 401 for a wrong password and for a missing right, and 500 for "not in this state".
"""

from __future__ import annotations

import json
import os
import re
from html import unescape
from http.client import HTTPException
from typing import Any
from urllib.error import HTTPError, URLError

from ansible.module_utils.urls import ConnectionError as UrlsError
from ansible.module_utils.urls import open_url

from .errors import (
    OneActionError,
    OneApiError,
    OneAuthenticationError,
    OneAuthorizationError,
    OneConnectionError,
    OneError,
    OneNotFoundError,
    OneTimeoutError,
    OneUsageError,
)
from .settings import Settings, is_loopback

Document = dict[str, Any]

_TAGS = re.compile(r"<style.*?</style>|<[^>]+>", re.DOTALL)
_WRONG_STATE = re.compile(r"(cannot be \w+|Cannot modify roles) in state")
_LOGIN_TEXTS = ("invalid credentials", "username and password must be provided", "couldn't be authenticated")


class OneFlow:
    """Calls of one OneFlow server as one user; each has the time-out of the settings, and nothing is retried."""

    def __init__(self, settings: Settings) -> None:
        ca_path = settings.ca_path
        if ca_path and os.path.isdir(ca_path) and settings.validate_certs and settings.oneflow_url.startswith("https:"):
            raise OneUsageError(
                f"ca_path {ca_path} is a folder, which the client of OneFlow cannot read",
                hint="give the file with the certificates of the authorities",
            )
        self._settings = settings
        self.url = settings.oneflow_url.rstrip("/")
        self.calls = 0

    # -- service templates ------------------------------------------------------------------------------------------

    def templates(self) -> list[Document]:
        """All service templates that the user may see, as OneFlow's documents."""
        return self._pool("/service_template")

    def template(self, template_id: int) -> Document:
        return self._fetch("GET", f"/service_template/{int(template_id)}")

    def create_template(self, body: dict[str, Any]) -> Document:
        return self._fetch("POST", "/service_template", body)

    def replace_template(self, template_id: int, body: dict[str, Any]) -> Document:
        """Replace the whole body; the server keeps `registration_time`, and does not change the document's name."""
        return self._fetch("PUT", f"/service_template/{int(template_id)}", body)

    def delete_template(self, template_id: int) -> None:
        self._request("DELETE", f"/service_template/{int(template_id)}", {"delete_type": "none"})

    def template_action(self, template_id: int, perform: str, params: dict[str, Any]) -> None:
        """chmod, chown, rename … The server says 204 even where it did nothing: read the document back."""
        self._action(f"/service_template/{int(template_id)}/action", perform, params)

    def instantiate(self, template_id: int, merge_template: dict[str, Any]) -> Document:
        """Start a service from the template and return its document; its VMs come into being later."""
        action = {"perform": "instantiate", "params": {"merge_template": merge_template}}
        return self._fetch("POST", f"/service_template/{int(template_id)}/action", {"action": action})

    # -- services -----------------------------------------------------------------------------------------------------

    def services(self) -> list[Document]:
        """All services that the user may see."""
        return self._pool("/service")

    def service(self, service_id: int) -> Document:
        return self._fetch("GET", f"/service/{int(service_id)}")

    def delete_service(self, service_id: int) -> None:
        """Ask for the shutdown of a service that is neither failed nor in the middle of a change."""
        self._request("DELETE", f"/service/{int(service_id)}")

    def recover_service(self, service_id: int, *, delete: bool = False) -> None:
        """Retry what failed, or with `delete` remove the service from whatever state it is in."""
        self._action(f"/service/{int(service_id)}/action", "recover", {"delete": True} if delete else {})

    def service_action(self, service_id: int, perform: str, params: dict[str, Any]) -> None:
        self._action(f"/service/{int(service_id)}/action", perform, params)

    def scale(self, service_id: int, role: str, cardinality: int, *, force: bool = False) -> None:
        # OneFlow 7.4 answers with an internal error when "force" is absent, so it is always sent.
        body = {"role_name": role, "cardinality": int(cardinality), "force": bool(force)}
        self._request("POST", f"/service/{int(service_id)}/scale", body)

    # -- transport ----------------------------------------------------------------------------------------------------

    def _action(self, path: str, perform: str, params: dict[str, Any]) -> None:
        self._request("POST", path, {"action": {"perform": perform, "params": params}})

    def _fetch(self, method: str, path: str, body: dict[str, Any] | None = None) -> Document:
        """A request whose answer is one document."""
        answer = self._request(method, path, body)
        document = answer.get("DOCUMENT") if isinstance(answer, dict) else None
        if not isinstance(document, dict):
            raise self._not_oneflow(f"{method} {path}", json.dumps(answer))
        return document

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The decoded JSON answer, or None where there is none."""
        call = f"{method} {path}"
        settings = self._settings
        self.calls += 1
        try:
            response = open_url(
                f"{self.url}{path}",
                method=method,
                data=None if body is None else json.dumps(body).encode("utf-8"),
                headers={"Accept": "application/json", "Content-Type": "application/json"},
                timeout=settings.timeout,
                validate_certs=settings.validate_certs,
                ca_path=settings.ca_path,
                url_username=settings.username,
                url_password=settings.password,
                force_basic_auth=True,
                use_proxy=not is_loopback(self.url),
                use_netrc=False,
            )
            text = response.read().decode("utf-8", "replace")
        except HTTPError as error:
            raise _failure(call, self.url, error.code, error.read().decode("utf-8", "replace")) from None
        except (URLError, OSError, HTTPException, UrlsError) as error:
            reason = getattr(error, "reason", None) or error
            if isinstance(reason, TimeoutError):
                raise OneTimeoutError(
                    f"no answer within {settings.timeout:g} s",
                    method=call,
                    endpoint=self.url,
                    hint="check that oneflow-server is running and reachable, or raise api_timeout",
                ) from None
            raise OneConnectionError(
                f"OneFlow does not answer ({reason or type(error).__name__})",
                method=call,
                endpoint=self.url,
                hint="check oneflow_url, that oneflow-server runs, the network, and TLS settings",
            ) from None
        if not text.strip():
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise self._not_oneflow(call, text) from None

    def _not_oneflow(self, call: str, answer: str) -> OneConnectionError:
        return OneConnectionError(
            f"the answer is not one of OneFlow ({_short(answer)})",
            method=call,
            endpoint=self.url,
            hint="check oneflow_url",
        )

    def _pool(self, path: str) -> list[Document]:
        """The documents of a pool; OneFlow leaves the key DOCUMENT out where there is none."""
        answer = self._request("GET", path)
        pool = answer.get("DOCUMENT_POOL") if isinstance(answer, dict) else answer
        documents = pool.get("DOCUMENT", []) if isinstance(pool, dict) else pool
        if isinstance(documents, dict):
            documents = [documents]
        if not isinstance(documents, list):
            raise self._not_oneflow(f"GET {path}", json.dumps(answer))
        return [item.get("DOCUMENT", item) for item in documents if isinstance(item, dict)]


def _short(text: str) -> str:
    """A one-line excerpt of an answer, without mark-up."""
    plain = " ".join(unescape(_TAGS.sub(" ", text)).split())
    return plain if len(plain) <= 300 else f"{plain[:300]}…"


def _failure(call: str, endpoint: str, status: int, text: str) -> OneError:
    """The exception for an answer that is an error."""
    message = _message(text) or f"HTTP {status} without an explanation"
    where: dict[str, Any] = {"code": status, "method": call, "endpoint": endpoint}
    if status == 403 or (status == 401 and any(known in message.lower() for known in _LOGIN_TEXTS)):
        return OneAuthenticationError(message, **where)
    if status == 401:
        return OneAuthorizationError(message, **where)
    if status == 404:
        if "Sinatra" in message:
            return OneApiError("this OneFlow does not know the route", **where)
        return OneNotFoundError(message, **where)
    if status == 405 or _WRONG_STATE.search(message):
        return OneActionError(message, **where)
    return OneError(message, **where)


def _message(text: str) -> str:
    """The server's own words: plain text, or the reason inside the JSON of an uncaught error."""
    try:
        answer = json.loads(text)
    except ValueError:
        return _short(text)
    if isinstance(answer, dict):
        return _short(str(answer.get("reason") or answer.get("message") or text))
    return _short(str(answer))
