# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud of the tests' own, beside one that a user may have running, and playbooks as a user calls them."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.request
import xmlrpc.client
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
HOME = Path("/var/lib/one-sandbox-test")
NETWORK = "one-sandbox-test"
SUBNET = "172.30.95.0/24"
PLAIN_IMAGE = "/var/cache/one-sandbox/debian-12.tar"
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
    """Calls playbooks against the tests' sandbox, from a folder that is not the checkout. One federation each."""

    folder: Path
    name: str = "test"

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
        # A VM without a service has nothing but its mark.
        return {
            name: values for name, values in found.items()
            if self.name in (values.get("one_service_name"), values.get("one_attributes", {}).get("FLOWER_FEDERATION"))
        }

    def by_role(self, role: str) -> dict[str, dict[str, Any]]:
        """Hosts of one role, by host name."""
        return {name: values for name, values in self.hosts().items() if values["one_role"] == role}

    def attributes(self) -> dict[int, dict[str, str]]:
        """What each VM of the federation has published, by VM id."""
        return {int(values["one_vm_id"]): values["one_attributes"] for values in self.hosts().values()}

    def superlink(self) -> str:
        """Address of the SuperLink's VM."""
        return str(next(iter(self.by_role("superlink").values()))["ansible_host"])

    def members(self) -> list[dict[str, Any]]:
        """SuperNodes as Flower itself lists them, on the SuperLink."""
        answer = json.loads(self.ssh(self.superlink(), "/opt/flower/venv/bin/flower-ops member list --json"))
        return list(answer["supernodes"])

    def online(self) -> list[dict[str, Any]]:
        """Those that are connected."""
        return [node for node in self.members() if node["status"] == "online"]

    def wait(self, what: str, condition: Callable[[], Any], seconds: float) -> Any:
        """The first true answer of a condition; AssertionError after `seconds`. A machine in trouble may not answer."""
        end = time.monotonic() + seconds
        last: object = None
        while time.monotonic() < end:
            try:
                last = condition()
            except (subprocess.SubprocessError, ValueError, KeyError, StopIteration) as error:
                last = error
            else:
                if last:
                    return last
            time.sleep(2)
        raise AssertionError(f"{what} did not happen within {seconds} s; last seen: {last}")

    def calls(self) -> dict[str, Any]:
        """API calls that the sandbox has counted so far: {"total": n, "writes": n, "by_method": {…}}."""
        return dict(json.loads(one_sandbox("status", f"--home={HOME}"))["calls"])


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


def write_inventory(folder: Path, name: str = "test", **more: Any) -> None:
    """The sandbox inventory with the tests' own ports, home, subnet and folder of keys, and what a test adds."""
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
        "federation_name": name,
        "federation_api_url": f"http://127.0.0.1:{PORTS['xmlrpc']}/RPC2",
        "federation_oneflow_url": f"http://127.0.0.1:{PORTS['oneflow']}",
        "federation_state_dir": str(folder / "state"),
        **more,
    }
    (folder / "inventory/group_vars/all/20-test.yml").write_text(json.dumps(values), encoding="utf-8")
    plugin = folder / "inventory/opennebula.yml"
    text = plugin.read_text(encoding="utf-8")
    for old, new in (("/var/lib/one-sandbox/", f"{HOME}/"), (":2633/", f":{PORTS['xmlrpc']}/"),
                     (":2474", f":{PORTS['oneflow']}")):
        assert old in text
        text = text.replace(old, new)
    if more.get("federation_oneflow_url") == "":
        # Otherwise VMs without a service would not be seen, whether they stand or not.
        assert "include_standalone: false" in text
        text = text.replace("include_standalone: false", "include_standalone: true")
    plugin.write_text(text, encoding="utf-8")


@contextmanager
def federation(name: str, **values: Any) -> Iterator[Walk]:
    """An inventory for one federation on the tests' sandbox, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix=f"flower-e2e-{name}-") as folder:
        write_inventory(Path(folder), name, **values)
        yield Walk(Path(folder), name)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Walk]:
    """A fresh sandbox cloud; everything of it is removed afterwards, also after a failure, and that is looked at."""
    with federation("none") as walk:
        up = walk.playbook("sandbox", sandbox_state="reset")
        try:
            assert up.code == 0, "the sandbox cloud did not start"
            yield walk
        finally:
            down = walk.playbook("sandbox", sandbox_state="down")
            left = leftovers() if down.code == 0 else ["the cloud did not go down"]
            # The engine last, and only if this started it: without it nobody could say what is left.
            walk.playbook("sandbox", sandbox_state="down", sandbox_engine_stop=True)
            shutil.rmtree(HOME, ignore_errors=True)
        assert not left


def leftovers() -> list[str]:
    """What the tests' cloud left behind: containers, networks, volumes, processes."""
    volumes = [name for name in docker("volume", "ls", "--format", "{{.Name}}").split() if name.startswith(NETWORK)]
    networks = [name for name in docker("network", "ls", "--format", "{{.Name}}").split() if name == NETWORK]
    processes = [
        str(path) for path in Path("/proc").glob("[0-9]*/cmdline")
        if b"one_sandbox" in read(path) and str(HOME).encode() in read(path)
    ]
    return docker("ps", "--all", "--quiet", "--filter", f"network={NETWORK}").split() + volumes + networks + processes


def one_sandbox(*arguments: str) -> str:
    """Output of a command of the sandbox."""
    return subprocess.run(
        [shutil.which("python3") or "python3", "-m", "one_sandbox", *arguments],
        capture_output=True, text=True, check=True, cwd=ROOT / "roles/sandbox/files",
    ).stdout


def credentials() -> tuple[str, str]:
    """Name and password of the cloud's administrator."""
    name, _separator, password = (HOME / "one_auth").read_text(encoding="utf-8").strip().partition(":")
    return name, password


def vm_action(action: str, vm: int) -> None:
    """Do to a VM what its owner may do beside the playbooks: reboot, poweroff, resume, terminate-hard."""
    server = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{PORTS['xmlrpc']}/RPC2")
    answer = server.one.vm.action(":".join(credentials()), action, vm)
    assert isinstance(answer, list) and answer[0], answer


def scale_behind_our_back(service: int, role: str, cardinality: int) -> None:
    """What OneFlow's own command does, or Sunstone: no playbook knows of it."""
    body = json.dumps({"role_name": role, "cardinality": cardinality, "force": False}).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{PORTS['oneflow']}/service/{service}/scale", body)
    secret = base64.b64encode(":".join(credentials()).encode()).decode()
    request.add_header("Authorization", f"Basic {secret}")
    with urllib.request.urlopen(request, timeout=30) as answer:
        assert answer.status < 300


def docker(*arguments: str) -> str:
    """Output of the engine's client."""
    return subprocess.run(["docker", *arguments], capture_output=True, text=True, check=True).stdout.strip()


def read(path: Path) -> bytes:
    """Content of a file, empty where it has gone."""
    try:
        return path.read_bytes()
    except OSError:
        return b""
