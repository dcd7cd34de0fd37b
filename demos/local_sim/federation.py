# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SuperLink and SuperNodes on loopback, without TLS and without keys: nothing of it leaves this machine.

Flags, submission and the reading of the log are those of a real federation; VMs, trust and firewall are left out.
"""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from flower_ops import profiles
from flower_ops.flower_cli.flwr_cli import FlwrCliError, connection_files
from flower_ops.runs import status, submit
from flower_ops.runs.app import App, load_app
from flower_ops.runs.record import Places

from local_sim.environment import FLOWER_OPS
from local_sim.processes import Processes, free_ports

START_S = 180.0
LOOK_S = 10.0
LOG_S = 60.0


def sizes(app: App, nodes: int) -> dict[str, int]:
    """Nodes of a round: all, in an app that can be told so."""
    return {key: nodes for key in ("min-available-clients", "min-fit-clients") if key in app.config}


class SimulationError(Exception):
    """The simulation cannot go on; the text is one sentence."""


class Federation:
    """A context manager. `node_config` gives node number k what it has beyond its partition, as TOML."""

    def __init__(self, folder: Path, venv: Path, nodes: int, node_config: Mapping[int, str]) -> None:
        self.folder, self.venv, self.nodes, self.node_config = folder, venv, nodes, node_config
        self.places = Places(folder)
        self.processes = Processes(folder)
        self.profile = profiles.profile(profiles.installed(venv))

    def __enter__(self) -> Federation:
        try:
            self._start()
        except BaseException:
            self.processes.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.processes.stop()

    def submit(self, app: Path, run_config: Mapping[str, Any]) -> str:
        """Submit an app; with as many nodes a round as there are, unless the configuration says otherwise."""
        wanted = {**sizes(load_app(app), self.nodes), **run_config}
        return str(submit.submit(self.places, app, wanted)["run_id"])

    def look(self, run_id: str, seen: str) -> dict[str, Any]:
        """The run's state, as soon as it is no longer `seen` or after a while."""
        if not self.processes.all_run():
            raise SimulationError("A process of the federation has ended before the run did.")
        return status.status(self.places, run_id, wait=LOOK_S, seen=seen)

    def log(self, run_id: str) -> str:
        """The whole log of a run that has ended, as far as it can be had."""
        with self.places.cli().log_stream(run_id) as process:
            try:
                said, _nothing = process.communicate(timeout=LOG_S)
            except subprocess.TimeoutExpired:
                process.kill()
                said, _nothing = process.communicate()
        return said.decode("utf-8", "replace")

    def _start(self) -> None:
        home = self.places.root / "opt/flower"
        (home / "runs").mkdir(parents=True)
        (home / "venv").symlink_to(self.venv)
        fleet, control, *free = free_ports(4 + 2 * self.nodes)
        # Where one port serves all, nodes come to that of the Control API.
        link = control if self.profile.fleet_port_is_shared else fleet
        for name, content in connection_files(self.profile, f"127.0.0.1:{control}", None).items():
            path = home / "cli" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        ports = replace(self.profile.ports, serverappio=free[0], superlink_health=free[1])
        arguments = replace(self.profile, ports=ports).superlink(
            fleet=f"127.0.0.1:{fleet}",
            control=f"127.0.0.1:{control}",
            database=str(self.folder / "state.db"),
            certs=None,
            auth=False,
        )
        self._launch("superlink", "superlink", arguments, self.profile.superlink_environment())
        self._wait(0, "The SuperLink does not answer")
        for number in range(self.nodes):
            ports = replace(ports, clientappio=free[2 + 2 * number], supernode_health=free[3 + 2 * number])
            arguments = replace(self.profile, ports=ports).supernode(superlink=f"127.0.0.1:{link}", ca=None, key=None)
            told = f"partition-id={number} num-partitions={self.nodes} {self.node_config.get(number, '')}".strip()
            arguments += ["--node-config", told]
            self._launch("supernode", f"supernode-{number}", arguments, self.profile.supernode_environment())
        self._wait(self.nodes, "Not all SuperNodes are online")

    def _launch(self, kind: str, name: str, arguments: list[str], more: Mapping[str, str]) -> None:
        home = self.folder / name
        home.mkdir()
        path = [more["PYTHONPATH"]] if "PYTHONPATH" in more else []
        environment = {
            # Nodes share the cores of this machine.
            "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) // self.nodes)),
            **os.environ,
            "PATH": f"{self.venv}/bin{os.pathsep}{os.environ.get('PATH', os.defpath)}",
            "FLWR_HOME": str(home / "flwr"),
            "PYTHONUNBUFFERED": "1",
            "TF_CPP_MIN_LOG_LEVEL": "2",
            **self.profile.environment,
            "PYTHONPATH": os.pathsep.join([*path, str(FLOWER_OPS)]),
        }
        command = [str(self.venv / f"bin/flower-{kind}"), *arguments]
        self.processes.start(command, environment, home, self.folder / f"{name}.log")

    def _wait(self, online: int, what: str) -> None:
        cli = self.places.cli()
        end = time.monotonic() + START_S
        while self.processes.all_run() and time.monotonic() < end:
            try:
                if [node.get("status") for node in cli.supernodes()].count("online") >= online:
                    return
            except FlwrCliError as error:
                if not error.unreachable:
                    raise
            time.sleep(0.5)
        said = self.processes.logs[-1].read_text(encoding="utf-8", errors="replace").strip().splitlines()
        raise SimulationError(f"{what}; its log ends with: {said[-1] if said else 'nothing'}")
