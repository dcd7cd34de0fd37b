# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Client of OneFlow, the REST service of OpenNebula that runs groups of VMs.

Every answer is judged by its status and its text: OneFlow calls its JSON `text/html`, its errors are plain text, and it
uses 401 for a wrong password and for a missing right, and 500 for "not in this state".
"""

from __future__ import annotations

import base64
import json
import re
from http.client import responses
from typing import Any, TypeGuard

from ..errors import (
    OneActionError,
    OneApiError,
    OneAuthenticationError,
    OneAuthorizationError,
    OneConnectionError,
    OneError,
    OneNotFoundError,
)
from .settings import Settings
from .transport import UNKNOWN_OUTCOME, Service, Transport

Document = dict[str, Any]

ONEFLOW = Service("OneFlow", "oneflow_url", "oneflow-server")

_TAGS = re.compile(r"<style.*?</style>|<[^>]+>", re.DOTALL)
_WRONG_STATE = re.compile(r"(cannot be \w+|Cannot modify roles) in state")
# How a web server or the XML-RPC server of oned refuses, with a page in HTML, what only OneFlow knows. OneFlow has such
# a page for unknown routes, and proxies have one for 502 and the like.
_OTHER_SERVER = (400, 404, 405, 501)
_LOGIN_TEXTS = ("invalid credentials", "username and password must be provided", "couldn't be authenticated")


class OneFlow:
    """Calls of one OneFlow server as one user. What only reads is made again when the connection breaks, else nothing.

    calls counts the calls made, for tests.
    """

    def __init__(self, settings: Settings) -> None:
        self.url = settings.oneflow_url.rstrip("/")
        self.calls = 0
        self.username = settings.username
        token = base64.b64encode(settings.session.encode("utf-8")).decode("ascii")
        self._headers = {
            "Accept": "application/json",
            "Content-Type": "application/json",
            "User-Agent": "opennebula.flower",
            "Authorization": f"Basic {token}",
        }
        self._transport = Transport(self.url, settings, ONEFLOW)

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

    def delete_template(self, template_id: int, delete_type: str = "none") -> None:
        """delete_type: none, templates (with the VM templates of its roles) or all (with the images of those too)."""
        self._request("DELETE", f"/service_template/{int(template_id)}", {"delete_type": delete_type})

    def clone_template(self, template_id: int, name: str, recursive: str) -> Document:
        """Clone with the VM templates of its roles ("templates"), or with their images too ("all").

        The document gets the name, its body keeps the old one.
        """
        action = {"perform": "clone", "params": {"name": name, "recursive": recursive}}
        return self._fetch("POST", f"/service_template/{int(template_id)}/action", {"action": action})

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

    def update_service(self, service_id: int, changes: dict[str, Any]) -> None:
        """Lay top-level keys over the body of a service; OneFlow refuses those that are fixed from its start."""
        body = {"append": True, "template": json.dumps(changes)}
        self._request("PUT", f"/service/{int(service_id)}", body)

    def replace_service(self, service_id: int, body: dict[str, Any]) -> None:
        """Replace the body of a service; OneFlow refuses one whose fixed parts are not those that are stored."""
        self._request("PUT", f"/service/{int(service_id)}", body)

    def role_action(self, service_id: int, role: str, perform: str) -> None:
        """Schedule an action (resume, poweroff, …) on every VM of a role for now. A refusal is only logged."""
        # OneFlow fails on params that are missing or null.
        self._action(f"/service/{int(service_id)}/role/{role}/action", perform, {"period": 0, "number": 0})

    def add_role(self, service_id: int, role: dict[str, Any]) -> None:
        """Add a role, in the keys of 7.x, to a service that is RUNNING."""
        path = f"/service/{int(service_id)}/role_action"
        self._request("POST", path, {"action": {"perform": "add_role", "params": {"role": role}}})

    def remove_role(self, service_id: int, role: str) -> None:
        """Remove a role and its VMs from a service that is RUNNING."""
        path = f"/service/{int(service_id)}/role_action"
        self._request("POST", path, {"action": {"perform": "remove_role", "params": {"role": role}}})

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
        if not _is_document(document):
            raise self._not_oneflow(f"{method} {path}", "it is empty" if answer is None else json.dumps(answer))
        return dict(document)

    def _request(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """The decoded JSON answer, or None where there is none."""
        call = f"{method} {path}"
        self.calls += 1
        content = None if body is None else json.dumps(body).encode("utf-8")
        reads = method == "GET"
        answer = self._transport.send(call, method, path, content, self._headers, reads=reads)
        if answer.status >= 400:
            # Loaded for refusals only.
            from .access import explained

            raise explained(_failure(call, self.url, answer.status, answer.text), self.username)
        if not answer.text.strip():
            return None
        try:
            return json.loads(answer.text)
        except ValueError:
            raise self._not_oneflow(call, answer.text) from None

    def _not_oneflow(self, call: str, answer: str) -> OneConnectionError:
        unsure = "" if call.startswith("GET ") else f"; {UNKNOWN_OUTCOME}"
        return OneConnectionError(
            f"the answer is not one of OneFlow ({_short(answer)})",
            method=call,
            endpoint=self.url,
            hint=f"check oneflow_url{unsure}",
        )

    def _pool(self, path: str) -> list[Document]:
        """The documents of a pool; OneFlow leaves the key DOCUMENT out where there is none."""
        answer = self._request("GET", path)
        pool = answer.get("DOCUMENT_POOL") if isinstance(answer, dict) else answer
        documents = pool.get("DOCUMENT", []) if isinstance(pool, dict) else pool
        if isinstance(documents, dict):
            documents = [documents]
        if isinstance(documents, list):
            found = [item.get("DOCUMENT", item) if isinstance(item, dict) else item for item in documents]
            if all(map(_is_document, found)):
                return found
        raise self._not_oneflow(f"GET {path}", json.dumps(answer))


def _is_document(found: Any) -> TypeGuard[Document]:
    """Whether it has an id, which every document has."""
    return isinstance(found, dict) and str(found.get("ID")).isdigit()


def _short(text: str) -> str:
    """A one-line excerpt of an answer, without mark-up."""
    # Loaded for errors only.
    from html import unescape

    plain = " ".join(unescape(_TAGS.sub(" ", text)).split())
    return plain if len(plain) <= 300 else f"{plain[:300]}…"


def _failure(call: str, endpoint: str, status: int, text: str) -> OneError:
    """The exception for an answer that is an error."""
    message = _message(text) or f"HTTP {status} without an explanation"
    where: dict[str, Any] = {"code": status, "method": call, "endpoint": endpoint}
    if status in _OTHER_SERVER and text.lstrip().startswith("<") and "Sinatra" not in message:
        # Taken for OneFlow, a 404 would seem to say that the object is gone.
        return OneConnectionError(
            f"the answer is not one of OneFlow (HTTP {status} {responses[status]})",
            hint="check oneflow_url (the port of OneFlow is 2474 unless it was changed, and 2633 is that of oned)",
            **where,
        )
    # Sinatra says 401 for a missing or wrong password. For errors of oned OneFlow has 401 and 403 the wrong way round:
    # 401 where a right is missing, 403 where the user is unknown. What the text says counts more than the number.
    said = message.lower()
    if any(known in said for known in _LOGIN_TEXTS):
        return OneAuthenticationError(message, **where)
    if status == 401 or "not authorized to perform" in said:
        return OneAuthorizationError(message, **where)
    if status == 403:
        return OneAuthenticationError(message, **where)
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
