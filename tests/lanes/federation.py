# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A federation of one Flower version in a folder: configured by the agent, run as plain processes on loopback."""

from __future__ import annotations

import base64
import shlex
import uuid
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles
from flower_ops.agent import agent
from flower_ops.flower_cli.flwr_cli import FlwrCli, FlwrCliError
from flower_ops.flower_cli.flwr_session import FlwrSession
from flower_ops.runs import status as run_status
from flower_ops.runs import submit as run_submit
from flower_ops.runs.record import Places

from .environments import environment
from .faults import FILE, VARIABLE
from .processes import MARK, Service, end_all, free_port, wait_until

HOME = "/opt/flower"
APP = Path(__file__).parent / "app"
# Upper bounds, for machines with a lot else to do.
START_S = 240.0


class Machine:
    """What would be a VM: a root folder that the agent has configured for a role, and the services in it."""

    def __init__(
        self, root: Path, version: str, role: str, variables: Mapping[str, str], framework: str = "sklearn"
    ) -> None:
        self.root, self.role = root, role
        self.ports = profiles.Ports(*(free_port() for _port in range(6)))
        self.profile = replace(profiles.profile(version), ports=self.ports)
        self.home = root / HOME[1:]
        for link in ("venv", f"frameworks/{framework}"):
            (self.home / link).parent.mkdir(parents=True, exist_ok=True)
            (self.home / link).symlink_to(environment(version, framework))
        given = {f"ONEAPP_FL_{name}": value for name, value in variables.items()}
        request = agent.Request(role, {"ONEAPP_FLOWER_VERSION": version, **given}, root=root)
        with pytest.MonkeyPatch.context() as patch:
            # The ports of a VM's own loopback must differ between machines that share one.
            patch.setattr(profiles, "profile", lambda version: self.profile)
            code, self.answer = agent.configure(request)
        assert code == 0, self.answer
        # Files name places of the machine, and its root is a folder here.
        for path in (*self.home.glob("config/*.env"), *self.home.glob("cli/**/*.toml")):
            path.write_text(path.read_text().replace(f"{HOME}/", f"{self.home}/"))

    def file(self, name: str) -> Path:
        """A file below /opt/flower."""
        return self.home / name

    def settings(self, name: str) -> dict[str, str]:
        """An environment file as systemd reads it."""
        words = shlex.split(self.file(f"config/{name}.env").read_text())
        return dict(word.partition("=")[::2] for word in words)

    def service(self, program: str, arguments: list[str], settings: Mapping[str, str]) -> Service:
        """A service of this machine with the environment that its unit gives it."""
        state = self.file("state")
        environment_of_unit = {
            "PATH": f"{self.home}/venv/bin:/usr/local/bin:/usr/bin:/bin",
            "HOME": str(state),
            "FLWR_HOME": f"{state}/flwr",
            "PYTHONUNBUFFERED": "1",
            **self.profile.environment,
            **{key: value for key, value in settings.items() if not key.startswith(("FLOWER_", "GATE_"))},
        }
        command = [f"{self.home}/venv/bin/{program}", *arguments]
        return Service(command, environment_of_unit, state, self.root / f"{program}.log")


