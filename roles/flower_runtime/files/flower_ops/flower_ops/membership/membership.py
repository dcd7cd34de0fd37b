# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who belongs to the federation: one list on the SuperLink, with the partition and the node id of every SuperNode."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Protocol

from flower_ops.firewall import firewall
from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.machine.errors import NodeError
from flower_ops.machine.files import Files
from flower_ops.machine.locks import held
from flower_ops.machine.paths import Paths
from flower_ops.membership.members import (
    KeyHeldError,
    KeyRetiredError,
    Member,
    MembershipError,
    Vm,
    free_partition,
    is_away,
)
from flower_ops.pki import keys

_NEW_KEY = "/run/flower-registrar/new-member.pub"
_GONE = ("unregistered", "deleted")


class NodeRegistry(Protocol):
    """What is asked of Flower's command line."""

    def register(self, public_key: Path) -> str:
        """Register a public key file; returns the node id."""

    def unregister(self, node_id: str) -> None:
        """Remove a node."""

    def supernodes(self) -> list[dict[str, Any]]:
        """Nodes with their `node-id` and `status`."""


@dataclass
class Restored:
    """What a comparison with Flower's own list found, as site/name."""

    registered: list[str] = field(default_factory=list)
    revoked: list[str] = field(default_factory=list)
    #: Why the rest could not be judged, by the same names.
    unclear: dict[str, str] = field(default_factory=dict)


