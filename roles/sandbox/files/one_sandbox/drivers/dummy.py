# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A driver without anything behind it: thousands of VMs, and faults on request."""

from __future__ import annotations

import threading
from typing import Any

from . import DeployState, DriverError, VmSpec


class DummyDriver:
    """Keeps VM states in memory.

    Faults for tests: put a VM name or image PATH into `fail_deploy`, `fail_image` (value = error text), a VM name into
    `fail_change` to let changes of its devices and size fail; without `live_resize` running VMs cannot be resized;
    `set_state(deploy_id, "gone")` makes a VM vanish as if somebody had killed it behind the cloud's back;
    `imports_go.clear()` lets imports of images hang until `imports_go.set()` (30 s at most).
    """

    name = "dummy"
    hotplug = True
    live_resize = True

    def __init__(self) -> None:
        self._states: dict[str, DeployState] = {}
        self._lock = threading.Lock()
        self.fail_deploy: dict[str, str] = {}
        self.fail_image: dict[str, str] = {}
        self.fail_change: dict[str, str] = {}
        self.imports_go = threading.Event()
        self.imports_go.set()

    def prepare_network(self, vnet: dict[str, Any]) -> None:
        """Nothing to make."""

    def import_image(self, image: dict[str, Any]) -> int:
        self.imports_go.wait(30)
        path = str(image.get("PATH", ""))
        if path in self.fail_image:
            raise DriverError(self.fail_image[path])
        image["SOURCE"] = "dummy_path"
        return int(image.get("SIZE") or 1024)

    def delete_image(self, image: dict[str, Any]) -> None:
        """Nothing to remove."""

    def deploy(self, vm: VmSpec) -> str:
        for wanted, text in self.fail_deploy.items():
            if vm.name == wanted or wanted == "*":
                raise DriverError(text)
        deploy_id = f"{vm.name}:{vm.id}:dummy"
        self.set_state(deploy_id, "running")
        return deploy_id

    def poweroff(self, vm: VmSpec, hard: bool) -> None:
        self.set_state(vm.deploy_id, "stopped")

    def resume(self, vm: VmSpec) -> None:
        self.set_state(vm.deploy_id, "running")

    def reboot(self, vm: VmSpec, hard: bool) -> None:
        self.set_state(vm.deploy_id, "running")

    def terminate(self, vm: VmSpec, hard: bool) -> None:
        self.set_state(vm.deploy_id, "gone")

    def state(self, deploy_id: str) -> DeployState:
        # A VM of an earlier process is taken for running: there is nothing that could have died.
        with self._lock:
            return self._states.get(deploy_id, "running")

    def set_state(self, deploy_id: str, state: DeployState) -> None:
        """Change what `state` answers."""
        with self._lock:
            self._states[deploy_id] = state

    def purge(self) -> None:
        with self._lock:
            self._states.clear()
