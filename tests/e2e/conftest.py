# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud of the tests' own, beside one that a user may have running, and playbooks as a user calls them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = Path("/var/lib/one-sandbox-test")
NETWORK = "one-sandbox-test"
SUBNET = "172.30.98.0/24"
PORTS = {"xmlrpc": 12633, "oneflow": 12474, "onegate": 15030}


@dataclass
class Result:
    """One playbook run: its exit code, its output and the counts of its recap by host."""

    code: int
    output: str
    recap: dict[str, dict[str, int]] = field(default_factory=dict)

    @property
    def changed(self) -> int:
        """Changed tasks over all hosts."""
        return sum(host["changed"] for host in self.recap.values())


@dataclass
class Walk:
    """Calls playbooks against the tests' sandbox, from a folder that is not the checkout."""

    folder: Path

    def playbook(self, name: str, *arguments: str, **extra: Any) -> Result:
        """Run a playbook by FQCN (a path if it has a slash), print its output, return what came of it."""
        target = name if "/" in name else f"opennebula.flower.{name}"
        recap = self.folder / "recap.json"
        recap.unlink(missing_ok=True)
        command = ["ansible-playbook", "-i", str(self.folder / "inventory"), target, *arguments]
        for key, value in extra.items():
            command += ["-e", json.dumps({key: value})]
        environment = {**os.environ, "FLOWER_TEST_RECAP": str(recap)}
        lines: list[str] = []
        with subprocess.Popen(
            command, cwd=self.folder, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                print(line, end="", flush=True)
                lines.append(line)
        return Result(process.returncode, "".join(lines), parse_recap(lines))

    def ssh(self, address: str, command: str) -> str:
        """Output of a command on a VM, logged in as the playbooks do, host key checked."""
        state = self.state
        done = subprocess.run(
            ["ssh", "-i", str(state / "id_ed25519"), "-o", f"UserKnownHostsFile={state}/known_hosts",
             "-o", "StrictHostKeyChecking=yes", "-o", "BatchMode=yes", f"root@{address}", command],
            capture_output=True, text=True, check=True, timeout=60,
        )
        return done.stdout

    @property
    def state(self) -> Path:
        """Folder of the federation's keys."""
        return self.folder / "state"

    def hosts(self) -> dict[str, dict[str, Any]]:
        """Variables of the federation's hosts, from the inventory plugin, by host name."""
        done = subprocess.run(
            ["ansible-inventory", "-i", str(self.folder / "inventory"), "--list"],
            capture_output=True, text=True, check=True, cwd=self.folder,
        )
        found = plain(json.loads(done.stdout)["_meta"]["hostvars"])
        return {name: values for name, values in found.items() if "one_role" in values}

    def calls(self) -> dict[str, Any]:
        """API calls that the sandbox has counted so far: {"total": n, "writes": n, "by_method": {…}}."""
        done = subprocess.run(
            [shutil.which("python3") or "python3", "-m", "one_sandbox", "status", f"--home={HOME}"],
            capture_output=True, text=True, check=True, cwd=ROOT / "roles/sandbox/files",
        )
        return dict(json.loads(done.stdout)["calls"])


def plain(value: Any) -> Any:
    """The values themselves, where ansible-inventory wraps text that must not be taken for a template."""
    if isinstance(value, dict):
        return value["__ansible_unsafe"] if set(value) == {"__ansible_unsafe"} else {
            key: plain(item) for key, item in value.items()
        }
    return [plain(item) for item in value] if isinstance(value, list) else value


def parse_recap(lines: list[str]) -> dict[str, dict[str, int]]:
    """Counts of the PLAY RECAP by host."""
    recap: dict[str, dict[str, int]] = {}
    for line in lines[max((i for i, text in enumerate(lines) if text.startswith("PLAY RECAP")), default=len(lines)):]:
        host, _separator, counts = line.partition(" : ")
        if counts:
            recap[host.strip()] = {key: int(number) for key, _separator, number in
                                   (pair.partition("=") for pair in counts.split())}
    return recap


def write_inventory(folder: Path) -> None:
    """The sandbox inventory with the tests' own ports, home, subnet and folder of keys."""
    shutil.copytree(ROOT / "inventories/sandbox", folder / "inventory")
    (folder / "inventory/group_vars/all/").mkdir(parents=True)
    shutil.move(folder / "inventory/group_vars/all.yml", folder / "inventory/group_vars/all/10-sandbox.yml")
    values = {
        "sandbox_home": str(HOME),
        "sandbox_network": NETWORK,
        "sandbox_subnet": SUBNET,
        "sandbox_xmlrpc_port": PORTS["xmlrpc"],
        "sandbox_oneflow_port": PORTS["oneflow"],
        "sandbox_onegate_port": PORTS["onegate"],
        "federation_name": "test",
        "federation_api_url": f"http://127.0.0.1:{PORTS['xmlrpc']}/RPC2",
        "federation_oneflow_url": f"http://127.0.0.1:{PORTS['oneflow']}",
        "federation_state_dir": str(folder / "state"),
    }
    (folder / "inventory/group_vars/all/20-test.yml").write_text(json.dumps(values), encoding="utf-8")
    plugin = folder / "inventory/opennebula.yml"
    text = plugin.read_text(encoding="utf-8")
    for old, new in (("/var/lib/one-sandbox/", f"{HOME}/"), (":2633/", f":{PORTS['xmlrpc']}/"),
                     (":2474", f":{PORTS['oneflow']}")):
        assert old in text
        text = text.replace(old, new)
    plugin.write_text(text, encoding="utf-8")


@pytest.fixture(scope="session")
def walk() -> Iterator[Walk]:
    """A fresh sandbox cloud and its inventory; everything of it is removed afterwards, also after a failure."""
    with tempfile.TemporaryDirectory(prefix="flower-e2e-") as name:
        folder = Path(name)
        write_inventory(folder)
        the_walk = Walk(folder)
        up = the_walk.playbook("sandbox", sandbox_state="reset")
        try:
            assert up.code == 0, "the sandbox cloud did not start"
            yield the_walk
        finally:
            the_walk.playbook("sandbox", sandbox_state="down", sandbox_engine_stop=True)
            shutil.rmtree(HOME, ignore_errors=True)
