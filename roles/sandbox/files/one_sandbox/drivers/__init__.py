# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM drivers: what stands between the emulated cloud and something that runs.

A driver is blocking and knows nothing of pools, users or states: the core calls it from worker threads, never while
holding its own lock, and never twice at once for the same VM.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

DeployState = Literal["running", "stopped", "gone"]


class DriverError(Exception):
    """A driver could not do its work; the text is one sentence for the user (it becomes ERROR of the object)."""


@dataclass
class VmSpec:
    """One VM as a driver sees it.

    images: DISK dicts of the VM (upper-case keys: IMAGE_ID, IMAGE, SOURCE, PATH, SIZE in MB …), in disk order.
    nics: NIC dicts (IP, MAC, NETWORK, NETWORK_ID, BRIDGE, GATEWAY, MASK, DNS), in NIC order.
    context: complete CONTEXT section (ETH0_*, VMID, NETWORK, ONEGATE_ENDPOINT, SSH_PUBLIC_KEY …), all values strings.
    token: OneGate token of the VM, "" when CONTEXT has no TOKEN=YES.
    memory_mb: MB; cpu: share of real CPUs (0.1 …); vcpu: virtual CPUs.
    deploy_id: what `deploy` returned before, "" on the first deployment.
    """

    id: int
    name: str
    images: list[dict[str, str]] = field(default_factory=list)
    nics: list[dict[str, str]] = field(default_factory=list)
    context: dict[str, str] = field(default_factory=dict)
    token: str = ""
    memory_mb: int = 0
    cpu: float = 0.0
    vcpu: int = 1
    deploy_id: str = ""


class Driver(Protocol):
    """Every method may raise DriverError. Methods are safe to repeat (an interrupted call is made again)."""

    name: str

    def prepare_network(self, vnet: dict[str, Any]) -> None:
        """Make the network exist. vnet: ID, NAME, BRIDGE, GATEWAY, NETWORK_ADDRESS, NETWORK_MASK (strings)."""

    def import_image(self, image: dict[str, Any]) -> int:
        """Bring an image in. image: ID, NAME, TYPE ("OS"…), PATH, SOURCE, SIZE. Sets image["SOURCE"]. Returns MB."""

    def delete_image(self, image: dict[str, Any]) -> None:
        """Forget an image (same dict as for import_image)."""

    def deploy(self, vm: VmSpec) -> str:
        """First start. Returns the deploy id, by which `state` finds the VM."""

    def poweroff(self, vm: VmSpec, hard: bool) -> None:
        """Stop the VM, keeping its disks."""

    def resume(self, vm: VmSpec) -> None:
        """Start a stopped VM again (with the context of `vm`, which may have changed)."""

    def reboot(self, vm: VmSpec, hard: bool) -> None:
        """Restart a running VM."""

    def terminate(self, vm: VmSpec, hard: bool) -> None:
        """Remove the VM and its disks. No error when it is gone already."""

    def state(self, deploy_id: str) -> DeployState:
        """What a monitor would see."""

    def purge(self) -> None:
        """Remove everything this driver ever made for this home."""


def make_driver(name: str, home_id: str, network: str, subnet: str) -> Driver:
    """The driver called `name` ("docker" or "dummy"); home_id labels what it makes. Raises DriverError."""
    if name == "dummy":
        from .dummy import DummyDriver

        return DummyDriver()
    if name == "docker":
        from .docker import DockerDriver

        factory: Callable[..., Driver] = DockerDriver
        return factory(home_id, network, subnet)
    raise DriverError(f"There is no VM driver {name!r}; choose docker or dummy.")
