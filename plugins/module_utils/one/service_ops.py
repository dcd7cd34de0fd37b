# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running service: reading it with its VMs, waiting for it, scaling it and taking it down.

A poll costs one GET of the service, plus one infoset of its VMs where they are what is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from .connection import Connection
from .errors import OneActionError, OneError, OneFailedStateError, OneNotFoundError, OneUsageError
from .hosts import address_of
from .oneflow import OneFlow
from .service import BUSY_STATES, GOING_STATES, last_messages, service_view, vm_ids
from .service_vms import PARKED, failures, read_vms, waiting_words
from .states import SERVICE_FAILURES
from .wait import wait_for

#: States in which all VMs that are wanted are there and running; COOLDOWN only forbids the next scaling.
UP_STATES = frozenset({"RUNNING", "COOLDOWN"})

AFTER_FAILURE = "correct the cause, then use state recovered to try again or state absent to remove it"


@dataclass
class ServiceState:
    """One service as last seen: `service` is a service view (None once it is gone), `vms` VM views."""

    service: dict[str, Any] | None
    vms: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Waiting:
    """What to wait for. target: running, vms or none; roles and attributes narrow `vms` down."""

    target: str
    timeout: float
    interval: float
    roles: Sequence[str] | None = None
    attributes: Sequence[str] = ()
    network: str | None = None


