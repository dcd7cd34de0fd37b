# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One cloud: the core, its XML-RPC server, OneFlow and OneGate."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from ipaddress import IPv4Network
from pathlib import Path
from types import TracebackType

from .drivers import Driver, DriverError, make_driver
from .faults import Faults
from .flow.server import FlowServer
from .gate.server import GateServer
from .home import Home
from .oned import Oned, Options, seeds
from .oned import template as tpl
from .oned.calls import CallCounter
from .oned.server import XmlRpcServer
from .tally import Tally

SUBNET, NETWORK = "172.30.99.0/24", "one-sandbox"


@dataclass(frozen=True)
class Endpoints:
    """URLs for clients; xmlrpc ends in /RPC2."""

    xmlrpc: str
    oneflow: str
    onegate: str


class Sandbox:
    """A cloud in this process; also a context manager.

    home: where it keeps everything. driver: "docker" (VMs are containers) or "dummy" (VMs are entries in a table).
    Ports: 0 takes a free one. boot_delay, image_delay: seconds that a boot, an import take at least.
    flow_interval: seconds between two looks of OneFlow at its services; monitor_interval: of the monitor at VMs.
    After `start()`: endpoints, username, password, calls (what clients asked for), oned, drivers (by name).
    faults: what shall go wrong, see one_sandbox.faults.
    Raises HomeBusyError, DriverError, OSError (a port in use) from `start`.
    """

    def __init__(
        self, home: Path, driver: str = "dummy", *, host: str = "127.0.0.1", xmlrpc_port: int = 0,
        oneflow_port: int = 0, onegate_port: int = 0, subnet: str = SUBNET, network: str = NETWORK,
        boot_delay: float = 0.3, image_delay: float = 0.2, flow_interval: float = 1.0, monitor_interval: float = 3.0,
    ) -> None:  # fmt: skip
        self.home = Home(Path(home))
        self.driver, self.host, self.subnet, self.network = driver, host, subnet, network
        self._ports = (xmlrpc_port, oneflow_port, onegate_port)
        self._flow_interval = flow_interval
        self._options = Options(
            boot_delay=boot_delay, image_delay=image_delay, schedule_interval=min(boot_delay, 0.5),
            monitor_interval=monitor_interval,
        )  # fmt: skip
        self.drivers: dict[str, Driver] = {}
        self.faults = Faults(self.home.path)
        self._closers: list[Callable[[], None]] = []

    @property
    def calls(self) -> CallCounter:
        """Requests of clients since the start or the last `calls.reset()`."""
        return self.oned.calls

    def start(self) -> None:
        """Start everything; what cannot be started completely is stopped again."""
        try:
            self._start()
        except BaseException:
            self.stop()
            raise

    def _start(self) -> None:
        self.home.lock()
        self._closers.append(self.home.unlock)
        self.username, self.password = self.home.credentials()
        # Before anything is made: `down` must know what to look for, even if the start fails half-way.
        self._describe({})
        for name in sorted({"dummy", self.driver}):
            self.drivers[name] = make_driver(name, self.home.id, self.network, self.subnet)
        self.oned = Oned(self.home.path, self.drivers, self._options)
        self.oned.host_problem = self.faults.host_problem
        self._closers.append(self.oned.stop)
        seeds.plant(self.oned, self.password, self.driver, self.subnet, self.network)
        self._prepare_networks()
        with _naming("XML-RPC", self._ports[0]):
            server = XmlRpcServer(self.oned, self.host, self._ports[0], self.faults)
        with _naming("OneFlow", self._ports[1]):
            self.flow = FlowServer(self.oned, self.host, self._ports[1], self._flow_interval, faults=self.faults)
        with _naming("OneGate", self._ports[2]):
            self.gate = GateServer(self.oned, self.flow.lifecycle, self._gate_hosts(), self._ports[2], self.faults)
        self._options.onegate_endpoint = f"http://{self._gate_hosts()[-1]}:{self.gate.port}"
        self._options.zone_endpoint = server.url
        self.endpoints = Endpoints(server.url, self.flow.url, self.gate.url)
        self.oned.start()
        for part in (self.gate, self.flow, server):
            part.start()
            self._closers.append(part.stop)
        self._closers.append(self.faults.stop)
        tally = Tally(self.home, self.calls)
        tally.start()
        self._closers.append(tally.stop)
        self._describe(asdict(self.endpoints))

    def _describe(self, endpoints: dict[str, str]) -> None:
        self.home.write_description({
            "endpoints": endpoints, "pid": os.getpid(), "driver": self.driver, "subnet": self.subnet,
            "network": self.network,
        })  # fmt: skip

    def _prepare_networks(self) -> None:
        for vnet in self.oned.pools["vn"].values():
            driver = self.drivers.get(tpl.scalar(vnet.template, "VN_MAD"))
            if driver is not None:
                driver.prepare_network({**vnet.template, "ID": vnet.oid, "NAME": vnet.name})

    def _gate_hosts(self) -> list[str]:
        if self.driver == "dummy":
            return [self.host]
        # VMs reach OneGate on the address that the bridge gives to this machine.
        return [self.host, str(IPv4Network(self.subnet).network_address + 1)]

    def stop(self) -> None:
        """Stop serving. VMs keep running; a sandbox started later on the same home finds them again."""
        while self._closers:
            self._closers.pop()()

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@contextmanager
def _naming(what: str, port: int) -> Iterator[None]:
    """Let a port that cannot be had be named in the error."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or error
        raise OSError(f"{what} cannot listen on port {port}: {reason}; choose another port.") from error


__all__ = ["Driver", "DriverError", "Endpoints", "Sandbox"]
