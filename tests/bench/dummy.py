# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud without machines, in a process of its own: what two clients are compared on."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
import time
import urllib.request
import xmlrpc.client
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .place import ROOT
from .play import BenchError

START_S = 30.0
SETTLE_S = 300.0
RUNNING = "<LCM_STATE>3</LCM_STATE>"


@dataclass(frozen=True)
class DummyCloud:
    """A cloud whose VMs are entries in a table. The calls here are plain ones, of neither of the compared clients."""

    home: Path
    xmlrpc: str
    oneflow: str
    username: str
    password: str

    @property
    def environment(self) -> dict[str, str]:
        """Our environment and where the cloud is, in the words of both clients."""
        return {
            **os.environ, "ONE_URL": self.xmlrpc, "ONE_USERNAME": self.username, "ONE_PASSWORD": self.password,
            "ONEFLOW_URL": self.oneflow, "ONEFLOW_USERNAME": self.username, "ONEFLOW_PASSWORD": self.password,
        }  # fmt: skip

    def call(self, method: str, *arguments: Any) -> Any:
        """One XML-RPC call; returns the value of its answer."""
        function: Any = xmlrpc.client.ServerProxy(self.xmlrpc)
        for part in method.split("."):
            function = getattr(function, part)
        answer = function(f"{self.username}:{self.password}", *arguments)
        if not answer[0]:
            raise BenchError(f"{method}: {answer[1]}")
        return answer[1]

    def flow(self, route: str, body: Any = None) -> Any:
        """GET of a route of OneFlow, or POST where there is a body; returns the JSON of the answer."""
        credentials = base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        request = urllib.request.Request(
            self.oneflow + route,
            None if body is None else json.dumps(body).encode(),
            {"Authorization": f"Basic {credentials}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.load(answer)

    def vms(self, count: int, template: int) -> None:
        """Make VMs until there are `count`, and wait until they run."""
        there = self.call("one.vmpool.info", -2, -1, -1, -1).count("<VM>")
        for number in range(there, count):
            self.call("one.template.instantiate", template, f"node-{number:04}", False, "", False)
        self.until(lambda: self.call("one.vmpool.info", -2, -1, -1, -1).count(RUNNING) >= count, f"{count} VMs run")

    @staticmethod
    def until(reached: Any, what: str) -> None:
        """Wait for something of the cloud; BenchError when it does not come."""
        deadline = time.monotonic() + SETTLE_S
        while not reached():
            if time.monotonic() > deadline:
                raise BenchError(f"the sandbox did not get so far that {what}")
            time.sleep(0.5)


@contextmanager
def dummy_cloud(folder: Path, log: Path) -> Iterator[DummyCloud]:
    """Start a sandbox on free ports with its home below `folder`; it ends with the block."""
    home = folder / "cloud"
    command = [
        sys.executable, "-m", "one_sandbox", "serve", f"--home={home}", "--driver=dummy",
        "--xmlrpc-port=0", "--oneflow-port=0", "--onegate-port=0",
    ]  # fmt: skip
    with log.open("w", encoding="utf-8") as output, subprocess.Popen(
        command, cwd=ROOT / "roles/sandbox/files", stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT
    ) as server:  # fmt: skip
        try:
            endpoints = _endpoints(home, server, log)
            user, _colon, password = (home / "one_auth").read_text(encoding="utf-8").strip().partition(":")
            yield DummyCloud(home, endpoints["xmlrpc"], endpoints["oneflow"], user, password)
        finally:
            server.terminate()


def _endpoints(home: Path, server: subprocess.Popen[bytes], log: Path) -> dict[str, str]:
    deadline = time.monotonic() + START_S
    while server.poll() is None and time.monotonic() < deadline:
        try:
            found = json.loads((home / "sandbox.json").read_text(encoding="utf-8"))["endpoints"]
        except (OSError, ValueError):
            found = {}
        if found:
            return dict(found)
        time.sleep(0.1)
    raise BenchError(f"the sandbox does not start; its output is in {log}")
