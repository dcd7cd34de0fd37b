# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud for proofs: modules in this process or in one of their own, several users, an object 0 of each kind.

The first VM template, VM, image, service template and service of the cloud are made here, so that id 0 is known.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from module_runner import MODULES, ModuleResult, run_module, wait_for
from one_sandbox import Sandbox

#: Where `ansible_collections` lies, for processes that have to find it by themselves.
COLLECTIONS = next(path for path in sys.path if (Path(path) / "ansible_collections" / "opennebula").is_dir())
WAITING = ("one_image", "one_vm", "one_service")

#: Loads a module, says so, and runs it once it is told the arguments.
ONE_RUN = """
import importlib, json, sys
from ansible.module_utils.testing import patch_module_args
module = importlib.import_module(sys.argv[1])
print("ready", flush=True)
with patch_module_args(json.loads(sys.stdin.readline())):
    module.main()
"""

Result = ModuleResult


class ProofCloud:
    """The sandbox and those who use it."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.calls = sandbox.calls
        self.driver = sandbox.drivers["dummy"]
        self.api = self._options(sandbox.username, sandbox.password)
        self.settings = Settings.from_params(self.api)
        self.admin = Connection(self.settings)
        self.flow = OneFlow(self.settings)
        self._users: dict[str, dict[str, str]] = {}
        self._numbers = itertools.count()

    def _options(self, username: str, password: str) -> dict[str, str]:
        ends = self.sandbox.endpoints
        return {
            "api_url": ends.xmlrpc, "oneflow_url": ends.oneflow, "api_username": username, "api_password": password,
        }  # fmt: skip

    def user(self, name: str, password: str = "") -> dict[str, str]:
        """Connection options of a user of the group users, who is made when first asked for."""
        if name not in self._users:
            self.admin.call("one.user.allocate", name, password or f"{name}-word", "core", [])
            self._users[name] = self._options(name, password or f"{name}-word")
        return self._users[name]

    def name(self, prefix: str = "p") -> str:
        """A name that nothing else on this cloud has."""
        return f"{prefix}{next(self._numbers)}"

    # -- running modules --------------------------------------------------------------------------------------------

    def arguments(self, module: str, params: dict[str, Any], api: dict[str, str] | None = None) -> dict[str, Any]:
        quick = {"wait_interval": 0.05, "wait_timeout": 30} if module in WAITING else {}
        return {**(api or self.api), **quick, **params}

    def run(self, module: str, check: bool = False, api: dict[str, str] | None = None, **params: Any) -> Result:
        """Run a module to its end, failures included; its calls are counted from zero."""
        arguments = self.arguments(module, params, api)
        self.calls.reset()
        result = run_module(module, arguments, check)
        assert arguments["api_password"] not in json.dumps({**result, "invocation": None})
        return result

    def ok(self, module: str, check: bool = False, api: dict[str, str] | None = None, **params: Any) -> Result:
        """Run a module that has to succeed."""
        result = self.run(module, check, api, **params)
        assert not result.get("failed"), f"{module}: {result.get('msg')}"
        return result

    def fails(self, module: str, check: bool = False, api: dict[str, str] | None = None, **params: Any) -> str:
        """The sentence of a module that has to fail."""
        result = self.run(module, check, api, **params)
        assert result.get("failed"), f"{module} should have failed: {result}"
        return str(result["msg"])

    def at_once(self, module: str, runs: int = 3, **params: Any) -> list[Result]:
        """Run a module several times at once, in processes of their own that share nothing but the cloud."""
        arguments = {**self.arguments(module, params), "_ansible_remote_tmp": "/tmp"}
        environment = {**os.environ, "PYTHONPATH": COLLECTIONS, "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS}
        started = [
            subprocess.Popen(
                [sys.executable, "-c", ONE_RUN, f"{MODULES}.{module}"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=environment,
            )  # fmt: skip
            for _run in range(runs)
        ]
        for process in started:
            assert process.stdout and process.stdout.readline() == "ready\n"
        for process in started:
            assert process.stdin
            process.stdin.write(json.dumps(arguments) + "\n")
            process.stdin.flush()
        results = []
        for process in started:
            output, errors = process.communicate(timeout=60)
            assert output.strip(), errors
            results.append(json.loads(output.strip().splitlines()[-1]))
        return results

    # -- objects that tests only use --------------------------------------------------------------------------------

    def vm_template(self, prefix: str = "vmt", **attributes: Any) -> str:
        """The name of a small VM template with a NIC and a context."""
        name = self.name(prefix)
        self.admin.call("one.template.allocate", {
            "NAME": name, "CPU": "0.1", "MEMORY": "64", "NIC": [{"NETWORK": "private"}],
            "CONTEXT": {"NETWORK": "YES", "TOKEN": "YES", "START_SCRIPT": "true"}, **attributes,
        })  # fmt: skip
        return name

    def id_of_template(self, name: str) -> int:
        return int(self.ok("one_template", name=name)["template"]["id"])

    def service_template(self, nodes: int = 1, gate: bool = False, **changes: Any) -> str:
        """The name of a service template with the roles front (one VM) and node (1 to 20 VMs)."""
        name = self.name("svt")
        number = self.id_of_template(self.vm_template())
        roles = [
            {"name": "front", "template_id": number, "type": "vm", "cardinality": 1, "min_vms": 1, "max_vms": 2},
            {"name": "node", "template_id": number, "type": "vm", "cardinality": nodes, "min_vms": 1, "max_vms": 20,
             "cooldown": 1, "parents": ["front"]},
        ]  # fmt: skip
        body = {"name": name, "deployment": "straight", "ready_status_gate": gate, "roles": roles, **changes}
        self.flow.create_template(body)
        return name

    def service(self, name: str | None = None, nodes: int = 1, **params: Any) -> str:
        """The name of a running service."""
        template = self.service_template(nodes)
        self.ok("one_service", name=name or template, template=template, **params)
        return name or template

    def vm(self, **params: Any) -> str:
        """The name of a running VM."""
        name = self.name("vm")
        self.ok("one_vm", name=name, template=self.vm_template(), **params)
        return name

    def image(self, **params: Any) -> str:
        """The name of a small image."""
        name = self.name("img")
        self.ok("one_image", name=name, size=1, **params)
        return name

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 15) -> Any:
        """See wait_for."""
        return wait_for(condition, what, seconds)

    def document(self, name: str, state: int, **body: Any) -> int:
        """Put a OneFlow service of any state into the cloud, as an earlier life may have left it; returns its id."""
        stored = {"name": name, "state": state, "deployment": "none", "roles": [], "log": [], **body}
        return int(self.admin.call("one.document.allocate", {"NAME": name, "BODY": json.dumps(stored)}, 100))


@contextlib.contextmanager
def running(home: Path) -> Iterator[ProofCloud]:
    """Start a sandbox with the driver without VMs."""
    with Sandbox(home=home, driver="dummy", boot_delay=0.05, image_delay=0.05, flow_interval=0.1) as sandbox:
        yield ProofCloud(sandbox)


def plant_zeros(cloud: ProofCloud) -> None:
    """Make the objects with id 0. Service templates and services share one row of ids."""
    cloud.ok("one_image", name="zero", size=1, permissions="644")
    cloud.ok("one_template", name="zero", template={"CPU": 0.1, "MEMORY": 64, "NIC": [{"NETWORK": "private"}]})
    cloud.ok("one_vm", name="zero", template="zero")
    assert cloud.flow.create_template({"name": "zero", "roles": []})["ID"] == "0"


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProofCloud]:
    """One cloud for all proofs of a folder: they keep apart by their names."""
    with running(tmp_path_factory.mktemp("proofs")) as started:
        plant_zeros(started)
        yield started


@pytest.fixture(autouse=True)
def no_faults_left(request: pytest.FixtureRequest) -> Iterator[None]:
    """Faults that a test put into the driver end with it."""
    yield
    if "cloud" in request.fixturenames:
        request.getfixturevalue("cloud").driver.fail_deploy.clear()
