# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud without containers, and modules run against it in this process."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.pools import resolve
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import pool_to_dicts
from module_runner import run_module, wait_for
from one_sandbox.sandbox import Sandbox


class Cloud:
    """The sandbox, with what tests do beside the modules: VM templates, READY, faults."""

    def __init__(self, sandbox: Sandbox) -> None:
        self.sandbox = sandbox
        self.settings = Settings(
            sandbox.endpoints.xmlrpc, sandbox.username, sandbox.password, oneflow_url=sandbox.endpoints.oneflow
        )
        self.connection = Connection(self.settings)
        self.flow = OneFlow(self.settings)
        self._numbers = iter(range(1, 10_000))
        self._users: dict[str, dict[str, Any]] = {}

    @property
    def api(self) -> dict[str, Any]:
        """The options that every module needs."""
        return {
            "api_url": self.settings.api_url,
            "oneflow_url": self.settings.oneflow_url,
            "api_username": self.settings.username,
            "api_password": self.settings.password,
        }

    def name(self, prefix: str = "s") -> str:
        """A name that no other test uses: the sandbox is shared."""
        return f"{prefix}{next(self._numbers)}"

    def run(self, module: str, *, check: bool = False, **params: Any) -> dict[str, Any]:
        """Run a module to its end and return its result, `failed` included."""
        arguments = {"wait_interval": 0.05} if module == "one_service" else {}
        arguments.update({**self.api, **params})
        result = run_module(module, arguments, check)
        assert self.settings.password not in json.dumps({**result, "invocation": None})
        return result

    def ok(self, module: str, *, check: bool = False, **params: Any) -> dict[str, Any]:
        result = self.run(module, check=check, **params)
        assert not result.get("failed"), result["msg"]
        return result

    def fails(self, module: str, *, check: bool = False, **params: Any) -> str:
        """The sentence with which the module failed."""
        result = self.run(module, check=check, **params)
        assert result.get("failed"), result
        return str(result["msg"])

    def writes(self, module: str, *, check: bool = False, **params: Any) -> tuple[dict[str, Any], int]:
        """The result, and the number of writing requests that it took."""
        self.sandbox.calls.reset()
        result = self.ok(module, check=check, **params)
        return result, int(self.sandbox.calls.writes)

    def converge(self, module: str, **params: Any) -> dict[str, Any]:
        """Run a module in check mode, for real, and again; assert that prediction, change and idempotence are right.

        Each kind of names that are looked up costs one call more, so give ids here.
        """
        predicted, writes = self.writes(module, check=True, **params)
        assert writes == 0, self.sandbox.calls.by_method
        real = self.ok(module, **params)
        assert (predicted["changed"], predicted["diff"], predicted["steps"]) == (
            real["changed"], real["diff"], real["steps"],
        )  # fmt: skip
        again, writes = self.writes(module, **params)
        assert not again["changed"] and writes == 0, again
        assert self.sandbox.calls.total <= 2, self.sandbox.calls.by_method
        return real

    def user(self, name: str) -> dict[str, Any]:
        """The connection options of a user of the group users, made when asked for first."""
        if name not in self._users:
            self.connection.call("one.user.allocate", name, f"{name}-password", "core", [])
            self._users[name] = {**self.api, "api_username": name, "api_password": f"{name}-password"}
        return self._users[name]

    def user_id(self, name: str) -> int:
        pool = pool_to_dicts(self.connection.call("one.userpool.info"), "USER")
        return next(int(user["ID"]) for user in pool if user["NAME"] == name)

    def flow_of(self, api: dict[str, Any]) -> OneFlow:
        """OneFlow as another user."""
        return OneFlow(Settings.from_params(api))

    def vms_of_services(self, name: str) -> list[int]:
        """Ids of the VMs that are not done and were made for services of that VM template."""
        pool = pool_to_dicts(self.connection.call("one.vmpool.infoextended", -2, -1, -1, -1, ""), "VM")
        number = str(resolve(f"{name}-vm", "VM template", self._vm_templates))
        return [int(vm["ID"]) for vm in pool if vm["TEMPLATE"].get("TEMPLATE_ID") == number]

    def _vm_templates(self) -> list[dict[str, Any]]:
        return pool_to_dicts(self.connection.call("one.templatepool.info", -2, -1, -1), "VMTEMPLATE")

    # -- objects that the modules under test only use ---------------------------------------------------------------

    def vm_template(self, name: str, **attributes: Any) -> int:
        return int(
            self.connection.call(
                "one.template.allocate",
                {
                    "NAME": name,
                    "CPU": "0.1",
                    "MEMORY": "64",
                    "NIC": [{"NETWORK": "private"}],
                    "CONTEXT": {"NETWORK": "YES", "TOKEN": "YES"},
                    **attributes,
                },
            )
        )

    def ready(self, *vm_ids: int) -> None:
        for vm_id in vm_ids:
            self.update_vm(vm_id, READY="YES")

    def update_vm(self, vm_id: int, **attributes: str) -> None:
        self.connection.call("one.vm.update", vm_id, attributes, 1)

    def federation(self, name: str, *, gate: bool = True, nodes: int = 2, **changes: Any) -> str:
        """A service template of one superlink and some supernodes; returns its name."""
        self.vm_template(f"{name}-vm")
        roles = [
            {"name": "superlink", "template": f"{name}-vm", "cardinality": 1, "min_vms": 1, "max_vms": 1},
            {
                "name": "supernode",
                "template": f"{name}-vm",
                "cardinality": nodes,
                "min_vms": 1,
                "max_vms": 4,
                "parents": ["superlink"],
                "cooldown": 1,
            },
        ]
        template = {"deployment": "straight", "ready_status_gate": gate, "roles": roles, **changes}
        self.ok("one_service_template", name=name, template=template)
        return name

    def wait(self, condition: Callable[[], Any], what: str, seconds: float = 15) -> Any:
        return wait_for(condition, what, seconds)

    def service(self, name: str) -> dict[str, Any]:
        found = self.ok("one_service_info", name=name)["services"]
        assert len(found) == 1, found
        return dict(found[0])

    def in_state(self, name: str, *states: str) -> dict[str, Any]:
        """Wait until the service is in one of the states."""
        return dict(
            self.wait(
                lambda: next((item for item in [self.service(name)] if item["state"] in states), None),
                f"{name} in {states}",
            )
        )


@pytest.fixture(scope="session")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """One cloud for all tests: they keep apart by their names."""
    home: Path = tmp_path_factory.mktemp("cloud")
    sandbox = Sandbox(home, driver="dummy", boot_delay=0.05, image_delay=0.05, flow_interval=0.1, monitor_interval=0.5)
    with sandbox:
        found = Cloud(sandbox)
        assert found.flow.create_template({"name": "zero", "roles": []})["ID"] == "0"
        yield found
