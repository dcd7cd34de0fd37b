# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Changes of a running service: scaling it, its roles and their VMs, its description, and taking it down."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ..core.wait import wait_for
from ..data.states import vm_destination
from ..document.document import GOING_STATES, body_of
from ..errors import OneActionError, OneError, OneNotFoundError, OneUsageError
from .roles import ROLE_STATES, refusals
from .service import BUSY_STATES, failure_of, service_view, vm_ids
from .vms import failures, read_vm_bodies, vm_view
from .wait import UP_STATES, ServiceWait

#: OneFlow lets a service be updated in these; the others are on their way to one of them, or failed.
UPDATABLE = frozenset({"RUNNING", "WARNING", "HOLD"})


class ServiceOps(ServiceWait):
    """Calls that change one service; each waits until the service allows it."""

    def scale(
        self, service_id: int, role: str, cardinality: int, *, force: bool, known: dict[str, Any] | None = None
    ) -> None:
        """Scale one role, once the service is RUNNING."""

        def call() -> None:
            try:
                self.flow.scale(service_id, role, cardinality, force=force)
            except OneActionError:
                raise
            except OneError as error:
                if "is already at" not in error.text:
                    raise

        self.when(service_id, f"role {role} can be scaled", call, known=known)

    def add_role(self, service_id: int, definition: dict[str, Any]) -> None:
        """Add a role, once the service is RUNNING."""
        name = definition["name"]
        self.when(service_id, f"role {name} can be added", lambda: self.flow.add_role(service_id, definition))

    def remove_role(self, service_id: int, role: str, *, wait: bool) -> None:
        """Remove a role, once the service is RUNNING, and wait until it is gone if asked: its VMs are then, too."""
        self.when(service_id, f"role {role} can be removed", lambda: self.flow.remove_role(service_id, role))
        if not wait:
            return
        wait_for(
            lambda: service_view(self.flow.service(service_id)),
            lambda seen: role not in seen["roles"] and seen["state"] not in GOING_STATES,
            lambda seen: self.explain(seen) if failure_of(seen) else None,
            what=f"removal of role {role} of service {service_id}",
            timeout=self.waiting.timeout,
            interval=self.waiting.interval,
            describe=lambda seen: f"the service is {seen['state']}",
        )

    def describe(self, service_id: int, text: str, known: dict[str, Any] | None = None) -> None:
        """Change the description, once the service may be updated."""

        def call() -> None:
            self.flow.update_service(service_id, {"description": text})

        self.when(service_id, "it can be updated", call, UPDATABLE, known)

    def change_roles(
        self,
        service_id: int,
        changes: dict[str, dict[str, Any]],
        known: dict[str, Any] | None = None,
        body: dict[str, Any] | None = None,
    ) -> None:
        """Change bounds, cooldown or policies of roles, once the service may be updated.

        changes: `SETTINGS` by role. known, body: the service as just read, to save calls.
        """
        # Only here: what most tasks do not need is not loaded for them.
        from .settings import with_settings

        bodies = [body] if known and body else []

        def call() -> None:
            for left in range(4, -1, -1):
                stored = bodies.pop() if bodies else body_of(self.flow.service(service_id))
                try:
                    return self.flow.replace_service(service_id, with_settings(stored, changes))
                except OneActionError:
                    raise
                except OneError as error:
                    # OneFlow, or somebody else, has written to the service since it was read.
                    if "Immutable value" not in error.text or not left:
                        raise

        self.when(service_id, "it can be updated", call, UPDATABLE, known)

    def act_on_role(
        self, service_id: int, role: str, state: str, vms: Sequence[dict[str, Any]] | None, *, wait: bool
    ) -> None:
        """Bring the VMs of a role to one of `ROLE_STATES`, and wait until they are there if asked.

        vms: the VMs of the role; None where an earlier step makes them, so that they are waited for first.
        """
        wanted = ROLE_STATES[state]
        if vms is None:
            self.when(service_id, f"role {role} can be {state}", lambda: None, UP_STATES)
            vms = self.vms(vm_ids(service_view(self.flow.service(service_id)), [role]))
        ids = [vm["id"] for vm in vms]
        if not all(_settled(vm) for vm in vms):
            # OpenNebula refuses actions on VMs that are on their way.
            self._wait_for_vms(ids, f"before role {role} can be {state}", _settled)
        self.flow.role_action(service_id, role, wanted.action)
        self.resumed = self.resumed or state == "running"
        if wait:
            what = f"role {role} of service {service_id} to be {wanted.goal}"
            self._wait_for_vms(ids, what, lambda vm: bool(vm["state"] == wanted.goal), wanted.action)

    def _wait_for_vms(
        self, ids: Sequence[int], what: str, is_there: Callable[[dict[str, Any]], bool], action: str = ""
    ) -> None:
        """Wait until all VMs are where they shall be; one that fails, or refuses the scheduled action, ends it."""

        def away(bodies: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [body for body in bodies if not is_there(vm_view(body))]

        wait_for(
            lambda: read_vm_bodies(self.connect(), ids),
            lambda bodies: not away(bodies),
            lambda bodies: failures(map(vm_view, away(bodies))) or refusals(away(bodies), action) or None,
            what=f"waiting {what}" if what.startswith("before") else f"waiting for {what}",
            timeout=self.waiting.timeout,
            interval=self.waiting.interval,
            describe=lambda bodies: "; ".join(f"VM {vm['id']} is {vm['state']}" for vm in map(vm_view, bodies)),
        )

    def delete(self, service: dict[str, Any]) -> None:
        """Ask OneFlow to remove the service, in the way that its state allows."""
        number, state, failed = service["id"], service["state"], bool(failure_of(service))
        for _attempt in range(5):
            try:
                if failed or state in BUSY_STATES:
                    self.flow.recover_service(number, delete=True)
                elif state not in GOING_STATES:
                    self.flow.delete_service(number)
                return
            except OneNotFoundError:
                return
            except OneActionError:
                # The state changed between the look and the request.
                try:
                    seen = service_view(self.flow.service(number))
                    state, failed = seen["state"], bool(failure_of(seen))
                except OneNotFoundError:
                    return
        raise OneUsageError(f"service {number} keeps changing its state (now {state})", hint="try again")


def _settled(vm: dict[str, Any]) -> bool:
    state = str(vm["state"])
    return vm_destination(state) == state
