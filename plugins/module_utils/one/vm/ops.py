# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Operations on VMs: sent when a VM is able to take them, waited for, and looked at afterwards."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any

from ..api.connection import Connection
from ..core.lock import NONE, explain_lock
from ..core.objects import State
from ..core.wait import wait_for
from ..data.states import VM_FAILURES, VM_STABLE, is_unknown, vm_destination, vm_failure
from ..errors import OneActionError, OneAuthorizationError, OneFailedStateError, OneNotFoundError
from .vm import GOALS, describe, read_bodies, represent

# Looks at a VM, state and full body, after an operation has ended: a sentence when it did not do what it should.
Check = Callable[[State, Mapping[str, Any]], "str | None"]

# Seconds in which a failed VM may still show its old failure after it was told to recover.
GRACE = 3.0
# States of VMs that have no host yet.
UNPLACED = frozenset({"INIT", "PENDING", "CLONING"})
_ATTEMPTS = 3
# VMs take these actions although they are about to go somewhere.
_EARLY: dict[str, frozenset[str]] = {"absent": frozenset({"PENDING", "CLONING"}), "hold": frozenset({"PENDING"})}


class Operations:
    """Remembers which VMs are in the middle of something, so that nobody waits who need not."""

    def __init__(self, connection: Connection, params: Mapping[str, Any]) -> None:
        self.connection = connection
        self.params = params
        # VMs of which it is not known that they are at rest.
        self.busy: set[int] = set()
        # VMs to which something was sent whose end is seen in their state only.
        self.sent: set[int] = set()
        self.checks: dict[int, list[Check]] = {}
        self.locks: dict[int, str] = {}

    def know(self, vm: State) -> None:
        """Take note of a VM that was just read."""
        self.locks[vm["id"]] = vm["lock"]
        if not _rests(vm["state"]):
            self.busy.add(vm["id"])

    def began(self, vm_id: int, check: Check | None = None) -> None:
        """Take note of an operation that goes on in the background; `check` looks at the VM when it has ended."""
        self.sent.add(vm_id)
        self.busy.add(vm_id)
        if check is not None:
            self.checks.setdefault(vm_id, []).append(check)

    # -- sending ---------------------------------------------------------------------------------------------------

    def call(self, method: str, vm_id: int, *args: Any) -> Any:
        """Make a call that writes one VM; a refusal says so if a lock may be the reason."""
        try:
            return self.connection.call(method, vm_id, *args)
        except OneAuthorizationError as error:
            raise explain_lock(error, self.locks.get(vm_id, NONE)) from error

    def act(self, vm_id: int, action: str, wanted: str) -> None:
        """Send an action of one.vm.action as soon as the VM takes it; somebody else may have been faster."""
        if wanted == "absent" and action == "terminate-hard" and self._cut_off(vm_id):
            return
        self.rest([vm_id], f"VM {vm_id} accepting {action}", _EARLY.get(wanted, frozenset()), fail=wanted != "absent")
        for attempt in range(_ATTEMPTS):
            try:
                self.connection.call("one.vm.action", action, vm_id)
                break
            except OneNotFoundError:
                if wanted != "absent":
                    raise
                break
            except OneAuthorizationError as error:
                raise explain_lock(error, self.locks.get(vm_id, NONE)) from error
            except OneActionError:
                if self._heads(vm_id, wanted):
                    break
                if attempt + 1 == _ATTEMPTS:
                    raise
                self.busy.add(vm_id)
                self.rest([vm_id], f"VM {vm_id} accepting {action}", fail=wanted != "absent")
        self.began(vm_id)

    def _heads(self, vm_id: int, wanted: str) -> bool:
        """Tell whether a VM is on its way to where it should be, or there."""
        states = [represent(body)["state"] for body in read_bodies(self.connection, [vm_id])]
        return not states or (wanted != "rebooted" and vm_destination(states[0]) == GOALS[wanted])

    def _cut_off(self, vm_id: int) -> bool:
        """End a VM that hangs in the middle of something, which terminate-hard refuses; needs administration rights."""
        bodies = read_bodies(self.connection, [vm_id]) if vm_id in self.busy else []
        state = represent(bodies[0])["state"] if bodies else ""
        if not state or state in VM_STABLE or state in ("SHUTDOWN", "CLONING") or is_unknown(state):
            # All of these terminate-hard takes as they are.
            self.busy.discard(vm_id)
            return False
        try:
            self.connection.call("one.vm.recover", vm_id, 3)
        except (OneAuthorizationError, OneActionError):
            return False
        self.began(vm_id)
        return True

    # -- waiting ---------------------------------------------------------------------------------------------------

    def rest(
        self,
        ids: Collection[int],
        what: str = "",
        early: Collection[str] = (),
        fail: bool = True,
    ) -> None:
        """Wait until those of the VMs that are busy rest (or are in one of the `early` states); run their checks."""
        busy = [vm_id for vm_id in ids if vm_id in self.busy]
        if not busy:
            return
        bodies: dict[int, Mapping[str, Any]] = {}

        def ready(vms: list[State]) -> bool:
            return all(_rests(vm["state"]) or vm["state"] in early for vm in vms)

        last = self._wait(self._poll(busy, bodies, fail), ready, what or f"VM {busy[0]} coming to rest", fail)
        for vm in last:
            if _rests(vm["state"]):
                self.busy.discard(vm["id"])
            self.locks[vm["id"]] = vm["lock"]
            self.verify(vm, bodies[vm["id"]])

    def until(
        self,
        ids: Collection[int],
        is_done: Callable[[list[State]], bool],
        what: str,
        fail: bool = True,
        known: list[State] | None = None,
        old: Mapping[int, str] | None = None,
    ) -> list[State]:
        """Wait for the VMs; `old`: failures that they had before they were told to recover, not failures of that."""
        bodies: dict[int, Mapping[str, Any]] = {}

        final = self._wait(self._poll(ids, bodies, fail), is_done, what, fail, known, old)
        for vm in final:
            if vm["id"] in bodies:
                self.verify(vm, bodies[vm["id"]])
        return final

    def read(self, ids: Collection[int]) -> list[State]:
        """Return the present state of VMs that were just made or changed, all of which must be there."""
        return self._poll(ids, {}, must=True)()

    def _poll(
        self, ids: Collection[int], bodies: dict[int, Mapping[str, Any]], must: bool
    ) -> Callable[[], list[State]]:
        def poll() -> list[State]:
            found = read_bodies(self.connection, ids)
            states = [represent(body) for body in found]
            bodies.update((state["id"], body) for state, body in zip(states, found, strict=True))
            missing = sorted(set(ids) - {state["id"] for state in states})
            if missing and must:
                raise OneActionError(
                    f"VM {', '.join(map(str, missing))} cannot be found, though OpenNebula says that it was made or "
                    "changed",
                    hint="this user may not see it any more, or something between here and OpenNebula answered in its "
                    "place",
                )
            return states

        return poll

    def _wait(
        self,
        poll: Callable[[], list[State]],
        is_done: Callable[[list[State]], bool],
        what: str,
        fail: bool,
        known: list[State] | None = None,
        old: Mapping[int, str] | None = None,
    ) -> list[State]:
        begun = time.monotonic()

        def failed(vms: list[State]) -> str | None:
            patient = old is not None and time.monotonic() - begun < GRACE
            found = []
            for vm in vms:
                reason = vm_failure(vm["state"], vm["attributes"])
                if reason and not (patient and old is not None and old.get(vm["id"]) == reason):
                    found.append(f"VM {vm['name']} (id {vm['id']}) {reason}")
                if vm["state"] == "DONE" and old is None:
                    found.append(f"VM {vm['name']} (id {vm['id']}) was terminated")
            return "; ".join(found) if found and fail else None

        return wait_for(
            poll,
            is_done,
            failed,
            what=what,
            timeout=self.params["wait_timeout"],
            interval=self.params["wait_interval"],
            describe=lambda vms: describe([vm for vm in vms if not is_done([vm])] or vms),
            known=known,
        )

    def verify(self, vm: State, body: Mapping[str, Any]) -> None:
        """Run the checks that wait for this VM. Raises OneFailedStateError with what an operation did not do."""
        for check in self.checks.pop(vm["id"], []):
            fault = check(vm, body)
            if fault:
                failure = OneFailedStateError(fault)
                failure.last = vm
                raise failure


def gone(vms: Iterable[State]) -> bool:
    """Tell whether all of the VMs have ended."""
    return all(vm["state"] == "DONE" for vm in vms)


def failures(vms: Iterable[State]) -> dict[int, str]:
    """Return {id: reason} of the VMs that are in a failure state."""
    found = {vm["id"]: vm_failure(vm["state"], vm["attributes"]) for vm in vms if vm["state"] in VM_FAILURES}
    return {vm_id: reason for vm_id, reason in found.items() if reason}


def _rests(state: str) -> bool:
    return (state in VM_STABLE and state != "PENDING") or is_unknown(state)
