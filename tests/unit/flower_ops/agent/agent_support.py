# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A node in a folder: its files below a root, a OneGate on a socket, services that really listen."""

from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fake_onegate import FakeOneGate
from flower_ops import context as variables
from flower_ops.agent import agent, boot
from flower_ops.keeper.keeper import Keeper
from flower_ops.keeper.keeper_look import Action
from flower_ops.keeper.keeper_sight import LinkSight, NodeSight
from flower_ops.machine.onegate import OneGate
from flower_ops.machine.paths import Paths
from flower_ops.machine.systemd import UnitState

# A process with one child, as a SuperNode is after the SuperLink has accepted it.
PARENT = "import subprocess,sys; subprocess.Popen(['sleep','60']); print('up',flush=True); sys.stdin.read()"


# No process has this id: it is beyond the greatest that Linux gives.
NOBODY = 2**22 + 7


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Listener:
    """Accepts on loopback until closed, with TLS when given a certificate."""

    def __init__(self, port: int, cert: Path | None = None, key: Path | None = None) -> None:
        self._socket = socket.create_server(("127.0.0.1", port))
        self._context = None
        if cert is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(cert, key)
            self._context.set_alpn_protocols(["h2"])
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _rest = self._socket.accept()
            except OSError:
                return
            try:
                if self._context is not None:
                    plain = self._context.wrap_socket(plain, server_side=True)
            except OSError:
                pass
            plain.close()

    def close(self) -> None:
        """Free the port, should that not have been done."""
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()


class FakeSystemd:
    """Keeps states of units; `on_start` does what the started service would do."""

    available = True

    def __init__(self, units: Path) -> None:
        self.units = units
        self.active: dict[str, int] = {}
        self.enabled: set[str] = set()
        self.calls: list[str] = []
        self.cut_off = False
        self.says: bool | None = True
        #: Texts that a service which is cut off has logged; a restart makes them old.
        self.said: set[str] = set()
        self.old = 3600.0
        self.on_start: Callable[[str], int] = lambda unit: 1

    def state(self, unit: str) -> UnitState:
        """See flower_ops.machine.systemd."""
        return UnitState(
            loaded=(self.units / unit).exists(),
            active=unit in self.active,
            enabled=unit in self.enabled,
            main_pid=self.active.get(unit, 0),
        )

    def enable(self, unit: str) -> None:
        """See flower_ops.machine.systemd."""
        self.calls.append(f"enable {unit}")
        self.enabled.add(unit)

    def restart(self, unit: str) -> None:
        """See flower_ops.machine.systemd."""
        self.calls.append(f"restart {unit}")
        self.said.clear()
        self.active[unit] = self.on_start(unit)

    def restart_later(self, unit: str) -> None:
        """See flower_ops.machine.systemd."""
        self.restart(unit)

    def stop(self, unit: str) -> None:
        """See flower_ops.machine.systemd."""
        self.active.pop(unit, None)

    def reload(self) -> None:
        """See flower_ops.machine.systemd."""

    def journal(self, unit: str, lines: int = 3) -> str:
        """See flower_ops.machine.systemd."""
        return "Address already in use"

    def logged(self, unit: str, text: str) -> bool | None:
        """See flower_ops.machine.systemd."""
        return text in self.said if self.cut_off else self.says

    def reaches(self, endpoint: str) -> bool:
        """See flower_ops.machine.systemd."""
        return not self.cut_off

    def age(self, pid: int) -> float:
        """See flower_ops.machine.systemd."""
        return self.old


class FakeLog:
    """Lines of a journal that a test writes."""

    def __init__(self, lines: list[str]) -> None:
        self._lines = lines

    def read(self) -> list[str]:
        """See flower_ops.machine.journal."""
        lines = self._lines[:]
        self._lines.clear()
        return lines

    def close(self) -> None:
        """See flower_ops.machine.journal."""


