# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow's REST interface, quirks of the real one included."""

from __future__ import annotations

import base64
import html
from collections.abc import Callable

from ..faults import Faults
from ..oned.core import Oned
from ..oned.errors import OnedError, RpcFault
from ..oned.records import Session
from ..rest import Handler, Request, Response, RestServer, Routes
from .errors import FlowError, Uncaught, status_of
from .lifecycle import Lifecycle
from .ruby import compact
from .service_routes import ServiceRoutes
from .template_routes import TemplateRoutes

_NOT_FOUND = """<!DOCTYPE html>
<html>
<head>
  <style type="text/css">
  body { text-align:center;font-family:helvetica,arial;font-size:22px;
    color:#888;margin:20px}
  #c {margin:0 auto;width:500px;text-align:left}
  </style>
</head>
<body>
  <h2>Sinatra doesn\u2019t know this ditty.</h2>
  <img src='%(base)s/__sinatra__/404.png'>
  <div id="c">
    Try this:
    <pre>%(method)s '%(path)s' do
  &quot;Hello World&quot;
end
</pre>
  </div>
</body>
</html>
"""
AUTOSCALER_INTERVAL = 5.0


class FlowServer:
    """OneFlow: REST on one address, and the life cycle of services behind it.

    interval: seconds between two looks at the VMs of services. autoscaler_interval: between two evaluations of policies
    (the real server takes 90; a policy's own `period` counts besides).
    """

    def __init__(
        self,
        oned: Oned,
        host: str,
        port: int,
        interval: float,
        autoscaler_interval: float = AUTOSCALER_INTERVAL,
        faults: Faults | None = None,
    ) -> None:
        self._oned = oned
        self.lifecycle = Lifecycle(oned, interval, autoscaler_interval)
        services = ServiceRoutes(oned, self.lifecycle)
        templates = TemplateRoutes(oned, self.lifecycle)
        self._routes: Routes = Routes({**services.table(self._with_session), **templates.table(self._with_session)})
        self._rest = RestServer(self.handle, [host], port, "oneflow", faults)
        self.port = self._rest.port
        self.url = self._rest.url

    def start(self) -> None:
        self.lifecycle.start()
        self._rest.start()

    def stop(self) -> None:
        """Stop serving and watching; services and VMs stay as they are."""
        self._rest.stop()
        self.lifecycle.stop()

    def handle(self, request: Request) -> Response:
        """Answer one request."""
        found = self._routes.find(request)
        if found:
            self._oned.calls.count(found[0], write=request.method != "GET")
        try:
            self._session(request)
            if not found:
                return self._unknown(request)
            return found[1](request)
        except FlowError as error:
            return Response(error.status, error.message)
        except OnedError as error:
            return Response(status_of(error), error.message)
        except RpcFault as fault:
            return Response(500, fault.text)
        except Uncaught as error:
            return Response(500, compact({"message": "Internal server error", "reason": error.reason}))

    def _with_session(self, route: Callable[[Request, Session], Response]) -> Handler:
        return lambda request: route(request, self._session(request))

    def _session(self, request: Request) -> Session:
        scheme, _separator, value = (request.headers.get("Authorization") or "").partition(" ")
        if scheme.lower() != "basic":
            raise FlowError("A username and password must be provided", 401)
        try:
            credentials = base64.b64decode(value).decode()
            return Session(self._oned.authenticate(credentials))
        except (ValueError, OnedError):
            raise FlowError("Invalid credentials", 401) from None

    def _unknown(self, request: Request) -> Response:
        base = f"http://{request.headers.get('Host') or ''}"
        path = html.escape(request.path, quote=True).replace("/", "&#x2F;")
        page = _NOT_FOUND % {"base": base, "method": request.method.lower(), "path": path}
        return Response(404, page.replace(f"'{path}'", f"&#x27;{path}&#x27;"))
