# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A sandbox cloud of the bench's own, beside one that a user may have running, and an inventory for it."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .play import BenchError, Played, play

ROOT = Path(__file__).resolve().parents[2]
NETWORK = "one-sandbox-bench"
# Counts of calls reach the file that `status` reads within half a second.
TALLY_S = 1.0


@dataclass
class Place:
    """One sandbox in `folder`: its home, its inventory, the federation's keys. `image_cache` holds the base image."""

    folder: Path
    subnet: str
    logs: Path
    image_cache: Path = Path("/var/cache/one-sandbox")
    ports: dict[str, int] = field(
        default_factory=lambda: dict(zip(("xmlrpc", "oneflow", "onegate"), free_ports(3), strict=True))
    )
    deployed: bool = False
    _count: int = 0

    @property
    def home(self) -> Path:
        """Home of the sandbox."""
        return self.folder / "sandbox"

    @property
    def inventory(self) -> Path:
        """The inventory of `inventories/sandbox` with the values of this place."""
        return self.folder / "inventory"

    @property
    def state(self) -> Path:
        """The federation's keys on the control machine."""
        return self.folder / "state"

    @property
    def sandbox_variables(self) -> dict[str, Any]:
        """What the role sandbox has to know."""
        return {
            "sandbox_home": str(self.home), "sandbox_network": NETWORK, "sandbox_subnet": self.subnet,
            "sandbox_image_cache": str(self.image_cache), "sandbox_xmlrpc_port": self.ports["xmlrpc"],
            "sandbox_oneflow_port": self.ports["oneflow"], "sandbox_onegate_port": self.ports["onegate"],
        }  # fmt: skip

    def write(self) -> None:
        """Make the inventory."""
        shutil.copytree(ROOT / "inventories/sandbox", self.inventory)
        values = self.inventory / "group_vars/all"
        values.mkdir()
        shutil.move(self.inventory / "group_vars/all.yml", values / "10-sandbox.yml")
        own = {
            **self.sandbox_variables,
            "federation_name": "bench",
            "federation_api_url": f"http://127.0.0.1:{self.ports['xmlrpc']}/RPC2",
            "federation_oneflow_url": f"http://127.0.0.1:{self.ports['oneflow']}",
            "federation_image_path": str(self.image_cache / "debian-12.tar"),
            "federation_state_dir": str(self.state),
        }
        (values / "20-bench.yml").write_text(json.dumps(own), encoding="utf-8")
        # The playbooks find their hosts by themselves; the plugin's file names another sandbox's ports.
        (self.inventory / "opennebula.yml").unlink()

    def playbook(self, name: str, **variables: Any) -> Played:
        """Run a playbook by its name in playbooks/ (or by its path below the checkout)."""
        target = ROOT / (name if "/" in name else f"playbooks/{name}.yml")
        command = ["ansible-playbook", "-i", str(self.inventory), str(target)]
        for key, value in variables.items():
            command += ["-e", json.dumps({key: value})]
        self._count += 1
        return play(command, self.folder, self.logs / f"{self._count:02}-{target.stem}.log")

    def up(self) -> None:
        """Start the cloud."""
        self.playbook("sandbox", sandbox_state="up")

    def down(self) -> None:
        """Remove the cloud with everything in it."""
        self.playbook("sandbox", sandbox_state="down")

    def deploy_once(self) -> None:
        """A federation of one SuperLink and two SuperNodes, unless it stands; fills the caches on the way."""
        if not self.deployed:
            self.playbook("single_site")
            self.deployed = True

    def calls(self) -> dict[str, Any]:
        """Calls so far, as the sandbox counts them: total, writes (both without OneGate), gate_writes, by_method."""
        time.sleep(TALLY_S)
        as_root = [] if os.geteuid() == 0 else ["sudo", "-n"]
        done = subprocess.run(
            [*as_root, sys.executable, "-m", "one_sandbox", "status", f"--home={self.home}"],
            capture_output=True, text=True, check=False, cwd=ROOT / "roles/sandbox/files",
        )  # fmt: skip
        if done.returncode:
            raise BenchError(f"the sandbox does not tell its state: {done.stderr.strip()}")
        return dict(json.loads(done.stdout)["calls"])


def free_ports(count: int) -> list[int]:
    """TCP ports on loopback that nobody listens on."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _turn in range(count)]
    try:
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()
