# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs as containers that run systemd and SSH on a private network.

Everything made here carries the label `one-sandbox=<home id>`, by which `purge` finds it again.
"""

from __future__ import annotations

import ipaddress
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from ..context import archive
from . import DeployState, DriverError, VmSpec
from .rootfs import checked_path, content_hash
from .routes import holder

if TYPE_CHECKING:
    from docker import DockerClient
    from docker.models.containers import Container

LABEL = "one-sandbox"
_CONTENT_LABEL = "one-sandbox-content"
_DEFAULT_NETWORK = "one-sandbox"
_MEGABYTE = 1024 * 1024
# Long enough for a clean halt; a VM that is just booting ignores the signal and is killed afterwards.
_STOP_SECONDS = 10
_ENGINE_TIMEOUT = 180
_TUN = "/dev/net/tun"
# systemd's own signal for a clean halt; it ignores SIGTERM.
_HALT_SIGNAL = "SIGRTMIN+3"
_ENDPOINT_MAC_SINCE = (1, 44)


class DockerDriver:
    """One engine, one home. home_id: label value; network and subnet: those of the seeded virtual network."""

    name = "docker"

    def __init__(self, home_id: str, network: str, subnet: str) -> None:
        self._home = home_id
        self._prefix = "one" if network == _DEFAULT_NETWORK else network
        self._subnets = {network: subnet}
        self._connection: DockerClient | None = None
        self._lock = threading.Lock()

    # -- networks ------------------------------------------------------------------------------------------------

    def prepare_network(self, vnet: dict[str, Any]) -> None:
        """Create the bridge named BRIDGE, its subnet from NETWORK_ADDRESS and NETWORK_MASK. Raises DriverError."""
        name = str(vnet.get("BRIDGE") or "")
        if not name:
            raise DriverError(f"Virtual network {vnet.get('NAME')} has no BRIDGE, the name of the engine's network.")
        with self._engine() as client:
            found = [item for item in client.networks.list(names=[name]) if item.name == name]
            if found:
                self._check_owner(found[0].attrs.get("Labels"), f"network {name}")
                return
            from docker.types import IPAMConfig, IPAMPool

            subnet = subnet_of(vnet) or self._subnets.get(name)
            if subnet and (taken := holder(subnet)):
                raise DriverError(
                    f"The addresses {subnet} of the network {name} are in use already, by the interface {taken} of this"
                    " host; choose others (sandbox_subnet) or remove that interface."
                )
            pools = [IPAMPool(subnet=subnet, gateway=vnet.get("GATEWAY") or None)] if subnet else None
            ipam = IPAMConfig(pool_configs=pools) if pools else None
            client.networks.create(name, driver="bridge", labels={LABEL: self._home}, ipam=ipam)

    # -- images --------------------------------------------------------------------------------------------------

    def import_image(self, image: dict[str, Any]) -> int:
        """PATH: a tar of a root file system on this host; imported once per content. Without PATH an empty disk."""
        if not image.get("PATH"):
            image["SOURCE"] = ""
            return int(image.get("SIZE") or 0)
        path = checked_path(str(image["PATH"]))
        digest = content_hash(path)
        tag = f"{LABEL}/{self._home}:{digest[:16]}"
        with self._engine() as client:
            present = client.images.list(filters={"label": f"{_CONTENT_LABEL}={digest}"})
            if not present:
                repository, _separator, version = tag.rpartition(":")
                client.api.import_image(
                    src=str(path), repository=repository, tag=version, changes=[f"LABEL {_CONTENT_LABEL}={digest}"]
                )
            elif tag not in present[0].tags:
                present[0].tag(*tag.rsplit(":", 1))
            size = int(client.images.get(tag).attrs["Size"])
        image["SOURCE"] = tag
        return max(1, round(size / _MEGABYTE))

    def delete_image(self, image: dict[str, Any]) -> None:
        """The imported content stays cached until `purge`: the same file often comes back at once."""

    # -- VMs -----------------------------------------------------------------------------------------------------

    def deploy(self, vm: VmSpec) -> str:
        with self._engine() as client:
            self._remove(client, vm)
            container = self._create(client, vm)
            try:
                container.put_archive("/", archive(vm.context, vm.token))
                for nic in vm.nics[1:]:
                    client.networks.get(nic["BRIDGE"]).connect(container, ipv4_address=nic.get("IP"))
                container.start()
            except Exception:
                container.remove(force=True, v=True)
                raise
            return str(container.id)

    def poweroff(self, vm: VmSpec, hard: bool) -> None:
        with self._engine() as client:
            container = self._container(client, vm)
            if container.status == "running":
                if hard:
                    container.kill()
                else:
                    container.stop(timeout=_STOP_SECONDS)

    def resume(self, vm: VmSpec) -> None:
        with self._engine() as client:
            container = self._container(client, vm)
            container.put_archive("/", archive(vm.context, vm.token))
            container.start()

    def reboot(self, vm: VmSpec, hard: bool) -> None:
        with self._engine() as client:
            self._container(client, vm).restart(timeout=0 if hard else _STOP_SECONDS)

    def terminate(self, vm: VmSpec, hard: bool) -> None:
        with self._engine() as client:
            if not hard and vm.deploy_id:
                for container in client.containers.list(filters={"id": vm.deploy_id}):
                    container.stop(timeout=_STOP_SECONDS)
            self._remove(client, vm)

    def state(self, deploy_id: str) -> DeployState:
        from docker.errors import NotFound

        with self._engine() as client:
            try:
                status = client.containers.get(deploy_id).status
            except NotFound:
                return "gone"
        return "running" if status in ("running", "restarting") else "stopped"

    def purge(self, keep_images: bool = False) -> None:
        """Remove all containers, volumes, networks and (unless kept) images of this home."""
        mine = {"label": f"{LABEL}={self._home}"}
        with self._engine() as client:
            for container in client.containers.list(all=True, filters=mine):
                container.remove(force=True, v=True)
            for volume in client.volumes.list(filters=mine):
                volume.remove(force=True)
            for network in client.networks.list(filters=mine):
                network.remove()
            if not keep_images:
                for image in client.images.list(name=f"{LABEL}/{self._home}"):
                    for tag in image.tags:
                        if tag.startswith(f"{LABEL}/{self._home}:"):
                            client.images.remove(tag)

    # -- inside --------------------------------------------------------------------------------------------------

    def _create(self, client: DockerClient, vm: VmSpec) -> Container:
        source = root_source(vm)
        self._import_again(client, vm, source)
        first = vm.nics[0] if vm.nics else None
        options: dict[str, Any] = {"network_mode": "none"}
        if first:
            address: dict[str, Any] = {"ipv4_address": first.get("IP")}
            version = tuple(int(part) for part in client.api.api_version.split("."))
            if version >= _ENDPOINT_MAC_SINCE:
                address["mac_address"] = first.get("MAC")
            else:
                options["mac_address"] = first.get("MAC")
            network = first["BRIDGE"]
            options["networking_config"] = {network: client.api.create_endpoint_config(**address)}
            options["network"] = network
            del options["network_mode"]
        labels = {LABEL: self._home, "one-vm": str(vm.id)}
        volume = client.volumes.create(f"{self._name(vm)}-docker", labels=labels)
        if os.path.exists(_TUN):
            options["devices"] = [f"{_TUN}:{_TUN}:rwm"]
        return client.containers.create(
            source,
            "/sbin/init",
            name=self._name(vm),
            hostname=host_name(vm),
            labels=labels,
            environment={"container": "docker"},
            cap_add=["ALL"],
            # Not every host lets containers have this one, and nothing in a VM needs it.
            cap_drop=["SYS_RESOURCE"],
            security_opt=["seccomp=unconfined", "apparmor=unconfined"],
            cgroupns="host",
            # An engine inside the VM cannot keep its layers on the VM's own overlay file system.
            volumes={
                "/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "rw"},
                volume.name: {"bind": "/var/lib/docker", "mode": "rw"},
            },
            tmpfs={"/run": "exec,mode=755", "/run/lock": ""},
            mem_limit=f"{vm.memory_mb}m" if vm.memory_mb else None,
            cpu_shares=max(2, int(1024 * (vm.cpu or 1))),
            stop_signal=_HALT_SIGNAL,
            restart_policy={"Name": "no"},
            **options,
        )

    def _import_again(self, client: DockerClient, vm: VmSpec, source: str) -> None:
        """Somebody may have cleaned the engine's images up."""
        from docker.errors import ImageNotFound

        try:
            client.images.get(source)
        except ImageNotFound:
            image = next(dict(item) for item in vm.images if item.get("SOURCE") == source)
            if not image.get("PATH"):
                raise DriverError(f"The engine lost image {source} of VM {vm.id}; create the image again.") from None
            self.import_image(image)

    def _name(self, vm: VmSpec) -> str:
        return f"{self._prefix}-{vm.id}"

    def _container(self, client: DockerClient, vm: VmSpec) -> Container:
        from docker.errors import NotFound

        try:
            return client.containers.get(vm.deploy_id or self._name(vm))
        except NotFound:
            raise DriverError(f"The container of VM {vm.id} is gone; recover or terminate the VM.") from None

    def _remove(self, client: DockerClient, vm: VmSpec) -> None:
        from docker.errors import NotFound

        try:
            container = client.containers.get(self._name(vm))
            self._check_owner(container.labels, f"container {self._name(vm)}")
            container.remove(force=True, v=True)
        except NotFound:
            pass
        try:
            volume = client.volumes.get(f"{self._name(vm)}-docker")
            self._check_owner(volume.attrs.get("Labels"), f"volume {volume.name}")
            volume.remove(force=True)
        except NotFound:
            pass

    def _check_owner(self, labels: dict[str, str] | None, what: str) -> None:
        if (labels or {}).get(LABEL) != self._home:
            raise DriverError(
                f"The engine already has a {what} that is not of this cloud; remove it or choose another network name."
            )

    @contextmanager
    def _engine(self) -> Iterator[DockerClient]:
        """The engine; its errors become DriverError."""
        try:
            import docker
            from docker.errors import APIError, DockerException
        except ImportError:
            raise DriverError(
                "The Python package docker is missing where the cloud runs; install it or choose the driver dummy."
            ) from None
        import requests

        try:
            with self._lock:
                if self._connection is None:
                    self._connection = docker.from_env(timeout=_ENGINE_TIMEOUT)
            yield self._connection
        except APIError as error:
            raise DriverError(f"The Docker engine refused: {error.explanation or error}") from error
        except (DockerException, requests.exceptions.RequestException) as error:
            raise DriverError(
                f"The Docker engine cannot be reached ({error}); start it or choose the driver dummy."
            ) from error


