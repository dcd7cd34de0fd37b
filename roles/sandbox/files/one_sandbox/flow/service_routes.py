# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes under /service and /service_pool."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..oned.core import Oned
from ..oned.records import Session
from ..rest import Handler, Request, Response
from .documents import SERVICE, Documents
from .errors import BAD_REQUEST, FlowError, Uncaught
from .lifecycle import Lifecycle
from .ruby import JsonError, load_json, pretty, to_int
from .states import SCHEDULE_ACTIONS
from .templates import validated
from .validator import ValidationError, check_role

Route = Callable[[Request, Session], Response]
_ACTION_PERIOD, _ACTION_NUMBER = 60, 1
OK = Response(204, "", None)


class ServiceRoutes:
    """Handlers; `table` names them by route."""

    def __init__(self, oned: Oned, lifecycle: Lifecycle) -> None:
        self._documents = Documents(oned)
        self._lifecycle = lifecycle

    def table(self, wrap: Callable[[Route], Handler]) -> dict[str, Handler]:
        """Every route, each handler wrapped so that it gets a session."""
        routes: dict[str, Route] = {
            "GET /service": self.listing,
            "GET /service/:id": self.show,
            "DELETE /service/:id": self.delete,
            "PUT /service/:id": self.update,
            "POST /service/:id/action": self.action,
            "POST /service/:id/scale": self.scale,
            "POST /service/:id/role_action": self.role_action,
            "POST /service/:id/role/:role_name/action": self.schedule_on_role,
            "DELETE /service/:id/sched_action/:sched_id": self.unschedule,
            "DELETE /service/:id/role/:role_name/sched_action/:sched_id": self.unschedule,
            "POST /service_pool/purge_done": self.purge,
        }
        return {name: wrap(route) for name, route in routes.items()}

    def listing(self, request: Request, session: Session) -> Response:
        return Response(200, pool_json(self._documents, session, SERVICE))

    def show(self, request: Request, session: Session) -> Response:
        return Response(200, pretty(self._documents.read(session, request.params["id"], SERVICE).as_json()))

    def delete(self, request: Request, session: Session) -> Response:
        self._lifecycle.undeploy(session, request.params["id"])
        return OK

    def update(self, request: Request, session: Session) -> Response:
        text, append = request.body, False
        try:
            body = load_json(text)
            if "append" in body:
                if "template" not in body:
                    raise FlowError("Missing template to append", BAD_REQUEST)
                append, text = bool(body["append"]), body["template"]
                if not isinstance(text, str):
                    raise Uncaught("no implicit conversion of Hash into String")
                body = load_json(text)
        except JsonError as error:
            raise FlowError(str(error), BAD_REQUEST) from None
        if not append:
            validated(body)
        self._lifecycle.update(session, request.params["id"], text, append)
        return OK

    def scale(self, request: Request, session: Session) -> Response:
        body = self._lifecycle.parse(request.body)
        target = to_int(body.get("cardinality"))
        self._lifecycle.scale(session, request.params["id"], body.get("role_name"), target, body.get("force"))
        return OK

    def action(self, request: Request, session: Session) -> Response:
        perform, params = read_action(self._lifecycle, request)
        service_id, lifecycle = request.params["id"], self._lifecycle
        given = params or {}
        if perform == "recover":
            lifecycle.recover(session, service_id, bool(given.get("delete")))
        elif perform == "chown":
            uid = _required(given, "owner_id", perform, "a UID")
            lifecycle.chown(session, service_id, to_int(uid), to_int(given.get("group_id", -1)))
        elif perform == "chgrp":
            lifecycle.chown(session, service_id, -1, to_int(_required(given, "group_id", perform, "a GID")))
        elif perform == "chmod":
            lifecycle.chmod(session, service_id, _required(given, "octet", perform, "an OCTET"))
        elif perform == "rename":
            lifecycle.rename(session, service_id, str(_required(given, "name", perform, "a name")))
        elif perform == "release":
            lifecycle.release(session, service_id)
        elif perform in SCHEDULE_ACTIONS:
            lifecycle.schedule(session, service_id, None, perform, *_schedule(params))
        else:
            raise FlowError(f"Action {perform} not supported")
        return OK

    def schedule_on_role(self, request: Request, session: Session) -> Response:
        perform, params = read_action(self._lifecycle, request)
        service_id, role = request.params["id"], request.params["role_name"]
        self._lifecycle.schedule(session, service_id, role, perform, *_schedule(params))
        return OK

    def unschedule(self, request: Request, session: Session) -> Response:
        action_id = request.params["sched_id"]
        if not action_id.isdecimal():
            raise FlowError("Sched action ID must be an integer number", BAD_REQUEST)
        self._lifecycle.unschedule(session, request.params["id"], request.params.get("role_name"), action_id)
        return OK

    def role_action(self, request: Request, session: Session) -> Response:
        perform, params = read_action(self._lifecycle, request)
        if params is None:
            raise _no_hash()
        if perform == "add_role":
            self._lifecycle.add_role(session, request.params["id"], _checked_role(params.get("role")))
        elif perform == "remove_role":
            self._lifecycle.remove_role(session, request.params["id"], params.get("role"))
        else:
            raise FlowError(f"Action {perform} not supported")
        return OK

    def purge(self, request: Request, session: Session) -> Response:
        self._lifecycle.purge_done(session)
        return OK


def pool_json(documents: Documents, session: Session, kind: int) -> str:
    """All documents of a type; without any, the pool has no DOCUMENT key."""
    items = [document.as_json()["DOCUMENT"] for document in documents.pool(session, kind)]
    return pretty({"DOCUMENT_POOL": {"DOCUMENT": items} if items else {}})


def read_action(lifecycle: Lifecycle, request: Request) -> tuple[str, dict[str, object] | None]:
    """`perform` and `params` of {"action": {…}}. Raises Uncaught for anything else, as the server does."""
    body = lifecycle.parse(request.body)
    action = body.get("action") if isinstance(body, dict) else None
    if not isinstance(action, dict):
        raise _no_hash()
    return str(action.get("perform", "")), action.get("params")


def _no_hash() -> Uncaught:
    return Uncaught("undefined method `[]' for nil:NilClass")


def _required(params: dict[str, Any], key: str, perform: str, what: str) -> Any:
    if params.get(key) is None:
        raise FlowError(f"Action {perform}: You have to specify {what}")
    return params[key]


def _schedule(params: dict[str, Any] | None) -> tuple[Any, Any, Any]:
    if params is None:
        raise _no_hash()
    period, number = params.get("period"), params.get("number")
    return (
        _ACTION_PERIOD if period is None else period, _ACTION_NUMBER if number is None else number, params.get("args"),
    )  # fmt: skip


def _checked_role(role: Any) -> dict[str, Any]:
    try:
        template: dict[str, Any] = role if isinstance(role, dict) else load_json(str(role))
        check_role(template)
    except (JsonError, ValidationError) as error:
        raise FlowError(str(error), BAD_REQUEST) from None
    return template
