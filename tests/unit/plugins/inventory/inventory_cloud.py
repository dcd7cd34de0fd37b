# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud with VMs made to order, and the inventory plugin run against it here or as ansible-inventory."""

from __future__ import annotations

import copy
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ansible_collections.opennebula.flower.plugins as collection_plugins
import yaml
from ansible import constants
from ansible.inventory.data import InventoryData
from ansible.parsing.dataloader import DataLoader
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from one_sandbox.sandbox import Sandbox

NAME = "opennebula.flower.opennebula"
_FRAGMENTS = ("constructed", "inventory_cache")
_RUNNING = {"state": 3, "lcm": 3}
#: Numbers of STATE and LCM_STATE.
STATES = {
    "running": _RUNNING,
    "poweroff": {"state": 8, "lcm": 0},
    "suspended": {"state": 5, "lcm": 0},
    "booting": {"state": 3, "lcm": 2},
    "backup": {"state": 3, "lcm": 69},
    "backup_off": {"state": 3, "lcm": 70},
}
COLLECTIONS = next(
    str(folder.parent)
    for folder in Path(next(iter(collection_plugins.__path__))).parents
    if folder.name == "ansible_collections"
)


def nic(ip: str | None, network: str = "private", **values: str) -> dict[str, str]:
    """A NIC as it stands in the body of a VM."""
    numbers = {"private": "0", "public": "1"}
    found = {"NETWORK": network, "NETWORK_ID": numbers[network], "NIC_ID": "0", **values}
    found.setdefault("NAME", f"NIC{found['NIC_ID']}")
    return {**found, "IP": ip} if ip else found


@dataclass
class Result:
    """hosts: variables by name. groups: names of their hosts by name. said: lines that -v would show, warnings."""

    hosts: dict[str, dict[str, Any]]
    groups: dict[str, list[str]]
    said: list[str] = field(default_factory=list)


