# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneGate's REST interface."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

from ..faults import Faults
from ..flow.documents import SERVICE, Documents
from ..flow.errors import FlowError, Uncaught
from ..flow.lifecycle import Lifecycle
from ..flow.ruby import compact, to_int, xml_to_hash
from ..oned.core import Oned
from ..oned.errors import OnedError, RpcFault
from ..oned.records import Session
from ..oned.template import render
from ..rest import Handler, Request, Response, RestServer, Routes
from .actions import perform
from .attributes import quoted, refuse_restricted
from .errors import GateError
from .views import service_view, vm_view

_JSON = "application/json;charset=utf-8"
_MERGE, _REPLACE = 1, 0


@dataclass
class _Caller:
    """The VM that asks, and a session of its owner, with whose rights everything happens."""

    vm: dict[str, Any]
    session: Session

    @property
    def id(self) -> int:
        return int(self.vm["ID"])

    @property
    def service_id(self) -> str | None:
        user_template = self.vm.get("USER_TEMPLATE")
        value = user_template.get("SERVICE_ID") if isinstance(user_template, dict) else None
        return value if isinstance(value, str) else None


class GateServer:
    """OneGate on one or several addresses (loopback, and the bridge that VMs are on)."""

    def __init__(
        self, oned: Oned, lifecycle: Lifecycle, hosts: list[str], port: int, faults: Faults | None = None
    ) -> None:
        """lifecycle: OneFlow's, for scaling. port 0: a free one."""
        self._oned = oned
        self._lifecycle = lifecycle
        self._documents = Documents(oned)
        routes: dict[str, Callable[[Request, _Caller], Response]] = {
            "GET /": self._root,
            "GET /vm": self._show_self,
            "PUT /vm": self._update_self,
            "GET /service": self._service,
            "PUT /service/role/:role": self._scale,
            "GET /vms/:id": self._show,
            "PUT /vms/:id": self._update,
            "POST /vms/:id/action": self._action,
            "GET /vrouter": self._vrouter,
            "GET /vnet/:id": self._vnet,
        }
        self._routes = Routes({name: self._authenticated(route) for name, route in routes.items()})
        self._rest = RestServer(self.handle, hosts, port, "onegate", faults)
        self.port = self._rest.port
        self.url = self._rest.url

    def start(self) -> None:
        self._rest.start()

    def stop(self) -> None:
        self._rest.stop()

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        found = self._routes.find(request)
        if not found:
            return Response(400, "OneGate server doesn't support this feature", _JSON)
        self._oned.calls.count(found[0], write=request.method != "GET", gate=True)
        try:
            return found[1](request)
        except GateError as error:
            return Response(error.status, error.message, _JSON)
        except (OnedError, RpcFault):
            return Response(500, "Internal server error", _JSON)

    def _authenticated(self, route: Callable[[Request, _Caller], Response]) -> Handler:
        return lambda request: route(request, self._caller(request))

    def _caller(self, request: Request) -> _Caller:
        token, vm_id = request.headers.get("X-ONEGATE-TOKEN"), request.headers.get("X-ONEGATE-VMID")
        if not token or not vm_id or not self._oned.tokens.check(to_int(vm_id), token):
            raise GateError(401, "Not authorized")
        try:
            vm = xml_to_hash(self._oned.call(self._oned.session_for(0), "one.vm.info", to_int(vm_id)))["VM"]
            return _Caller(vm, self._oned.session_for(int(vm["UID"])))
        except OnedError:
            raise GateError(401, "Not authorized") from None

    # -- one's own VM --------------------------------------------------------------------------------------------

    def _root(self, request: Request, caller: _Caller) -> Response:
        base = f"http://{request.headers.get('Host') or ''}"
        return _json({"vm_info": f"{base}/vm", "service_info": f"{base}/service"})

    def _show_self(self, request: Request, caller: _Caller) -> Response:
        return _json(vm_view(caller.vm))

    def _update_self(self, request: Request, caller: _Caller) -> Response:
        return self._change(request, caller, caller.vm)

    # -- VMs of the same service ---------------------------------------------------------------------------------

    def _show(self, request: Request, caller: _Caller) -> Response:
        return _json(vm_view(self._requested(request, caller)))

    def _update(self, request: Request, caller: _Caller) -> Response:
        return self._change(request, caller, self._requested(request, caller))

    def _action(self, request: Request, caller: _Caller) -> Response:
        vm = self._requested(request, caller)
        perform(lambda method, *args: self._oned.call(caller.session, method, *args), int(vm["ID"]), request.body)
        return Response(204, "", None)

    def _requested(self, request: Request, caller: _Caller) -> dict[str, Any]:
        wanted = to_int(request.params["id"])
        if wanted == caller.id:
            return caller.vm
        if caller.service_id is None:
            raise GateError(
                400,
                "This VM does not belong to any Virtual Router or Service, so it cannot retrieve information "
                "from other VMs",
            )
        self._service_of(caller, wanted, extended=False)
        found: dict[str, Any] = self._vm(caller, wanted)["VM"]
        return found

    def _vm(self, caller: _Caller, vm_id: int) -> dict[str, Any]:
        try:
            return xml_to_hash(self._oned.call(caller.session, "one.vm.info", vm_id))
        except OnedError as error:
            raise GateError(404, error.message) from None

    def _change(self, request: Request, caller: _Caller, vm: dict[str, Any]) -> Response:
        form = parse_qs(request.body) if "form" in (request.headers.get("Content-Type") or "") else {}
        text = request.query.get("data") or form.get("data", [request.body])[0]
        merging = to_int(request.query.get("type", _MERGE)) == _MERGE
        text = quoted(text)
        refuse_restricted(text, "modified" if merging else "deleted")
        vm_id = int(vm["ID"])
        if merging:
            self._oned.call(caller.session, "one.vm.update", vm_id, text, _MERGE)
            return Response(200, "", _JSON)
        attributes = dict(vm.get("USER_TEMPLATE") or {})
        if text not in attributes:
            raise GateError(500)
        del attributes[text]
        self._oned.call(caller.session, "one.vm.update", vm_id, render(attributes), _REPLACE)
        return Response(200, "", _JSON)

    # -- the service ---------------------------------------------------------------------------------------------

    def _service(self, request: Request, caller: _Caller) -> Response:
        return _json(self._service_of(caller, caller.id, extended="extended" in request.query))

    def _service_of(self, caller: _Caller, vm_id: int, extended: bool) -> dict[str, Any]:
        """The caller's service, which must contain that VM. Raises GateError."""
        service_id = caller.service_id
        if service_id is None or not service_id.isdecimal():
            raise GateError(400, "Empty or invalid SERVICE_ID")
        try:
            document = self._documents.read(caller.session, service_id, SERVICE)
        except (OnedError, FlowError):
            raise GateError(404, f"Service {service_id} not found") from None
        if document.body.get("roles") is None:
            raise GateError(400, f"Service {service_id} is empty.")
        whole = (lambda node: self._vm(caller, node)) if extended else None
        view = service_view(document.header, document.body, whole)
        members = {node["deploy_id"] for role in view["SERVICE"]["roles"] for node in role["nodes"]}
        if vm_id not in members:
            raise GateError(400, f"Service {service_id} does not contain VM {vm_id}.")
        return view

    def _scale(self, request: Request, caller: _Caller) -> Response:
        self._service_of(caller, caller.id, extended=False)
        service_id, role = caller.service_id, request.params["role"]
        try:
            target = to_int(self._lifecycle.parse(request.body)["cardinality"])
        except Uncaught as error:
            raise GateError(500, error.reason) from None
        except (KeyError, TypeError):
            target = 0
        try:
            self._lifecycle.scale(caller.session, service_id, role, target, False)
        except (FlowError, OnedError):
            raise GateError(400, f"Error performing action on service {service_id} role {role}") from None
        return Response(200, "", _JSON)

    # -- virtual routers, which this cloud does not have ---------------------------------------------------------

    def _vrouter(self, request: Request, caller: _Caller) -> Response:
        raise GateError(400, "Empty or invalid VROUTER_ID")

    def _vnet(self, request: Request, caller: _Caller) -> Response:
        wanted = request.params["id"]
        if not wanted.lstrip("+-").isdecimal():
            raise GateError(400, f"Invalid id format (ID: {wanted}). ID must be an integer.")
        raise GateError(400, "Virtual networks information can only be retrieved from Virtual Routers.")


def _json(value: Any) -> Response:
    return Response(200, compact(value), _JSON)
