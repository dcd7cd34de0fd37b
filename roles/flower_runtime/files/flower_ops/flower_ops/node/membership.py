# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Who belongs to the federation: one list on the SuperLink, with the partition and the node id of every SuperNode."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from flower_ops.node.files import Change, Files
from flower_ops.node.flwr_cli import FlwrCli, FlwrCliError
from flower_ops.node.paths import Paths

LOCAL = "local"
_GONE = ("unregistered",)


class MembershipError(Exception):
    """A member cannot be admitted or removed; one sentence for the operator."""


class KeyRetiredError(MembershipError):
    """Flower has removed this key once and never takes it again; the node needs a new pair."""


class NodeRegistry(Protocol):
    """What is asked of Flower's command line."""

    def register(self, public_key: Path) -> str:
        """Register a public key file; returns the node id."""

    def unregister(self, node_id: str) -> None:
        """Remove a node."""

    def supernodes(self) -> list[dict[str, Any]]:
        """Nodes with their `node-id` and `status`."""


@dataclass
class Member:
    """A SuperNode. `vm_id` is empty for one that was added by hand; `node_id` is empty without authentication."""

    site: str
    name: str
    partition_id: int
    node_id: str = ""
    public_key: str = ""
    vm_id: str = ""


class Membership:
    """The list, kept in one file that only root reads, and its reflection in Flower's own registration."""

    def __init__(self, paths: Paths, registry: NodeRegistry) -> None:
        self._paths = paths
        self._files = Files(paths)
        self._registry = registry

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
        """All members in the order of their partitions."""
        found = json.loads(self._files.read(self._paths.members) or b'{"members": []}')
        return sorted((Member(**row) for row in found["members"]), key=lambda member: member.partition_id)

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
        self, site: str, name: str, public_key: str = "", vm_id: str = "", check: bool = False
    ) -> tuple[Member, bool]:
        """Make a SuperNode a member. Returns it, and whether anything changed. Its partition never changes."""
        with self._locked():
            auth, count = self.settings()
            if auth and not public_key:
                raise MembershipError(
                    f"{site}/{name} gave no public key, but this federation admits registered keys only."
                )
            members = self.members()
            member = next((item for item in members if (item.site, item.name) == (site, name)), None)
            others = [item for item in members if item is not member]
            if auth and any(item.public_key == public_key for item in others):
                raise MembershipError(
                    f"The key of {site}/{name} already belongs to another node; make a new one there."
                )
            if member is None:
                member = Member(site, name, _lowest_free(others, count), vm_id=vm_id)
            elif member.vm_id == vm_id and (not auth or (member.public_key == public_key and member.node_id)):
                return member, False
            if check:
                return member, True
            member.vm_id = vm_id
            if auth and (member.public_key != public_key or not member.node_id):
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

    def restore(self) -> list[str]:
        """Register members again that Flower has forgotten (its database was lost). Returns their names."""
        with self._locked():
            if not self.settings()[0]:
                return []
            known = self._known()
            members = self.members()
            lost = [item for item in members if item.public_key and item.node_id not in known]
            for member in lost:
                member.node_id = self._register(member.public_key, members)
                self._save(members)
            return [f"{member.site}/{member.name}" for member in lost]

    def _known(self) -> set[str]:
        return {node["node-id"] for node in self._registry.supernodes() if node.get("status") not in _GONE}

    def _register(self, public_key: str, members: list[Member]) -> str:
        # flwr runs as the service account, which must be able to read the key.
        path = f"{self._paths.cli}/new-member.pub"
        self._files.write(path, f"{public_key}\n".encode(), 0o600, "flower:flower")
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

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Registrar and operator may write at the same time."""
        place = self._paths.at(f"{self._paths.private}/members.lock")
        place.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        handle = os.open(place, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield
        finally:
            os.close(handle)


def _lowest_free(members: list[Member], count: int) -> int:
    if not count:
        raise MembershipError("The number of partitions is not fixed; set ONEAPP_FL_NUM_PARTITIONS on the SuperLink.")
    taken = {member.partition_id for member in members}
    free = next((number for number in range(count) if number not in taken), None)
    if free is None:
        raise MembershipError(
            f"All {count} partitions are in use; raise ONEAPP_FL_NUM_PARTITIONS on the SuperLink or remove a node."
        )
    return free


def command(
    action: str, site: str, name: str, root: Path, check: bool, keys: TextIO, registry: NodeRegistry | None = None
) -> tuple[int, dict[str, Any]]:
    """`flower-ops member`: exit code and answer. `add` reads the public key from `keys`."""
    paths = Paths(root)
    cli = registry or FlwrCli(paths.at(f"{paths.venv}/bin/flwr"), paths.at(paths.cli))
    membership = Membership(paths, cli)
    answer: dict[str, Any] = {"changed": False, "message": "", "errors": []}
    try:
        auth, answer["num_partitions"] = membership.settings()
        if action == "list":
            answer["supernodes"] = membership.supernodes()
            return 0, answer
        if not name:
            raise MembershipError(f"flower-ops member {action} needs --name.")
        before = next((asdict(item) for item in membership.members() if (item.site, item.name) == (site, name)), None)
        after = None
        if action == "add":
            member, answer["changed"] = membership.admit(site, name, _read_key(keys) if auth else "", check=check)
            after = asdict(member)
            answer["member"] = {**after, "num_partitions": answer["num_partitions"]}
        else:
            answer["changed"] = membership.remove(site, name, check)
        if answer["changed"]:
            answer["diff"] = [Change(f"member {site}/{name}", _text(before), _text(after)).as_dict()]
    except (MembershipError, FlwrCliError) as error:
        answer["message"] = str(error)
        return 1, answer
    except PermissionError as error:
        answer["message"] = f"{error.filename} cannot be read; run this as root on the SuperLink."
        return 1, answer
    return 0, answer


def _text(member: dict[str, Any] | None) -> str:
    return "" if member is None else json.dumps(member, indent=1) + "\n"


def _read_key(keys: TextIO) -> str:
    from flower_ops.node.keys import check_public

    try:
        return check_public("" if keys.isatty() else keys.read())
    except ValueError as error:
        raise MembershipError(f"The text on standard input is {error}.") from error