class Membership:
    """The list, kept in one file that only root reads, and its reflection in Flower's registration and the firewall."""

    def __init__(self, paths: Paths, registry: NodeRegistry, now: Callable[[], float] = time.time) -> None:
        self._paths = paths
        self._files = Files(paths)
        self._registry = registry
        self._now = now

    def settings(self) -> tuple[bool, int]:
        """(authentication is on, number of partitions), as the agent fixed them."""
        text = self._files.read(self._paths.federation)
        if text is None:
            raise MembershipError(
                "This VM is not a configured SuperLink; run flower-ops configure --role superlink first."
            )
        found = json.loads(text)
        return bool(found["auth"]), int(found["num_partitions"])

    def members(self) -> list[Member]:
        """All members in the order of their partitions; MembershipError when the list cannot be read."""
        try:
            found = json.loads(self._files.read(self._paths.members) or b'{"members": []}')
            return sorted((Member(**row) for row in found["members"]), key=lambda member: member.partition_id)
        except (ValueError, TypeError, KeyError) as error:
            raise MembershipError(
                f"The list of members in {self._paths.members} is damaged ({error}); restore it from a backup."
            ) from error

    def supernodes(self) -> list[dict[str, Any]]:
        """Members with what Flower says of them: `status` is online, offline, registered, or unknown to Flower.

        A node that Flower knows and the list does not (in a federation without authentication) comes without a name.
        """
        statuses = {str(node["node-id"]): str(node.get("status", "")) for node in self._registry.supernodes()}
        rows = [{**asdict(member), "status": statuses.pop(member.node_id, "unknown")} for member in self.members()]
        rows += [
            {**asdict(Member(site="", name="", partition_id=-1, node_id=node_id)), "status": status}
            for node_id, status in statuses.items()
            if status not in _GONE
        ]
        return rows

    def admit(
        self,
        site: str,
        name: str,
        public_key: str = "",
        vm: Vm | None = None,
        check: bool = False,
        addresses: Sequence[str] | None = None,
    ) -> tuple[Member, bool]:
        """Make a SuperNode a member. Returns it, and whether anything changed. Its partition never changes.

        `vm` comes from the registrar; without it an operator speaks, who may replace any key. `addresses` None keeps
        those that are known. KeyHeldError when a VM's node is there with another key and did not sign the new one.
        """
        with self._locked():
            auth, count = self.settings()
            if auth and not public_key:
                raise MembershipError(
                    f"{site}/{name} gave no public key, but this federation admits registered keys only."
                )
            members = self.members()
            old = next((item for item in members if (item.site, item.name) == (site, name)), None)
            others = [item for item in members if item is not old]
            if auth and any(item.public_key == public_key for item in others):
                raise MembershipError(
                    f"The key of {site}/{name} already belongs to another node; make a new one there."
                )
            member = Member(**asdict(old)) if old else Member(site, name, free_partition(others, count, vm))
            member.vm_id = vm.vm_id if vm else ""
            if vm or addresses is not None:
                member.addresses = sorted(vm.addresses if vm else addresses or ())
            unregistered = auth and (member.public_key != public_key or not member.node_id)
            if not unregistered and member == old:
                return member, False
            if unregistered and vm and member.node_id:
                self._may_replace(member, public_key, vm)
            if check:
                return member, True
            if unregistered:
                self._forget(member)
                member.node_id = self._register(public_key, members)
                member.public_key = public_key
            self._save([*others, member])
            return member, True

    def remove(self, site: str, name: str, check: bool = False) -> bool:
        """Make a SuperNode no member any more. Returns whether it was one."""
        with self._locked():
            members = self.members()
            member = next((item for item in members if (item.site, item.name) == (site, name)), None)
            if member is not None and not check:
                self._forget(member)
                self._save([item for item in members if item is not member])
            return member is not None

    def restore(self) -> Restored:
        """Register members again that Flower has forgotten (its database was lost).

        One whose key was unregistered behind our back stays a member without a node id: Flower never takes that key
        again, and its node has to come with a new one.
        """
        result = Restored()
        with self._locked():
            if not self.settings()[0]:
                return result
            known = self._known()
            members = self.members()
            for member in members:
                if not member.node_id or member.node_id in known:
                    continue
                try:
                    member.node_id = self._register(member.public_key, members)
                    result.registered.append(f"{member.site}/{member.name}")
                except KeyRetiredError:
                    member.node_id = ""
                    result.revoked.append(f"{member.site}/{member.name}")
                except MembershipError as error:
                    # Its key may be in good standing, so its node keeps it.
                    result.unclear[f"{member.site}/{member.name}"] = str(error)
                    continue
                self._save(members)
        return result

    def open_ports(self) -> bool:
        """Let the members' addresses through the firewall, if they are not let through yet. Returns whether so."""
        try:
            return firewall.admit(self._paths, (item for member in self.members() for item in member.addresses))
        except NodeError as error:
            raise MembershipError(str(error)) from error

    def _may_replace(self, member: Member, public_key: str, vm: Vm) -> None:
        """Every VM of a service may write the attributes of the others, so a key in them proves nothing."""
        if vm.proof and keys.proven(member.public_key, public_key, vm.proof):
            return
        rows = {str(node["node-id"]): node for node in self._registry.supernodes()}
        if not is_away(rows.get(member.node_id), self._now()):
            raise KeyHeldError(
                f"Another key was published for {member.site}/{member.name}, whose node is there with its registered "
                "one; that one stays until its owner signs the new key, the node has been away for a minute, or "
                "flower_supernode removes it."
            )

    def _known(self) -> set[str]:
        return {node["node-id"] for node in self._registry.supernodes() if node.get("status") not in _GONE}

    def _register(self, public_key: str, members: list[Member]) -> str:
        # flwr runs as the service account, which must be able to read the key; it is no secret.
        path = _NEW_KEY
        self._files.folder(os.path.dirname(path), 0o755, "root:root")
        self._files.write(path, f"{public_key}\n".encode(), 0o644, "root:root")
        try:
            return self._registry.register(self._paths.at(path))
        except FlwrCliError as error:
            if "already in use" not in str(error):
                raise
            # Registered by a run that was cut off before it could note the id: it is the one nobody claims.
            unclaimed = self._known() - {member.node_id for member in members}
            if not unclaimed:
                raise KeyRetiredError(
                    "The key of this node was registered and removed before, and Flower takes a key only once; run "
                    "flower-ops configure on the node again after deleting /opt/flower/certs/supernode.key there."
                ) from error
            if len(unclaimed) > 1:
                raise MembershipError(
                    "The key is registered already under an unknown node id; find it with flwr supernode list and "
                    "remove it with flwr supernode unregister."
                ) from error
            return unclaimed.pop()
        finally:
            self._paths.at(path).unlink(missing_ok=True)

    def _forget(self, member: Member) -> None:
        if not member.node_id:
            return
        try:
            self._registry.unregister(member.node_id)
        except FlwrCliError as error:
            if error.unreachable or member.node_id in self._known():
                raise

    def _save(self, members: list[Member]) -> None:
        text = json.dumps({"members": [asdict(member) for member in members]}, indent=1)
        self._files.store(self._paths.members, f"{text}\n".encode())
        # Its node may knock as soon as it is told.
        self.open_ports()

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Registrar and operator may write at the same time."""
        with held(self._paths.at(f"{self._paths.private}/members.lock")):
            yield
