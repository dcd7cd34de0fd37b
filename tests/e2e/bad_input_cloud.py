# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud of records in this process, an inventory for it, and playbooks called as a user calls them, with -vvv."""

from __future__ import annotations

import base64
import json
import shutil
import socket
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from one_sandbox import Sandbox

from .conftest import PLAIN_IMAGE, ROOT, Result, Walk

HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOnTheDummyNothingListens"


@dataclass
class Trial:
    """What came of one call: exit code, output, and the messages of the tasks that failed."""

    code: int
    output: str
    messages: list[str]
    recap: dict[str, dict[str, int]]

    @property
    def sentence(self) -> str:
        """The one sentence that a person gets; there must be exactly one, on one line."""
        assert self.code != 0
        assert len(self.messages) == 1, self.messages
        sentence = self.messages[0]
        assert "\n" not in sentence and len(sentence) < 700
        assert "Traceback" not in self.output
        return sentence

    @property
    def reached_the_nodes(self) -> bool:
        """Whether all went well up to the first login, which has no machine behind it here."""
        return (
            not self.messages
            and self.recap["localhost"]["failed"] == 0
            and any(host["unreachable"] for name, host in self.recap.items() if name != "localhost")
        )


class Cloud:
    """The sandbox, and playbooks against it. Every run's output is searched for secrets."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.password = sandbox.password
        self._walk = Walk(folder)
        self._secrets = {sandbox.password}
        self._write_inventory()

    def _write_inventory(self) -> None:
        variables = self.folder / "inventory/group_vars/all"
        variables.mkdir(parents=True)
        shutil.copy(ROOT / "inventories/sandbox/hosts.yml", self.folder / "inventory")
        shutil.copy(ROOT / "inventories/sandbox/group_vars/all.yml", variables / "10-sandbox.yml")
        values = {
            "sandbox_home": str(self.sandbox.home.path),
            "federation_api_url": self.sandbox.endpoints.xmlrpc,
            "federation_oneflow_url": self.sandbox.endpoints.oneflow,
            "federation_state_dir": str(self.folder / "state/{{ federation_name }}"),
            "federation_delivery": "push",
            "federation_image_path": PLAIN_IMAGE,
            "federation_wait_timeout": 30,
            # There is no machine behind a VM: a login must fail at once instead of waiting for an answer.
            "federation_ssh_args": "-o ProxyCommand=false",
        }
        (variables / "20-test.yml").write_text(json.dumps(values), encoding="utf-8")

    def play(self, name: str, *, password: str | None = None, **extra: Any) -> Trial:
        """Run a playbook of the collection with -vvv. password: one to use instead of the right one."""
        special = self.folder / "inventory/group_vars/all/30-password.yml"
        special.unlink(missing_ok=True)
        if password is not None:
            # In a file as a user has it: what is said on the command line cannot be kept out of the output.
            special.write_text(json.dumps({"federation_api_password": password}), encoding="utf-8")
            self._secrets.add(password)
        # Nothing would answer a second attempt to log in either.
        result = self._walk.playbook(name, "-vvv", ansible_ssh_retries=0, **extra)
        for secret in [*self._secrets, *self._private_keys()]:
            assert secret not in result.output, "a secret is in the output"
        return Trial(result.code, result.output, list(failed_messages(result)), result.recap)

    def hide(self, secret: str) -> str:
        """Let the output of runs be searched for one more secret."""
        self._secrets.add(secret)
        return secret

    def _private_keys(self) -> list[str]:
        """A line from the middle of each private key that was made."""
        keys = self.folder.glob("state/*/id_ed25519")
        return [key.read_text(encoding="utf-8").splitlines()[2] for key in keys]

    def objects(self, name: str) -> dict[str, list[int]]:
        """Ids of what the cloud has under a federation's name, by kind: image, template, document (OneFlow's)."""
        found: dict[str, list[int]] = {}
        for kind in ("image", "template", "document"):
            for record in self.sandbox.oned.pools[kind].values():
                if record.name == name or record.name.startswith(f"{name}-"):
                    found.setdefault(kind, []).append(record.oid)
        return found

    def call(self, method: str, *arguments: Any) -> Any:
        """One call as oneadmin, past the counter of calls."""
        return self.sandbox.oned.call(self.sandbox.oned.session_for(0), method, *arguments)

    def flow(self, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """POST to OneFlow as oneadmin, GET without a body; the document in the answer."""
        token = base64.b64encode(f"{self.sandbox.username}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            self.sandbox.endpoints.oneflow + path,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Basic {token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=10) as answer:
            return dict(json.loads(answer.read())["DOCUMENT"])

    def wait_for(self, holds: Callable[[], bool]) -> None:
        """Until something holds on the cloud, 10 s at most."""
        deadline = time.monotonic() + 10
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.1)

    @contextmanager
    def booting(self) -> Iterator[None]:
        """While this lasts, VMs that run tell their host key, as the start script does in a real one."""
        stop = threading.Event()

        def publish() -> None:
            while not stop.wait(0.1):
                for vm in list(self.sandbox.oned.pools["vm"].values()):
                    body = self.call("one.vm.info", vm.oid)
                    if "<LCM_STATE>3<" in body and "FL_SSH_HOST_KEY" not in body:
                        self.call("one.vm.update", vm.oid, f'FL_SSH_HOST_KEY="{HOST_KEY}"', 1)

        thread = threading.Thread(target=publish)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def failed_messages(result: Result) -> Iterator[str]:
    """The `msg` of every task result that the output shows as failed."""
    decoder = json.JSONDecoder()
    for start in ("fatal: [", "failed: ["):
        for part in result.output.split(f"\n{start}")[1:]:
            if "UNREACHABLE!" in part.split("\n", 1)[0]:
                continue
            yield decoder.raw_decode(part[part.index("=> ") + 3 :])[0]["msg"]


def free_ports(number: int) -> list[int]:
    """TCP ports that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _turn in range(number)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