class FakeNode:
    """One VM in a folder. `configure()` runs the agent on it and returns (exit code, answer)."""

    def __init__(self, root: Path, role: str, vm_id: str, gate: FakeOneGate | None) -> None:
        self.root = root
        self.role = role
        self.gate = gate
        self.variables: dict[str, str] = {}
        self.ports = {name: free_port() for name in ("fleet", "control", "health")}
        self.slept: list[float] = []
        self.now = 0.0
        #: Lines that Flower's service writes, and what the keeper says.
        self.log: list[str] = []
        self.said: list[str] = []
        #: What happens elsewhere while this node waits: time -> action.
        self.events: dict[float, Callable[[], None]] = {}
        self._opened: list[Any] = []
        (root / "run/one-context").mkdir(parents=True)
        self.install("1.34.0")
        units = root / "etc/systemd/system"
        units.mkdir(parents=True)
        for unit in ("superlink", "supernode", "registrar", "supervisor", "keeper"):
            (units / f"flower-{unit}.service").write_text("[Service]\n")
        self.systemd = FakeSystemd(units)
        self.systemd.on_start = self._serve
        context = {"ETH0_IP": "10.0.0.20", "VMID": vm_id}
        if gate is not None:
            context |= {"ONEGATE_ENDPOINT": gate.endpoint, "TOKENTXT": f"token-{vm_id}"}
        self.context(**context)

    def install(self, version: str, *places: str) -> None:
        """Pretend that this version of Flower is installed in these environments."""
        for place in places or ("venv", "frameworks/sklearn"):
            packages = self.root / "opt/flower" / place / "lib/python3.11/site-packages"
            (packages / f"flwr-{version}.dist-info").mkdir(parents=True)

    def context(self, **values: str) -> None:
        """Change what contextualisation left behind."""
        place = self.root / "run/one-context/one_env"
        old = place.read_text() if place.exists() else ""
        # Of two lines for one name the first counts.
        place.write_text("".join(f'export {key}="{value}"\n' for key, value in values.items()) + old)

    def onegate(self) -> OneGate:
        """OneGate as this VM reaches it."""
        gate = OneGate.from_context(variables.parse_one_env(self.path("/run/one-context/one_env").read_text()))
        assert gate is not None
        return gate

    def own(self) -> dict[str, str]:
        """User template of this VM, asked from OneGate."""
        return self.onegate().own()

    def path(self, name: str) -> Path:
        """A file of the node."""
        return self.root / name.lstrip("/")

    def configure(self, check: bool = False, timeout: float = 5.0, **variables: str) -> tuple[int, dict[str, Any]]:
        """Run the agent; keyword arguments are variables without ONEAPP_FL_."""
        request = agent.Request(self.role, self.given(**variables), check, self.root, timeout)
        return agent.configure(request, self.systemd, self.sleep, self.clock)

    def given(self, **variables: str) -> dict[str, str]:
        """Overrides as the module passes them; a SuperLink listens on ports of its own."""
        own = {}
        if self.role == "superlink":
            own = {f"{name}_API_ADDRESS": f"127.0.0.1:{self.ports[name.lower()]}" for name in ("FLEET", "CONTROL")}
        return {f"ONEAPP_FL_{name}": value for name, value in {**own, **self.variables, **variables}.items()}

    def boot(self) -> tuple[int, list[str]]:
        """Run what flower-boot.service runs; returns (exit code, lines told)."""
        told: list[str] = []
        code = boot.boot(self.root, 5.0, self.systemd, self.sleep, self.clock, told.append)
        return code, told

    def reboot(self) -> None:
        """Services are down, and what lay in memory is gone; disks and OneGate are as they were."""
        self.close()
        self.systemd.active.clear()
        self.path("/run/flower-ops/booted").unlink(missing_ok=True)

    def keeper(self) -> Keeper:
        """What flower-keeper.service runs, with the agent in this process and the log in `self.log`."""
        kind = LinkSight if self.role == "superlink" else NodeSight
        sight = kind(Paths(self.root), self.systemd, FakeLog(self.log), self.now)

        def configure(role: str) -> tuple[int, dict[str, Any]]:
            request = agent.Request(role, None, root=self.root, timeout=5.0)
            return agent.configure(request, self.systemd, self.sleep, self.clock)

        return Keeper(sight, configure, self.clock, self.said.append, lambda: 1_800_000_000.0)

    def keep(self, keeper: Keeper, seconds: float) -> list[Action]:
        """Let a keeper look every 10 s; returns what it did."""
        done = []
        end = self.now + seconds
        while self.now < end:
            action = keeper.tick()
            if action is not None:
                done.append(action)
            self._pass(10.0)
        return done

    def sleep(self, seconds: float) -> None:
        """Time passes, nearly without waiting."""
        self.slept.append(seconds)
        self._pass(seconds)
        threading.Event().wait(min(seconds, 0.02))

    def _pass(self, seconds: float) -> None:
        self.now += seconds
        for when in sorted(self.events):
            if when <= self.now:
                self.events.pop(when)()

    def clock(self) -> float:
        """Seconds since the node exists."""
        return self.now

    def _serve(self, unit: str) -> int:
        if unit == "flower-superlink.service":
            self.close()
            certs = self.path("/opt/flower/certs")
            secure = "--insecure" not in self.path("/opt/flower/config/superlink.env").read_text()
            files = (certs / "server.pem", certs / "server.key") if secure else (None, None)
            self._opened = [Listener(self.ports[name], *files) for name in ("fleet", "control")]
        if unit == "flower-supernode.service":
            self.close()
            self._opened = [Listener(self.ports["health"]), _Process()]
            return self._opened[1].pid
        return NOBODY

    def close(self) -> None:
        """End what the services started."""
        for item in self._opened:
            item.close()
        self._opened = []


class _Process:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", PARENT], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
        )
        assert self._process.stdout is not None
        self._process.stdout.readline()
        self.pid = self._process.pid

    def close(self) -> None:
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        subprocess.run(["kill", *children], check=False)
        self._process.communicate()
