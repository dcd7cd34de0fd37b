# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Routes under /service_template."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..oned.core import Oned
from ..oned.errors import OnedError
from ..oned.records import Session
from ..rest import Handler, Request, Response
from .documents import SERVICE, SERVICE_TEMPLATE, Documents
from .errors import FlowError
from .instantiate import new_service
from .lifecycle import Lifecycle
from .ruby import JsonError, load_json, pretty, to_int
from .service_routes import OK, Route, pool_json, read_action
from .templates import Templates


class TemplateRoutes:
    """Handlers; `table` names them by route."""

    def __init__(self, oned: Oned, lifecycle: Lifecycle) -> None:
        self._oned = oned
        self._documents = Documents(oned)
        self._templates = Templates(oned)
        self._lifecycle = lifecycle

    def table(self, wrap: Callable[[Route], Handler]) -> dict[str, Handler]:
        """Every route, each handler wrapped so that it gets a session."""
        routes: dict[str, Route] = {
            "GET /service_template": self.listing,
            "GET /service_template/:id": self.show,
            "DELETE /service_template/:id": self.delete,
            "PUT /service_template/:id": self.update,
            "POST /service_template": self.create,
            "POST /service_template/:id/action": self.action,
        }
        return {name: wrap(route) for name, route in routes.items()}

    def listing(self, request: Request, session: Session) -> Response:
        return Response(200, pool_json(self._documents, session, SERVICE_TEMPLATE))

    def show(self, request: Request, session: Session) -> Response:
        return Response(200, pretty(self._templates.read(session, request.params["id"]).as_json()))

    def create(self, request: Request, session: Session) -> Response:
        return Response(201, pretty(self._templates.create(session, request.body).as_json()))

    def update(self, request: Request, session: Session) -> Response:
        document = self._templates.update(session, request.params["id"], request.body)
        return Response(200, pretty(document.as_json()))

    def delete(self, request: Request, session: Session) -> Response:
        try:
            delete_type = load_json(request.body).get("delete_type", "none")
        except (JsonError, AttributeError):
            delete_type = "none"
        self._templates.delete(session, request.params["id"], delete_type)
        return OK

    def action(self, request: Request, session: Session) -> Response:
        perform, params = read_action(self._lifecycle, request)
        given: dict[str, Any] = params or {}
        if perform == "instantiate":
            return self._instantiate(session, request.params["id"], given.get("merge_template"))
        if perform == "clone":
            new = self._templates.clone(session, request.params["id"], given.get("name"), given.get("recursive"))
            return Response(201, pretty(new.as_json()))
        if perform == "update":
            return self._update(session, request.params["id"], given)
        return self._swallowing(session, request.params["id"], perform, given)

    def _instantiate(self, session: Session, template_id: str, merge: Any) -> Response:
        template = self._templates.read(session, template_id)
        body = new_service(template.body, merge)
        service = self._documents.create(session, SERVICE, body)
        self._lifecycle.deploy(session, service.id)
        return Response(201, pretty(service.as_json()))

    def _update(self, session: Session, template_id: str, params: dict[str, Any]) -> Response:
        if not params.get("template_json"):
            return Response(200)
        try:
            self._templates.update(session, template_id, str(params["template_json"]), params.get("append") is True)
        except FlowError as error:
            if error.status == 400:
                raise
        except OnedError:
            return OK
        return OK

    def _swallowing(self, session: Session, template_id: str, perform: str, params: dict[str, Any]) -> Response:
        """chown, chgrp, chmod, rename answer 204 whether they worked or not; unknown actions 200."""
        try:
            if perform == "chown" and params.get("owner_id") is not None:
                # Without group_id the server passes 0, not "keep".
                self._templates.chown(session, template_id, to_int(params["owner_id"]), to_int(params.get("group_id")))
            elif perform == "chgrp" and params.get("group_id") is not None:
                self._templates.chown(session, template_id, -1, to_int(params["group_id"]))
            elif perform == "chmod" and params.get("octet") is not None:
                self._templates.chmod(session, template_id, params["octet"])
            elif perform == "rename":
                self._templates.rename(session, template_id, params.get("name"))
            else:
                return Response(200)
        except (OnedError, FlowError):
            return OK
        return OK
