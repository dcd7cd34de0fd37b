# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A OneGate with one service, on a real socket. Answers have the shape recorded from OpenNebula 7.4."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

# What survives the server's own quoting; anything else is broken by it, so it counts as a fault of the client.
LINE = re.compile(r'^([A-Z][A-Z0-9_]*)=([^,\[\]"\\\x00-\x1f]+)$')


class FakeOneGate:
    """`vms`: id -> (role, attributes). `cards`: id -> network cards. `requests` lists "METHOD path by vm".

    `fail` holds statuses to answer first. `locked`: VMs that nobody may write to.

    While `down` is set every request is answered with 502, as by a proxy whose server is gone.
    """

    def __init__(self, host: str = "127.0.0.1", port: int = 0) -> None:
        self.vms: dict[str, tuple[str, dict[str, str]]] = {}
        self.cards: dict[str, list[dict[str, str]]] = {}
        self.requests: list[str] = []
        self.fail: list[int] = []
        self.locked: set[str] = set()
        self.down = False
        fake = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self._answer("GET", "")

            def do_PUT(self) -> None:
                self._answer("PUT", self.rfile.read(int(self.headers["Content-Length"])).decode())

            def _answer(self, method: str, body: str) -> None:
                vm_id = self.headers.get("X-ONEGATE-VMID", "")
                status, text = fake.handle(method, self.path, vm_id, self.headers.get("X-ONEGATE-TOKEN", ""), body)
                self.send_response(status)
                self.end_headers()
                self.wfile.write(text.encode())

        self._server = ThreadingHTTPServer((host, port), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def endpoint(self) -> str:
        """Address for ONEGATE_ENDPOINT."""
        host, port = self._server.server_address[:2]
        return f"http://{host!s}:{port}"

    def add(self, vm_id: str, role: str, **attributes: str) -> None:
        """A VM of the service; its token is `token-<id>`."""
        self.vms[vm_id] = (role, {"ROLE_NAME": role, "SERVICE_ID": "7", **attributes})

    def of(self, vm_id: str) -> dict[str, str]:
        """User template of a VM."""
        return self.vms[vm_id][1]

    def writes(self) -> list[str]:
        """Requests that write."""
        return [line for line in self.requests if line.startswith("PUT")]

    def stop(self) -> None:
        """Free the port."""
        self._server.shutdown()
        self._server.server_close()

    def handle(self, method: str, path: str, vm_id: str, token: str, body: str) -> tuple[int, str]:
        """Status and body of one request."""
        self.requests.append(f"{method} {path} by {vm_id}")
        if self.down:
            return 502, "Bad gateway"
        if self.fail:
            return self.fail.pop(0), "Internal server error"
        if vm_id not in self.vms or token != f"token-{vm_id}":
            return 401, "Not authorized"
        plain, _separator, query = path.partition("?")
        if method == "GET" and plain == "/vm":
            return 200, json.dumps({"VM": self._vm(vm_id)})
        if method == "GET" and plain == "/service":
            return 200, json.dumps({"SERVICE": self._service(query == "extended=true")})
        target = vm_id if plain == "/vm" else plain.removeprefix("/vms/")
        if method == "PUT" and target in self.locked:
            return 403, "The object is locked"
        if method == "PUT" and target in self.vms:
            return self._update(target, query, body)
        return 400, "OneGate server doesn't support this feature"

    def _update(self, vm_id: str, query: str, body: str) -> tuple[int, str]:
        attributes = self.of(vm_id)
        if query == "type=2":
            return (200, "") if attributes.pop(body.strip(), None) is not None else (500, "Internal server error")
        for line in body.split("\n"):
            match = LINE.match(line)
            if match is None:
                return 500, "Internal server error"
            attributes[match.group(1)] = match.group(2)
        return 200, ""

    def _vm(self, vm_id: str) -> dict[str, Any]:
        head = {"NAME": f"vm-{vm_id}", "ID": vm_id, "STATE": "3", "LCM_STATE": "3", "USER_TEMPLATE": self.of(vm_id)}
        return {**head, "TEMPLATE": {"NIC": self.cards.get(vm_id, []), "NIC_ALIAS": []}}

    def _service(self, extended: bool) -> dict[str, Any]:
        roles: dict[str, dict[str, Any]] = {}
        for vm_id, (name, _rest) in self.vms.items():
            role = roles.setdefault(name, {"name": name, "cardinality": 0, "state": 2, "nodes": []})
            role["cardinality"] += 1
            vm = self._vm(vm_id) if extended else {"ID": vm_id, "NAME": f"vm-{vm_id}"}
            role["nodes"].append({"deploy_id": int(vm_id), "running": None, "vm_info": {"VM": vm}})
        return {"name": "fed", "id": "7", "state": 2, "roles": list(roles.values())}
