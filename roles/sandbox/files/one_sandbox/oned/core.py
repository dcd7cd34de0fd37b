# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The core of the emulated cloud: objects, sessions, calls, transactions."""

from __future__ import annotations

import hashlib
import hmac
import logging
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..drivers import Driver
from . import errors, methods
from .calls import CallCounter
from .capacity import HostUsage
from .errors import OnedError
from .records import KINDS, MANAGE, RIGHT_NAMES, USE, Record, Session, User, allowed, lock_blocks
from .store import Store
from .template import Template
from .tokens import Tokens
from .worker import Worker

_LOG = logging.getLogger(__name__)
VERSION = "7.4.0"


@dataclass
class Options:
    """Delays in seconds. onegate_endpoint: URL given to VMs, "" refuses CONTEXT TOKEN as a server without OneGate does.

    zone_endpoint: the XML-RPC URL shown in the zone. restricted: attributes only oneadmin's group may use.
    """

    boot_delay: float = 0.3
    image_delay: float = 0.2
    schedule_interval: float = 0.5
    monitor_interval: float = 3.0
    onegate_endpoint: str = ""
    zone_endpoint: str = ""
    restricted: tuple[str, ...] = ("DISK/TOTAL_IOPS_SEC", "DISK/READ_IOPS_SEC", "NIC/MAC", "NIC/VLAN_ID", "PCI")


