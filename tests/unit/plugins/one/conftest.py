# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud for the tests of the modules, and a way to run a module in this process."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import module_runner
import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from module_runner import ModuleResult, run_module
from one_sandbox import Sandbox


class Cloud:
    """A running sandbox with its administrator, and whoever else a test needs."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.calls = sandbox.calls
        self.driver = sandbox.drivers["dummy"]
        self.api = {
            "api_url": sandbox.endpoints.xmlrpc,
            "oneflow_url": sandbox.endpoints.oneflow,
            "api_username": sandbox.username,
            "api_password": sandbox.password,
        }
        self.admin = Connection(Settings.from_params(self.api))
        self.users: dict[str, dict[str, str]] = {}

    def user(self, name: str) -> dict[str, str]:
        """Return the connection options of a user of the group users, who is made when asked for first."""
        if name not in self.users:
            self.admin.call("one.user.allocate", name, f"{name}-password", "core", [])
            self.users[name] = {**self.api, "api_username": name, "api_password": f"{name}-password"}
        return self.users[name]

    def run(self, module: str, check: bool = False, api: dict[str, str] | None = None, **params: Any) -> ModuleResult:
        """Run a module; the calls that it makes are counted from zero."""
        quick = {"wait_interval": 0.1} if module in ("one_image", "one_vm") else {}
        self.calls.reset()
        result = run_module(module, {**(api or self.api), **quick, **params}, check)
        result.calls = dict(self.calls.by_method)
        return result

    def converge(self, module: str, *, max_calls: int | None = None, **params: Any) -> ModuleResult:
        """Run a module in check mode, for real, and again; assert that prediction, change and idempotence are right.

        max_calls: how many calls the real run may make, polls left out.
        """
        predicted = self.run(module, check=True, **params)
        assert predicted.ok, predicted
        assert self.calls.writes == 0, self.calls.by_method
        real = self.run(module, **params)
        assert real.ok, real
        assert predicted["changed"] == real["changed"]
        assert predicted["diff"] == real["diff"]
        assert predicted["steps"] == real["steps"]
        assert max_calls is None or real.without_polls <= max_calls, real.calls
        again = self.run(module, **params)
        assert again.ok and not again["changed"], again
        assert self.calls.writes == 0, self.calls.by_method
        assert self.calls.total <= 2, self.calls.by_method
        return real


class Pair:
    """Two processes that run one module at the same time."""

    def __init__(self) -> None:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self._workers = [
            subprocess.Popen(
                [sys.executable, module_runner.__file__],
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            for _number in range(2)
        ]

    def run(self, module: str, *params: dict[str, Any]) -> list[ModuleResult]:
        """Run a module twice at once, with the same parameters or with one set for each, and return both results."""
        both = params if len(params) == 2 else (params[0], params[0])
        at = time.time() + 0.05
        for worker, one in zip(self._workers, both, strict=True):
            assert worker.stdin is not None
            worker.stdin.write(json.dumps({"module": module, "params": one, "at": at}) + "\n")
            worker.stdin.flush()
        results = []
        for worker in self._workers:
            assert worker.stdout is not None
            results.append(ModuleResult(json.loads(worker.stdout.readline())))
        return results

    def close(self) -> None:
        """End both processes."""
        for worker in self._workers:
            worker.communicate()


@pytest.fixture(scope="session")
def pair() -> Iterator[Pair]:
    """Two processes for races; warm after the first one."""
    made = Pair()
    yield made
    made.close()


@contextlib.contextmanager
def running_cloud(home: Path) -> Iterator[Cloud]:
    """Start a sandbox with the dummy driver in this process."""
    with Sandbox(home=home, driver="dummy", boot_delay=0.05, image_delay=0.05, flow_interval=0.1) as sandbox:
        yield Cloud(sandbox)


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One sandbox for all tests; each uses names of its own."""
    with running_cloud(tmp_path_factory.mktemp("cloud")) as started:
        yield started


@pytest.fixture(scope="module")
def empty_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A sandbox of a test file's own, empty but for its seeds."""
    with running_cloud(tmp_path_factory.mktemp("empty")) as started:
        yield started


_numbers = itertools.count()


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test uses."""
    return f"t{next(_numbers)}-{request.node.originalname.removeprefix('test_')[:40]}"


@pytest.fixture
def image(cloud: Cloud, name: str) -> str:
    """The name of a small image."""
    result = cloud.run("one_image", name=f"{name}-image", size=1)
    assert result.ok, result
    return f"{name}-image"


@pytest.fixture
def vm_template(cloud: Cloud, name: str) -> str:
    """The name of a VM template with TOKEN, NETWORK, START_SCRIPT and a NIC, without VCPU."""
    template = {
        "CPU": 0.1,
        "MEMORY": 64,
        "NIC": [{"NETWORK": "private"}],
        "CONTEXT": {"NETWORK": True, "TOKEN": True, "START_SCRIPT": 'echo "hi"', "FOO": "a b"},
        "STAGE": "test",
    }
    result = cloud.run("one_template", name=f"{name}-template", template=template)
    assert result.ok, result
    return f"{name}-template"