class ServiceOps:
    """Calls on one service. `connect` makes the XML-RPC connection when VMs are first looked at."""

    def __init__(self, flow: OneFlow, connect: Callable[[], Connection], waiting: Waiting) -> None:
        self.flow = flow
        self._connect = connect
        self._waiting = waiting

    # -- reading ----------------------------------------------------------------------------------------------------

    def vms(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The VMs with these ids in one call."""
        return read_vms(self._connect(), ids) if ids else []

    def load(self, service_id: int) -> ServiceState:
        """The service and all its VMs: one GET and one infoset."""
        return self._with_vms(service_view(self.flow.service(service_id)))

    def _with_vms(self, service: dict[str, Any]) -> ServiceState:
        return ServiceState(service, self.vms(vm_ids(service)))

    def _look(self, service: dict[str, Any]) -> ServiceState:
        """The service, with its VMs only where they decide."""
        wanted = self._waiting.target == "vms" or service["state"] == "WARNING"
        return ServiceState(service, self.vms(vm_ids(service)) if wanted else [])

    # -- waiting ----------------------------------------------------------------------------------------------------

    def wait_up(
        self,
        service_id: int,
        known: dict[str, Any] | None = None,
        known_failure: dict[str, Any] | None = None,
    ) -> ServiceState:
        """Wait as asked and return the service with its VMs.

        known: the service as just read, to save a call.
        known_failure: the service as it was before `recover`. OneFlow leaves a failed state standing while it tries
        again, so only a failure that its log tells anew ends the wait.
        """
        waiting = self._waiting
        if waiting.target == "none":
            return self._with_vms(known) if known else self.load(service_id)
        try:
            seen = wait_for(
                lambda: self._look(service_view(self.flow.service(service_id))),
                self._is_up,
                lambda state: self._failure(state, known_failure),
                what=f"service {service_id} ({self._goal()})",
                timeout=waiting.timeout,
                interval=waiting.interval,
                describe=self._describe,
                known=self._look(known) if known else None,
            )
        except OneFailedStateError as error:
            error.hint = AFTER_FAILURE
            raise
        return seen if seen.vms or seen.service is None else self._with_vms(seen.service)

    def _goal(self) -> str:
        if self._waiting.target == "running":
            return "waiting for RUNNING"
        return f"waiting for the VMs of {', '.join(self._waiting.roles or ['all roles'])}"

    def _is_up(self, state: ServiceState) -> bool:
        service = state.service or {}
        if self._waiting.target == "running":
            return service["state"] in UP_STATES
        return not self._missing(state)

    def _missing(self, state: ServiceState) -> list[str]:
        """What is still missing until the VMs of the roles are all there, in words."""
        service = state.service or {"roles": {}}
        by_id = {vm["id"]: vm for vm in state.vms}
        missing = []
        for role in self._waiting.roles or service["roles"]:
            details = service["roles"][role]
            ready = [number for number in details["vms"] if number in by_id and self._vm_is_up(by_id[number])]
            if len(ready) != details["cardinality"] or len(details["vms"]) != details["cardinality"]:
                missing.append(f"role {role}: {len(ready)} of {details['cardinality']} VMs are up")
        return missing

    def _vm_is_up(self, vm: dict[str, Any]) -> bool:
        if vm["state"] != "RUNNING" or address_of(vm, self._waiting.network) is None:
            return False
        return all(vm["attributes"].get(name) for name in self._waiting.attributes)

    def _failure(self, state: ServiceState, known_failure: dict[str, Any] | None) -> str | None:
        service = state.service or {}
        name = service["state"]
        if name in SERVICE_FAILURES:
            if known_failure and (known_failure["state"], known_failure["log"]) == (name, service["log"]):
                return None
            return self.explain(service)
        if name == "HOLD":
            return "the service is on hold; release it first"
        if name in GOING_STATES:
            return f"the service is {name}: somebody else is removing it"
        # A VM of a role that nobody waits for does not matter here.
        wanted = set(vm_ids(service, self._waiting.roles))
        vms = [vm for vm in state.vms if vm["id"] in wanted]
        parked = [vm for vm in vms if vm["state"] in PARKED]
        if name == "WARNING" and parked:
            return f"the service is WARNING: {waiting_words(parked)}"
        return failures(vms) or None

    def explain(self, service: dict[str, Any]) -> str:
        """Why a service is in a failed state: its log and what its VMs say."""
        try:
            vms = self.vms(vm_ids(service))
        except OneError:
            # The reason that is already known matters more than a second problem while looking for details.
            vms = []
        told = [text for text in (last_messages(service), failures(vms), waiting_words(vms)) if text]
        return f"the service is {service['state']}" + (f" ({'; '.join(told)})" if told else "")

    def _describe(self, state: ServiceState) -> str:
        service = state.service or {}
        told = [f"the service is {service.get('state', 'gone')}"]
        if self._waiting.target == "vms":
            told += self._missing(state)
        vms = state.vms or self.vms(vm_ids(service))
        unready = [vm for vm in vms if vm["state"] == "RUNNING" and not self._vm_is_up(vm)]
        if self._waiting.target == "vms":
            lacking = " or ".join(["an address", *self._waiting.attributes])
            told += [f"VM {vm['id']} runs but lacks {lacking}" for vm in unready]
        elif service.get("ready_gate"):
            silent = [vm for vm in vms if vm["state"] == "RUNNING" and vm["attributes"].get("READY") != "YES"]
            told += [f"VM {vm['id']} has not said READY=YES" for vm in silent]
        words = waiting_words(vms)
        return "; ".join([*told, words] if words else told)

    def wait_gone(self, service_id: int, ids: Sequence[int]) -> None:
        """Wait until OneFlow has forgotten the service, then until its VMs are done."""
        waiting = self._waiting
        start = time.monotonic()

        def poll() -> dict[str, Any] | None:
            try:
                return service_view(self.flow.service(service_id))
            except OneNotFoundError:
                return None

        wait_for(
            poll,
            lambda seen: seen is None or seen["state"] == "DONE",
            lambda seen: self.explain(seen) if seen and seen["state"] in SERVICE_FAILURES else None,
            what=f"removal of service {service_id}",
            timeout=waiting.timeout,
            interval=waiting.interval,
            describe=lambda seen: f"the service is {seen['state']}" if seen else "",
        )
        if not ids:
            return
        wait_for(
            lambda: [vm for vm in self.vms(ids) if vm["state"] != "DONE"],
            lambda left: not left,
            lambda left: failures(left) or None,
            what=f"removal of the VMs of service {service_id}",
            timeout=max(0.0, waiting.timeout - (time.monotonic() - start)),
            interval=waiting.interval,
            describe=waiting_words,
        )

    # -- writing ----------------------------------------------------------------------------------------------------

    def scale(self, service_id: int, role: str, cardinality: int, *, force: bool) -> None:
        """Scale one role, once the service is RUNNING: it may be cooling down, or changing because of another role."""
        waiting = self._waiting
        start = time.monotonic()
        while True:
            wait_for(
                lambda: service_view(self.flow.service(service_id)),
                lambda seen: seen["state"] == "RUNNING",
                self._not_scalable,
                what=f"service {service_id} (waiting for RUNNING before role {role} can be scaled)",
                timeout=max(0.0, waiting.timeout - (time.monotonic() - start)),
                interval=waiting.interval,
                describe=lambda seen: f"the service is {seen['state']}",
            )
            try:
                self.flow.scale(service_id, role, cardinality, force=force)
            except OneActionError:
                # Auto-scaling or another client was faster; the wait above ends with the time-out.
                continue
            except OneError as error:
                if "is already at" not in error.text:
                    raise
            return

    def _not_scalable(self, service: dict[str, Any]) -> str | None:
        if service["state"] in SERVICE_FAILURES or service["state"] == "WARNING":
            return self.explain(service)
        if service["state"] in GOING_STATES | {"DONE", "HOLD"}:
            return f"the service is {service['state']}"
        return None

    def delete(self, service: dict[str, Any]) -> None:
        """Ask OneFlow to remove the service, in the way that its state allows."""
        number, state = service["id"], service["state"]
        for _attempt in range(5):
            try:
                if state in SERVICE_FAILURES or state in BUSY_STATES:
                    self.flow.recover_service(number, delete=True)
                elif state not in GOING_STATES:
                    self.flow.delete_service(number)
                return
            except OneNotFoundError:
                return
            except OneActionError:
                # The state changed between the look and the request.
                try:
                    state = service_view(self.flow.service(number))["state"]
                except OneNotFoundError:
                    return
        raise OneUsageError(f"service {number} keeps changing its state (now {state})", hint="try again")