class Oned:
    """Everything oned does, for callers inside the process.

    `call(session, "one.vm.info", 3)` returns the value of the answer (int, str) or raises OnedError
    (code, message with "[method] " in front, object id) or RpcFault. `session` is "user:password" or a Session.
    OneFlow and OneGate are such callers. They are tied in by `one_sandbox.sandbox` as
    `flow.server.FlowServer(oned, host: str, port: int, interval: float)` and
    `gate.server.GateServer(oned, lifecycle, hosts: list[str], port: int)`, each with `.start()`, `.stop()`, `.url` and
    `.port`; port 0 means any free one. Both count client requests with
    `oned.calls.count("POST /service/:id/scale", write=True)`.
    """

    def __init__(self, home: Path, drivers: dict[str, Driver], options: Options | None = None) -> None:
        self.home = home
        self.drivers = drivers
        self.options = options or Options()
        self.calls = CallCounter()
        self.worker = Worker()
        self.store = Store(home / "one.db")
        self.pools: dict[str, dict[int, Record]] = {kind: {} for kind in KINDS}
        self.meta = self.store.meta()
        self.xml_cache: dict[tuple[int, str], str] = {}
        self.lock = threading.RLock()
        self._depth = 0
        self._dirty: dict[tuple[str, int], Record] = {}
        self._removed: set[tuple[str, int]] = set()
        self._meta_dirty = False
        self._passwords: dict[tuple[str, str], int] = {}
        for record in self.store.load():
            self.pools[record.kind][record.oid] = record
        if "secret" not in self.meta:
            self.meta["secret"] = secrets.token_hex(32)
            self._meta_dirty = True
        self.tokens = Tokens(self.meta["secret"])
        self.usage = HostUsage()
        self.pending: set[int] = set()
        self.scheduling = False
        self.retrying = False
        self.host_problem: Callable[[str, str], str] = lambda host, stage: ""

    def start(self) -> None:
        """Take up work where an earlier process left it."""
        from . import lifecycle, monitor, sched_actions, scheduler

        self.worker.start()
        with self.transaction():
            lifecycle.recover_after_restart(self)
        scheduler.start(self)
        sched_actions.start(self)
        monitor.start(self)

    def stop(self) -> None:
        """Stop working; VMs keep running."""
        self.worker.stop()
        self.store.close()

    # -- calls ---------------------------------------------------------------------------------------------------

    def call(self, session: str | Session, method: str, *args: Any) -> Any:
        """One API call. Raises OnedError and RpcFault."""
        found = methods.find(method)
        arguments = found.arguments(args)
        try:
            with self.transaction():
                return found.function(self, self.authenticate(session), *arguments)
        except OnedError as error:
            raise OnedError(error.code, f"[{method}] {error.message}", error.object_id) from None

    def authenticate(self, session: str | Session) -> User:
        """Who is behind a session. Raises OnedError 256."""
        if isinstance(session, Session):
            return session.user
        name, _separator, password = session.partition(":")
        digest = (name, hashlib.sha256(password.encode()).hexdigest())
        for record in self.pools["user"].values():
            if record.name == name:
                if hmac.compare_digest(record.data["password"], digest[1]):
                    return self.user(record.oid)
                break
        raise OnedError(errors.AUTHENTICATION, "User couldn't be authenticated, aborting call.")

    def session_for(self, uid: int) -> Session:
        """A session acting as that user, without a password. Raises OnedError 1024."""
        return Session(self.user(uid))

    def user(self, uid: int) -> User:
        """The user with that id. Raises OnedError 1024."""
        record = self.get("user", uid)
        groups = {record.gid, *record.data.get("groups", [])}
        return User(uid, record.gid, record.name, self.group_name(record.gid), tuple(sorted(groups)))

    # -- objects -------------------------------------------------------------------------------------------------

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Hold the lock; what was touched is saved once, at the end of the outermost transaction."""
        with self.lock:
            self._depth += 1
            try:
                yield
            finally:
                self._depth -= 1
                if not self._depth and (self._dirty or self._removed or self._meta_dirty):
                    self.store.write(self._dirty.values(), self._removed, self.meta if self._meta_dirty else {})
                    self._dirty.clear()
                    self._removed.clear()
                    self._meta_dirty = False

    def touch(self, record: Record) -> None:
        """Say that a record changed."""
        key = (record.kind, record.oid)
        self._removed.discard(key)
        self._dirty[key] = record
        if record.kind == "vm":
            self.xml_cache.pop((record.oid, "full"), None)
            self.xml_cache.pop((record.oid, "reduced"), None)
        elif record.kind in ("user", "group"):
            self.xml_cache.clear()

    def remove(self, record: Record) -> None:
        """Delete an object for good."""
        self.pools[record.kind].pop(record.oid, None)
        self._dirty.pop((record.kind, record.oid), None)
        self._removed.add((record.kind, record.oid))

    def find(self, kind: str, oid: int) -> Record | None:
        """The object, or None."""
        return self.pools[kind].get(oid)

    def get(self, kind: str, oid: int) -> Record:
        """The object; OnedError 1024 when there is none."""
        record = self.pools[kind].get(oid)
        if record is None:
            raise OnedError(errors.NO_EXISTS, f"Error getting {KINDS[kind].label} [{oid}].", oid)
        return record

    def access(self, user: User, kind: str, oid: int, right: int = USE, check_lock: bool | None = None) -> Record:
        """The object, if the user may do that with it. Raises OnedError 1024, 512.

        A lock never forbids to look, so it is not checked for USE unless check_lock says that this is more than a look.
        """
        record = self.get(kind, oid)
        self.authorize(user, record, right, right > USE if check_lock is None else check_lock)
        return record

    def authorize(self, user: User, record: Record, right: int = MANAGE, check_lock: bool = True) -> None:
        """Raise OnedError 512 unless the user has that right; only administrators are told that it is the lock."""
        locked = check_lock and lock_blocks(record, right)
        if locked and user.is_admin:
            raise OnedError(errors.AUTHORIZATION, f"User [{user.uid}] : {record.meta.tag} is locked. [{record.oid}].")
        if locked or not allowed(user, record, right):
            raise self.denied(user, RIGHT_NAMES[right], record.meta.tag, record.oid)

    @staticmethod
    def denied(user: User, action: str, tag: str, oid: int | None = None) -> OnedError:
        """The error of a user who may not do that."""
        where = tag if oid is None else f"{tag} [{oid}]"
        return OnedError(
            errors.AUTHORIZATION, f"User [{user.uid}] : Not authorized to perform {action} {where}."
        )

    def create(self, kind: str, user: User, name: str, template: Template, **data: Any) -> Record:
        """Add an object owned by `user` (names are checked by the caller)."""
        counter = f"next_{kind}"
        oid = int(self.meta.get(counter, KINDS[kind].first_id))
        self.meta[counter] = oid + 1
        self._meta_dirty = True
        record = Record(kind, oid, user.uid, user.gid, name, template=template, data=data)
        self.pools[kind][oid] = record
        self.touch(record)
        return record

    def next_id(self, kind: str) -> int:
        """The id that `create` will give next."""
        return int(self.meta.get(f"next_{kind}", KINDS[kind].first_id))

    def set_next_id(self, kind: str, oid: int) -> None:
        """Where `create` goes on counting."""
        self.meta[f"next_{kind}"] = oid
        self._meta_dirty = True

    def named(self, kind: str, name: str, uid: int | None = None) -> Record | None:
        """The object of that name (and owner)."""
        for record in self.pools[kind].values():
            if record.name == name and (uid is None or record.uid == uid):
                return record
        return None

    def user_name(self, uid: int) -> str:
        """Login name, "" for a user deleted since."""
        record = self.pools["user"].get(uid)
        return record.name if record else ""

    def group_name(self, gid: int) -> str:
        """Group name, "" for a group deleted since."""
        record = self.pools["group"].get(gid)
        return record.name if record else ""

    def image_settled(self, image: Record, ready: bool) -> None:
        """An image left LOCKED; VMs that wait for it go on or fail."""
        from . import lifecycle

        for vm_id in list(image.data["vms"]):
            vm = self.find("vm", vm_id)
            if vm is not None:
                lifecycle.image_settled(self, vm, ready)

    @staticmethod
    def now() -> int:
        """Seconds since the epoch."""
        return int(time.time())

    @staticmethod
    def clock() -> str:
        """The time as it stands in error attributes."""
        return time.ctime()
