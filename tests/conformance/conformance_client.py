# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the conformance tests talk to a cloud with, and the objects they make on it."""

from __future__ import annotations

import base64
import contextlib
import itertools
import json
import os
import time
import uuid
import xmlrpc.client
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

import requests
from cryptography.hazmat.primitives import padding
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes

from .journal import JOURNAL, route

VM_WAIT = 30.0
"""Seconds that a VM, an image or a service step may take on any endpoint."""
RUNNING = ("3", "3")
_UNDO_FAILURES = (AssertionError, ValueError, xmlrpc.client.Error, requests.RequestException, OSError)


@dataclass
class Answer:
    """An HTTP answer. type: the Content-Type header, None without one."""

    status: int
    type: str | None
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def body(self) -> dict[str, Any]:
        """BODY of a OneFlow document."""
        found: dict[str, Any] = self.json["DOCUMENT"]["TEMPLATE"]["BODY"]
        return found

    @property
    def id(self) -> int:
        return int(self.json["DOCUMENT"]["ID"])


@dataclass
class Cloud:
    """One endpoint under test. tokens: gives the OneGate token of a VM id; None derives it as OpenNebula does."""

    url: str
    oneflow: str
    onegate: str
    username: str
    password: str
    tokens: Callable[[int], str] | None = None
    prefix: str = field(default_factory=lambda: f"conf-{uuid.uuid4().hex[:6]}")
    _numbers: Iterator[int] = field(default_factory=itertools.count)
    _undo: list[Callable[[], Any]] = field(default_factory=list)

    def fresh(self) -> Cloud:
        """The same endpoint, with objects of its own."""
        return Cloud(self.url, self.oneflow, self.onegate, self.username, self.password, self.tokens)

    def name(self) -> str:
        """A name that nothing else has."""
        return f"{self.prefix}-{next(self._numbers)}"

    # -- XML-RPC -------------------------------------------------------------------------------------------------

    @property
    def session(self) -> str:
        return f"{self.username}:{self.password}"

    def raw(self, method: str, *args: Any, session: str | None = None) -> Any:
        """The whole answer. Raises xmlrpc.client.Fault."""
        JOURNAL.note(method)
        with xmlrpc.client.ServerProxy(self.url, allow_none=True) as server:
            answer = getattr(server, method)(self.session if session is None else session, *args)
        if isinstance(answer, list) and answer[:1] == [True]:
            JOURNAL.succeeded(method)
        return answer

    def ok(self, method: str, *args: Any, session: str | None = None) -> Any:
        """The value of a success."""
        answer = self.raw(method, *args, session=session)
        assert answer[0] is True, f"{method}{args} answered {answer}"
        assert answer[2] == 0
        return answer[1]

    def error(self, method: str, *args: Any, session: str | None = None) -> tuple[int, str]:
        """Code and message (without "[method] ", which must be in front) of a failure."""
        answer = self.raw(method, *args, session=session)
        assert answer[0] is False, f"{method}{args} answered {answer}"
        assert len(answer) == 5
        mark = f"[{method}] "
        assert answer[1].startswith(mark), answer[1]
        return answer[2], answer[1][len(mark) :]

    def xml(self, method: str, *args: Any, session: str | None = None) -> ElementTree.Element:
        """The value of a success, parsed."""
        return ElementTree.fromstring(self.ok(method, *args, session=session))

    # -- REST ----------------------------------------------------------------------------------------------------

    def flow(self, method: str, path: str, body: Any = None, auth: tuple[str, str] | None = ("", "")) -> Answer:
        """A OneFlow request. body: text as it is, anything else as JSON. auth None sends none."""
        credentials = (self.username, self.password) if auth == ("", "") else auth
        return _request(route("OneFlow", method, path, body), method, self.oneflow + path, body, auth=credentials)

    def perform(self, path: str, action: str, params: dict[str, Any] | None = None) -> Answer:
        """POST …/action."""
        return self.flow("POST", f"{path}/action", {"action": {"perform": action, "params": params or {}}})

    def gate(self, method: str, path: str, vm_id: int | None, body: Any = None, token: str | None = None) -> Answer:
        """A OneGate request in the name of a VM; None sends no headers."""
        headers = {}
        if vm_id is not None:
            headers = {"X-ONEGATE-TOKEN": token or self.token(vm_id), "X-ONEGATE-VMID": str(vm_id)}
        return _request(route("OneGate", method, path, body), method, self.onegate + path, body, headers=headers)

    def token(self, vm_id: int) -> str:
        if self.tokens is not None:
            return self.tokens(vm_id)
        vm = self.xml("one.vm.info", vm_id)
        user = self.xml("one.user.info", int(vm.findtext("UID") or 0))
        key = (user.findtext("TEMPLATE/TOKEN_PASSWORD") or "").encode()[:32]
        padder = padding.PKCS7(128).padder()
        text = padder.update(f"{vm_id}:{vm.findtext('STIME')}".encode()) + padder.finalize()
        encryptor = Cipher(algorithms.AES(key), modes.CBC(bytes(16))).encryptor()
        return base64.b64encode(encryptor.update(text) + encryptor.finalize()).decode()

    # -- objects of the tests ------------------------------------------------------------------------------------

    def undo(self, step: Callable[[], Any]) -> None:
        """Run `step` at the end; failures of it do not count (the object may be gone already)."""
        self._undo.append(step)

    def clean(self) -> None:
        """Undo everything, the last first."""
        while self._undo:
            with contextlib.suppress(*_UNDO_FAILURES):
                self._undo.pop()()

    def image(self, text: str = "", session: str | None = None) -> int:
        """An empty datablock, READY."""
        template = f'NAME="{self.name()}"\nTYPE="DATABLOCK"\nSIZE="8"\n{text}'
        image_id: int = self.ok("one.image.allocate", template, 1, session=session)
        self.undo(lambda: self.ok("one.image.delete", image_id))
        self.wait_image(image_id, "1")
        return image_id

    def wait_image(self, image_id: int, state: str) -> None:
        self.until(
            lambda: self.xml("one.image.info", image_id).findtext("STATE") == state, f"image {image_id} in {state}"
        )

    def template(self, text: str = "", session: str | None = None) -> int:
        """A VM template that is scheduled on the tests' own host."""
        base = f'NAME="{self.name()}"\nCPU="0.1"\nMEMORY="64"\n'
        template_id: int = self.ok("one.template.allocate", base + text, session=session)
        self.undo(lambda: self.ok("one.template.delete", template_id))
        return template_id

    def instantiate(self, template_id: int, extra: str = "", hold: bool = False) -> int:
        vm_id: int = self.ok("one.template.instantiate", template_id, self.name(), hold, extra, False)
        self.undo(lambda: self.end(vm_id))
        return vm_id

    def vm_state(self, vm_id: int) -> tuple[str, str]:
        vm = self.xml("one.vm.info", vm_id)
        return vm.findtext("STATE") or "", vm.findtext("LCM_STATE") or ""

    def wait_vm(self, vm_id: int, *states: tuple[str, str]) -> None:
        self.until(lambda: self.vm_state(vm_id) in states, f"VM {vm_id} in {states}")

    def end(self, vm_id: int) -> None:
        """Terminate a VM, whatever it does now, and wait for its end."""
        if self.vm_state(vm_id)[0] != "6" and self.raw("one.vm.action", "terminate-hard", vm_id)[0] is not True:
            self.ok("one.vm.recover", vm_id, 3)
        self.wait_vm(vm_id, ("6", "0"))

    def service_template(self, body: dict[str, Any]) -> int:
        answer = self.flow("POST", "/service_template", body)
        assert answer.status == 201, answer
        self.undo(lambda: self.flow("DELETE", f"/service_template/{answer.id}"))
        return answer.id

    def service(self, template_id: int, merge: dict[str, Any] | None = None) -> int:
        answer = self.perform(f"/service_template/{template_id}", "instantiate", {"merge_template": merge or {}})
        assert answer.status == 201, answer
        service_id = answer.id
        self.undo(lambda: self.end_service(service_id))
        return service_id

    def service_body(self, service_id: int) -> dict[str, Any]:
        answer = self.flow("GET", f"/service/{service_id}")
        assert answer.status == 200, answer
        return answer.body

    def wait_service(self, service_id: int, state: int) -> dict[str, Any]:
        """BODY of the service once it is in that state."""
        self.until(lambda: self.service_body(service_id)["state"] == state, f"service {service_id} in state {state}")
        return self.service_body(service_id)

    def wait_gone(self, service_id: int) -> None:
        self.until(lambda: self.flow("GET", f"/service/{service_id}").status == 404, f"service {service_id} gone")

    def end_service(self, service_id: int) -> None:
        """Delete a service, whatever state it is in, with all its VMs."""
        answer = self.flow("GET", f"/service/{service_id}")
        if answer.status == 404:
            return
        nodes = [node["deploy_id"] for role in answer.body["roles"] for node in role.get("nodes", [])]
        if self.flow("DELETE", f"/service/{service_id}").status != 204:
            self.perform(f"/service/{service_id}", "recover", {"delete": True})
        self.wait_gone(service_id)
        for vm_id in nodes:
            self.end(vm_id)

    @staticmethod
    def until(reached: Callable[[], bool], what: str, seconds: float = VM_WAIT) -> None:
        """Poll until it is so. Raises AssertionError after `seconds`."""
        deadline = time.monotonic() + seconds
        pause = 0.03
        while not reached():
            assert time.monotonic() < deadline, f"after {seconds:.0f} s still not: {what}"
            time.sleep(pause)
            pause = min(pause * 1.3, 0.3)


