# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A cloud of records in this process, VMs whose agents a thread plays, and the collection's own playbooks against it.

No machine is behind a VM, so playbooks run with `--limit localhost`: their plays on VMs find no hosts.
"""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import pool_to_dicts, template_of
from ansible_collections.opennebula.flower.plugins.module_utils.one.document.document import body_of
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.service import service_view, vm_ids
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.vms import read_vm_bodies, read_vms, vm_view
from flower_ops.machine.onegate import OneGate
from one_sandbox import Sandbox

ROOT = Path(__file__).resolve().parents[3]
HOST_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOnTheDummyNothingListens"
VERSION = "1.34.0"


@dataclass
class Played:
    """One playbook run: exit code, output, and how many tasks of localhost changed something."""

    code: int
    output: str

    @property
    def changed(self) -> int:
        recap = self.output.rpartition("PLAY RECAP")[2]
        line = next(line for line in recap.splitlines() if line.startswith("localhost"))
        return int(line.partition("changed=")[2].split()[0])


class PlayedAgents:
    """What start script and agent of a baked VM tell OneGate, told by a thread that looks at all VMs in turn.

    says: attributes by role, over those of a healthy node; READY=NO keeps a VM from being ready. Every VM tells once.
    told: VMs that have done so already.
    """

    def __init__(
        self, cloud: FederationCloud, says: dict[str, dict[str, str]] | None = None, told: Iterable[int] = ()
    ) -> None:
        self._cloud = cloud
        self._says = says or {}
        self._told = set(told)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._play)

    def __enter__(self) -> PlayedAgents:
        self._thread.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._stop.set()
        self._thread.join()

    def _play(self) -> None:
        while not self._stop.wait(0.1):
            for vm in list(self._cloud.sandbox.oned.pools["vm"].values()):
                if vm.oid in self._told:
                    continue
                body = self._cloud.inside(vm.oid)
                if body["state"] == "RUNNING":
                    self._told.add(vm.oid)
                    self._tell(vm.oid, body)

    def _tell(self, vm_id: int, body: dict[str, Any]) -> None:
        role = body["attributes"].get("ROLE_NAME") or body["attributes"].get("FLOWER_ROLE")
        said = {
            "FL_SSH_HOST_KEY": HOST_KEY, "FL_ROLE": role, "FL_VERSION": VERSION, "READY": "YES",
            **self._says.get(str(role), {}),
        }  # fmt: skip
        self._cloud.gate(vm_id).put({key: value for key, value in said.items() if value})


class FederationCloud:
    """The sandbox, an inventory folder for it, and playbooks called as a user calls them."""

    def __init__(self, folder: Path, sandbox: Sandbox) -> None:
        self.folder = folder
        self.sandbox = sandbox
        self.settings = Settings(
            sandbox.endpoints.xmlrpc, sandbox.username, sandbox.password, oneflow_url=sandbox.endpoints.oneflow
        )
        self.connection = Connection(self.settings)
        self.flow = OneFlow(self.settings)
        self.image("flower-1.tar")
        inventory = folder / "inventory"
        (inventory / "group_vars").mkdir(parents=True)
        (inventory / "hosts.yml").write_text(
            (ROOT / "inventories/sandbox/hosts.yml").read_text(encoding="utf-8"), encoding="utf-8"
        )
        values = {
            "federation_api_url": sandbox.endpoints.xmlrpc,
            "federation_api_username": sandbox.username,
            "federation_api_password": sandbox.password,
            "federation_oneflow_url": sandbox.endpoints.oneflow,
            "federation_state_dir": str(folder / "state/{{ federation_name }}"),
            "federation_wait_timeout": 60,
            "federation_delivery": "appliance",
            "federation_image_manifest": str(folder / "appliance.json"),
            "federation_supernodes_max": 6,
        }
        (inventory / "group_vars/all.yml").write_text(json.dumps(values), encoding="utf-8")

    def image(self, name: str, **said: Any) -> None:
        """A file that stands for a baked image, and the manifest that tells of it."""
        path = self.folder / name
        path.write_bytes(name.encode())
        manifest = {"path": str(path), "flower_version": VERSION, "frameworks": ["sklearn"], **said}
        (self.folder / "appliance.json").write_text(json.dumps(manifest), encoding="utf-8")

    def play(self, name: str, federation: str, *arguments: str, **extra: Any) -> Played:
        """Run a playbook of the collection on the control machine only."""
        command = ["ansible-playbook", "-i", str(self.folder / "inventory"), f"opennebula.flower.{name}"]
        command += ["--limit", "localhost", *arguments]
        for key, value in {"federation_name": federation, **extra}.items():
            command += ["-e", json.dumps({key: value})]
        done = subprocess.run(
            command, cwd=self.folder, env=dict(os.environ), text=True, check=False,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        print(done.stdout)
        assert self.sandbox.password not in done.stdout
        return Played(done.returncode, done.stdout)

    def deployed(self, federation: str, **extra: Any) -> Played:
        """Deploy; must succeed."""
        played = self.play("single_site", federation, **extra)
        assert played.code == 0
        return played

    def writes(self, action: Callable[[], Any]) -> tuple[Any, int]:
        """What the action returns, and the writing calls that were made meanwhile."""
        before = self.sandbox.calls.writes
        result = action()
        return result, self.sandbox.calls.writes - before

    # -- looking --------------------------------------------------------------------------------------------------

    def service(self, name: str) -> dict[str, Any]:
        """The live service of that name."""
        found = [view for view in self.services() if view["name"] == name]
        assert len(found) == 1, self.services()
        return found[0]

    def services(self) -> list[dict[str, Any]]:
        """All live services."""
        return [view for view in map(service_view, self.flow.services()) if view["state"] != "DONE"]

    def template_id(self, name: str) -> int:
        return next(int(one["ID"]) for one in self.flow.templates() if one["NAME"] == name)

    def template(self, name: str) -> dict[str, Any]:
        """The body of a service template."""
        return dict(body_of(self.flow.template(self.template_id(name))))

    def context(self, vm_id: int) -> dict[str, str]:
        """The CONTEXT that a VM boots with."""
        body = read_vm_bodies(self.connection, [vm_id])[0]
        return dict(template_of(body)["CONTEXT"])

    def disks(self, name: str) -> list[dict[str, str]]:
        """The disks of a VM template."""
        record = next(item for item in self.sandbox.oned.pools["template"].values() if item.name == name)
        disks = record.template["DISK"]
        return disks if isinstance(disks, list) else [disks]

    def cardinality(self, name: str) -> int:
        return int(self.service(name)["roles"]["supernode"]["cardinality"])

    def vm(self, vm_id: int) -> dict[str, Any]:
        """A VM as the info modules show it."""
        return read_vms(self.connection, [vm_id])[0]

    def vms(self, name: str, role: str | None = None) -> list[dict[str, Any]]:
        """VMs of the service, those of one role if given."""
        return read_vms(self.connection, vm_ids(self.service(name), [role] if role else None))

    def marked(self, federation: str) -> list[dict[str, Any]]:
        """VMs that carry the federation's mark and are not gone, by name."""
        records = [self.inside(vm.oid) for vm in list(self.sandbox.oned.pools["vm"].values())]
        ours = [vm for vm in records if vm["attributes"].get("FLOWER_FEDERATION") == federation]
        return sorted((vm for vm in ours if vm["state"] != "DONE"), key=lambda vm: str(vm["name"]))

    def names(self, pool: str, federation: str) -> list[str]:
        """Names of the objects of a pool (image, template, document) that begin with the federation's name."""
        names = [item.name for item in self.sandbox.oned.pools[pool].values()]
        return sorted(name for name in names if name == federation or name.startswith(f"{federation}-"))

    def inside(self, vm_id: int) -> dict[str, Any]:
        """The same, read inside the sandbox: no call that anybody counts."""
        oned = self.sandbox.oned
        answer = oned.call(oned.session_for(0), "one.vmpool.infoset", str(vm_id), True)
        return vm_view(pool_to_dicts(answer, "VM")[0])

    def gate(self, vm_id: int) -> OneGate:
        """OneGate as that VM uses it."""
        return OneGate(self.sandbox.endpoints.onegate, str(vm_id), self.sandbox.oned.tokens.issue(vm_id))

    def wait(self, holds: Callable[[], Any], what: str, seconds: float = 60) -> Any:
        """Until something holds."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            found = holds()
            if found:
                return found
            time.sleep(0.1)
        raise AssertionError(f"{what} did not happen within {seconds} s")


@contextmanager
def federation_cloud(folder: Path) -> Iterator[FederationCloud]:
    """A cloud that lasts as long as the block; it looks at services and policies several times a second."""
    sandbox = Sandbox(folder / "home", boot_delay=0.05, image_delay=0.05, flow_interval=0.2, monitor_interval=1.0)
    with sandbox:
        sandbox.flow.lifecycle.policies.interval = 0.3
        yield FederationCloud(folder, sandbox)