def host_name(vm: VmSpec) -> str:
    """A valid host name made of the VM's name: letters, digits, dashes, at most 63."""
    wanted = vm.context.get("SET_HOSTNAME") or vm.name
    cleaned = "".join(char if char.isascii() and char.isalnum() else "-" for char in wanted).strip("-")
    while "--" in cleaned:
        cleaned = cleaned.replace("--", "-")
    return cleaned[:63].rstrip("-") or f"one-{vm.id}"


def root_source(vm: VmSpec) -> str:
    """The image of the VM's first disk that has content. Raises DriverError."""
    for image in vm.images:
        if image.get("SOURCE"):
            return image["SOURCE"]
    raise DriverError(f"VM {vm.id} has no disk to boot from; its template needs an image of a root file system tar.")


def subnet_of(vnet: dict[str, Any]) -> str | None:
    """"10.1.0.0/24" from NETWORK_ADDRESS and NETWORK_MASK, None when they are not given. Raises DriverError."""
    address, mask = vnet.get("NETWORK_ADDRESS"), vnet.get("NETWORK_MASK")
    if not address or not mask:
        return None
    try:
        return str(ipaddress.IPv4Network(f"{address}/{mask}"))
    except ValueError:
        raise DriverError(
            f"Virtual network {vnet.get('NAME')} has NETWORK_ADDRESS {address} and NETWORK_MASK {mask}, "
            "which do not make a network."
        ) from None