def _request(call: str, method: str, url: str, body: Any, **options: Any) -> Answer:
    JOURNAL.note(call)
    data = body.encode() if isinstance(body, str) else json.dumps(body).encode() if body is not None else None
    answer = requests.request(method, url, data=data, timeout=60, **options)
    answer.encoding = "utf-8"
    if answer.ok:
        JOURNAL.succeeded(call)
    return Answer(answer.status_code, answer.headers.get("Content-Type"), answer.text)


def from_environment() -> Cloud | None:
    """The endpoint that ONE_URL and its companions name; None without ONE_URL."""
    url = os.environ.get("ONE_URL")
    if not url:
        return None
    flow = os.environ.get("ONEFLOW_URL", "http://127.0.0.1:2474").rstrip("/")
    gate = os.environ.get("ONEGATE_URL", "http://127.0.0.1:5030").rstrip("/")
    return Cloud(url, flow, gate, os.environ["ONE_USERNAME"], os.environ["ONE_PASSWORD"], _sandbox_tokens())


def _sandbox_tokens() -> Callable[[int], str] | None:
    """A sandbox in another process signs its tokens with a secret of its home, which ONE_SANDBOX_HOME names."""
    home = os.environ.get("ONE_SANDBOX_HOME")
    if not home:
        return None
    from pathlib import Path

    from one_sandbox.oned.store import Store
    from one_sandbox.oned.tokens import Tokens

    store = Store(Path(home) / "one.db")
    try:
        tokens: Callable[[int], str] = Tokens(store.meta()["secret"]).issue
        return tokens
    finally:
        store.close()