class InventoryCloud:
    """The sandbox with `vm` to put a VM of any shape into it, and `parse` and `process` to read the inventory."""

    def __init__(self, sandbox: Sandbox, folder: Path) -> None:
        self.sandbox, self.folder = sandbox, folder
        self.settings = Settings(
            sandbox.endpoints.xmlrpc, sandbox.username, sandbox.password, oneflow_url=sandbox.endpoints.oneflow
        )

    # -- what there is ----------------------------------------------------------------------------------------------

    def vm(
        self, name: str, *, state: str = "running", nics: list[dict[str, str]] | None = None,
        aliases: list[dict[str, str]] | None = None, pci: list[dict[str, str]] | None = None,
        owner: tuple[int, int] = (0, 0), host: str | None = "sandbox", **attributes: Any,
    ) -> int:  # fmt: skip
        """A VM as it stands in the cloud's records, without the life that leads there; returns its id."""
        oned = self.sandbox.oned
        with oned.transaction():
            number = oned.next_id("vm")
            placed = [] if host is None else [{
                "seq": 0, "hid": 0, "hostname": host, "vm_mad": "dummy", "stime": 1, "etime": 0, "pstime": 1,
                "petime": 1, "rstime": 1, "retime": 0, "estime": 0, "eetime": 0, "action": 0, "uid": -1, "gid": -1,
            }]  # fmt: skip
            default = [nic(f"10.1.{number // 250}.{number % 250 + 1}")]
            template = {"CPU": "1", "MEMORY": "64", "NIC": copy.deepcopy(default if nics is None else nics)}
            template.update({"NIC_ALIAS": copy.deepcopy(aliases)} if aliases else {})
            template.update({"PCI": copy.deepcopy(pci)} if pci else {})
            made = oned.create(
                "vm", oned.user(0), name, template, **STATES[state], stime=1, etime=0,
                deploy_id=f"{name}:{number}", user_template=attributes, history=placed, epoch=0, hard=False, hold=False,
            )  # fmt: skip
            made.uid, made.gid = owner
        return number

    def vms(self, count: int, attributes: Callable[[int], dict[str, Any]]) -> list[int]:
        """Many VMs in one go."""
        with self.sandbox.oned.transaction():
            return [self.vm(f"many-{index}", **attributes(index)) for index in range(count)]

    def service(self, name: str, roles: dict[str, list[int]], mark: str | None = None) -> int:
        """A running service of these VMs, as OneFlow's document; VMs get the attributes that OneFlow gives them."""
        oned = self.sandbox.oned
        body: dict[str, Any] = {
            "name": name, "state": 2, "deployment": "none", "ready_status_gate": False, "log": [],
            "roles": [
                {
                    "name": role, "state": 2, "cardinality": len(numbers), "cooldown": 1, "template_id": 0,
                    "nodes": [{"deploy_id": number} for number in numbers], "on_hold": False,
                }
                for role, numbers in roles.items()
            ],
        }  # fmt: skip
        if mark:
            body["flower_federation"] = mark
        with oned.transaction():
            service_id = oned.create("document", oned.user(0), name, {"BODY": json.dumps(body)}, type=100).oid
            for role, numbers in roles.items():
                for number in numbers:
                    vm = oned.find("vm", number)
                    if vm is None:
                        continue
                    vm.data["user_template"].update(SERVICE_ID=str(service_id), ROLE_NAME=role)
                    oned.touch(vm)
        return service_id

    # -- reading it ---------------------------------------------------------------------------------------------------

    def source(self, options: dict[str, Any], name: str = "fed.one.yml") -> Path:
        path = self.folder / name
        path.write_text(yaml.safe_dump({"plugin": NAME, **options}), encoding="utf-8")
        return path

    @property
    def api(self) -> dict[str, Any]:
        return {
            "api_url": self.settings.api_url,
            "api_username": self.settings.username,
            "api_password": self.settings.password,
            "oneflow_url": self.settings.oneflow_url,
        }

    def parse(self, *, path: Path | None = None, refresh: bool = False, **options: Any) -> Result:
        """Read the inventory in this process; refresh: as --flush-cache does."""
        plugin = load_plugin()
        said: list[str] = []
        plugin.display = _Display(said)
        data = InventoryData()
        source = path or self.source({**self.api, **options})
        plugin.parse(data, DataLoader(), str(source), not refresh)
        if plugin.get_option("cache"):
            # The inventory manager does this after every source.
            plugin.update_cache_if_changed()
        data.reconcile_inventory()
        hosts = {name: _own(host.vars) for name, host in data.hosts.items()}
        groups = {name: sorted(host.name for host in group.hosts) for name, group in data.groups.items()}
        return Result(hosts, {name: members for name, members in groups.items() if members}, said)

    def process(
        self, *arguments: str, environment: dict[str, str] | None = None, name: str = "fed.one.yml", **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """ansible-inventory as a user runs it; the cloud is named by the environment."""
        whole = {
            # Settings of whoever runs the tests would show in the variables.
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
            "ANSIBLE_INVENTORY_UNPARSED_FAILED": "true",
            "ANSIBLE_LOCAL_TEMP": str(self.folder / "tmp"),
            "ONE_URL": self.settings.api_url,
            "ONE_USERNAME": self.settings.username,
            "ONE_PASSWORD": self.settings.password,
            "ONEFLOW_URL": self.settings.oneflow_url,
            **(environment or {}),
        }
        command = [sys.executable, "-m", "ansible.cli.inventory", "-i", str(self.source(options, name)), "--list"]
        done = subprocess.run(
            [*command, *arguments], env=whole, capture_output=True, text=True, check=False, timeout=120
        )
        assert self.settings.password not in done.stdout + done.stderr
        return done

    def listed(self, *arguments: str, **options: Any) -> Result:
        """What ansible-inventory --list prints."""
        done = self.process(*arguments, **options)
        assert not done.returncode, done.stderr
        found = json.loads(done.stdout, object_hook=lambda item: item.get("__ansible_unsafe", item))
        hosts = found.pop("_meta")["hostvars"]
        return Result(hosts, {key: sorted(group.get("hosts", [])) for key, group in found.items()}, [done.stderr])


class _Display:
    """What the plugin tells people."""

    def __init__(self, said: list[str]) -> None:
        self.v = self.warning = said.append


def load_plugin() -> Any:
    """The plugin with its options defined, as Ansible's loader would do: that needs collections installed its way."""
    module = importlib.import_module("ansible_collections.opennebula.flower.plugins.inventory.opennebula")
    options = dict(yaml.safe_load(module.DOCUMENTATION)["options"])
    for fragment in _FRAGMENTS:
        text = importlib.import_module(f"ansible.plugins.doc_fragments.{fragment}").ModuleDocFragment.DOCUMENTATION
        options.update(yaml.safe_load(text)["options"])
    constants.config.initialize_plugin_configuration_definitions("inventory", NAME, options)
    plugin = module.InventoryModule()
    plugin._load_name = plugin.ansible_name = NAME
    plugin._redirected_names = [NAME]
    return plugin


def _own(variables: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in variables.items() if key not in ("inventory_file", "inventory_dir")}