class Federation:
    """A SuperLink, where needed its gate, and SuperNodes with registered keys.

    `link`: the address that nodes are given for the SuperLink's own, such as that of a relay in between. `framework`:
    what nodes have; the SuperLink has the smallest environment.
    """

    def __init__(
        self,
        folder: Path,
        version: str,
        nodes: int = 2,
        listen: str = "127.0.0.1",
        link: Callable[[str], str] = str,
        framework: str = "sklearn",
    ) -> None:
        self.folder, self.version, self.framework = folder, version, framework
        self._mark = uuid.uuid4().hex
        self.profile = profiles.profile(version)
        self.fleet = f"127.0.0.1:{free_port()}"
        self.control = f"127.0.0.1:{free_port()}"
        variables = {
            "FLEET_API_ADDRESS": self.fleet.replace("127.0.0.1", listen),
            "CONTROL_API_ADDRESS": self.control,
            "NUM_PARTITIONS": str(nodes),
        }
        self.hub = Machine(folder / "superlink", version, "superlink", variables)
        settings = self.hub.settings("superlink")
        self.superlink = self.hub.service("flower-superlink", shlex.split(settings["FLOWER_ARGS"]), settings)
        self.services = [self.superlink]
        self.gate: Service | None = None
        if self.profile.fleet_port_is_shared:
            arguments = shlex.split(self.hub.settings("gate")["GATE_ARGS"])
            self.gate = self.hub.service("python", ["-m", "flower_ops.gate", *arguments], {})
            self.services.append(self.gate)
        self._seen_by_nodes = link(self.fleet)
        self.machines = [self._node(number, nodes) for number in range(nodes)]
        self.nodes: list[Service] = []
        for machine in self.machines:
            settings = machine.settings("supernode")
            words = [*shlex.split(settings["FLOWER_ARGS"]), "--node-config", settings["FLOWER_NODE_CONFIG"]]
            self.nodes.append(machine.service("flower-supernode", words, settings))
        self.services += self.nodes
        self.places = Places(self.hub.root)
        self.cli: FlwrCli = self.places.cli()

    def _node(self, number: int, nodes: int) -> Machine:
        certificate = self.hub.file("certs/ca.crt").read_bytes()
        variables = {
            "SUPERLINK_ADDRESS": self._seen_by_nodes,
            "NODE_CONFIG": f"partition-id={number} num-partitions={nodes}",
            "SSL_CA_CERTFILE": base64.b64encode(certificate).decode(),
            "FRAMEWORK": self.framework,
        }
        return Machine(self.folder / f"node-{number}", self.version, "supernode", variables, self.framework)

    def start(self, first_node: Mapping[str, str] | None = None, **superlink_environment: str) -> None:
        """SuperLink, gate, registration of all keys, SuperNodes; returns when all are online.

        first_node: environment of the first SuperNode only.
        """
        self.start_superlink(**superlink_environment)
        # As the registrar does it: one process of flwr for all keys.
        session = FlwrSession(self.cli.binary, self.cli.home, user=None)
        try:
            self.node_ids = [session.register(machine.file("certs/supernode.pub")) for machine in self.machines]
        finally:
            session.close()
        self.nodes[0].start(**(first_node or {}))
        for node in self.nodes[1:]:
            node.start()
        self.wait_online()

    def start_superlink(self, **more: str) -> None:
        """SuperLink and gate, until the Control API answers."""
        for service in (self.superlink, *([self.gate] if self.gate else [])):
            service.start(**(more if service is self.superlink else {}))
        self.wait_answers()

    def wait_answers(self) -> None:
        """Until the Control API answers."""
        wait_until(self._answers, START_S, f"the SuperLink does not answer; see the logs below {self.folder}")

    def wait_online(self) -> None:
        """Until the SuperLink counts every node as online."""

        def online() -> bool:
            return [node["status"] for node in self.cli.supernodes()].count("online") == len(self.nodes)

        wait_until(online, START_S, f"not all nodes are online; see the logs below {self.folder}")

    def _answers(self) -> bool:
        assert self.superlink.running, self.superlink.said()
        try:
            self.cli.supernodes()
        except FlwrCliError:
            return False
        return True

    def train(self, timeout: float = 600.0, app: Path = APP, **run_config: Any) -> dict[str, Any]:
        """Submit an app and follow it to its end; the run's status as flower-ops tells it."""
        run_id = self.submit(app, **run_config)
        return self.finish(run_id, timeout)

    def submit(self, app: Path = APP, **run_config: Any) -> str:
        """Submit an app as flower-ops does; the watcher starts with it."""
        given = {name.replace("_", "-"): value for name, value in run_config.items()}
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv(MARK, self._mark)
            return str(run_submit.submit(self.places, app, given)["run_id"])

    def status(self, run_id: str) -> dict[str, Any]:
        """A run's status as flower-ops tells it."""
        return run_status.status(self.places, run_id)

    def finish(self, run_id: str, timeout: float = 600.0) -> dict[str, Any]:
        """Follow a run to its end."""
        try:
            wait_until(lambda: self.status(run_id)["finished"], timeout, f"run {run_id} has not finished")
        except AssertionError as error:
            said = "\n".join(service.said()[-1500:] for service in self.services)
            raise AssertionError(f"{error}: {self.status(run_id)}\n{said}") from None
        return self.status(run_id)

    def stop(self) -> None:
        """End everything, whatever state it is in."""
        # Those that follow runs.
        end_all(self._mark)
        for service in reversed(self.services):
            service.stop()

    @staticmethod
    def fault(name: str, folder: Path) -> dict[str, str]:
        """Environment that makes a fault happen once."""
        return {VARIABLE: name, FILE: str(folder / f"{name}.happened")}
