# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A running service: reading it with its VMs, and waiting for it.

A poll costs one GET of the service, plus one infoset of its VMs where they are what is waited for.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any, NamedTuple

from ..api.connection import Connection
from ..api.oneflow import OneFlow
from ..core.wait import wait_for
from ..data.states import vm_destination
from ..document.document import GOING_STATES
from ..errors import OneActionError, OneError, OneFailedStateError, OneNotFoundError
from .facts import ServiceState
from .hosts import address_of
from .service import failure_of, is_held, last_messages, service_view, vm_ids
from .vms import PARKED, failures, read_vms, waiting_words

#: States in which all VMs that are wanted are there and running; COOLDOWN only forbids the next scaling.
UP_STATES = frozenset({"RUNNING", "COOLDOWN"})

RUNNING = frozenset({"RUNNING"})

AFTER_FAILURE = "correct the cause, then use state recovered to try again or state absent to remove it"
#: Recovery is for failures; VMs that were stopped only have to be told to run, or that they need not.
AFTER_WARNING = (
    "give roles[].state: running to start these VMs, or the state that they are in to leave them so on purpose"
)


class Waiting(NamedTuple):
    """What to wait for. target: running, vms or none; roles and attributes narrow `vms` down.

    parked: roles whose VMs are not meant to run. hold_ends: a service whose roles are on hold is as far as it comes.
    hopeless: attributes and those of their values by which a VM says that waiting for it is of no use.
    """

    target: str
    timeout: float
    interval: float
    roles: Sequence[str] | None = None
    attributes: Sequence[str] = ()
    network: str | None = None
    parked: frozenset[str] = frozenset()
    hold_ends: bool = True
    hopeless: Mapping[str, Sequence[str]] = MappingProxyType({})


class ServiceWait:
    """Looks at one service. `connect` makes the XML-RPC connection when VMs are first looked at."""

    def __init__(self, flow: OneFlow, connect: Callable[[], Connection], waiting: Waiting) -> None:
        self.flow = flow
        self.connect = connect
        self.waiting = waiting
        #: Whether VMs were told to run again, so that a WARNING may be about to go.
        self.resumed = False

    # -- reading ----------------------------------------------------------------------------------------------------

    def vms(self, ids: Sequence[int]) -> list[dict[str, Any]]:
        """The VMs with these ids in one call."""
        return read_vms(self.connect(), ids) if ids else []

    def load(self, service_id: int) -> ServiceState:
        """The service and all its VMs: one GET and one infoset."""
        return self._with_vms(service_view(self.flow.service(service_id)))

    def _with_vms(self, service: dict[str, Any]) -> ServiceState:
        return ServiceState(service, self.vms(vm_ids(service)))

    def _look(self, service: dict[str, Any]) -> ServiceState:
        """The service, with its VMs only where they decide."""
        telling = bool(self.waiting.hopeless) and service["state"] not in UP_STATES
        wanted = telling or self.waiting.target == "vms" or service["state"] == "WARNING"
        return ServiceState(service, self.vms(vm_ids(service)) if wanted else [])

    def _looked(self, known: ServiceState) -> ServiceState:
        """What was just read, its VMs included if they were."""
        return known if known.vms or known.service is None else self._look(known.service)

    # -- waiting ----------------------------------------------------------------------------------------------------

    def wait_up(
        self,
        service_id: int,
        known: ServiceState | None = None,
        known_failure: dict[str, Any] | None = None,
    ) -> ServiceState:
        """Wait as asked and return the service with its VMs.

        known: the service as just read, to save a call.
        known_failure: the service as it was before `recover`. OneFlow leaves a failed state standing while it tries
        again, so only a failure that its log tells anew ends the wait.
        """
        waiting = self.waiting
        if waiting.target == "none":
            if known is None or known.service is None:
                return self.load(service_id)
            return known if known.vms else self._with_vms(known.service)
        try:
            seen = wait_for(
                lambda: self._look(service_view(self.flow.service(service_id))),
                self._is_up,
                lambda state: self._failure(state, known_failure),
                what=f"service {service_id} ({self._goal()})",
                timeout=waiting.timeout,
                interval=waiting.interval,
                describe=self._describe,
                known=self._looked(known) if known else None,
            )
        except OneFailedStateError as error:
            stopped = ((error.last and error.last.service) or {}).get("state") == "WARNING"
            error.hint = AFTER_WARNING if stopped else AFTER_FAILURE
            raise
        return seen if seen.vms or seen.service is None else self._with_vms(seen.service)

    def _goal(self) -> str:
        if self.waiting.target == "running":
            return "waiting for RUNNING"
        return f"waiting for the VMs of {', '.join(self.waiting.roles or ['all roles'])}"

    def _is_up(self, state: ServiceState) -> bool:
        service = state.service or {}
        if self.waiting.hold_ends and is_held(service):
            return True
        if self.waiting.target == "vms":
            return not self._missing(state)
        # A VM that is parked on purpose turns the service to WARNING; all others are running then.
        return service["state"] in UP_STATES or (service["state"] == "WARNING" and bool(self.waiting.parked))

    def wait_held(self, service_id: int) -> None:
        """Wait until the roles of a service that begins on hold are there."""
        wait_for(
            lambda: service_view(self.flow.service(service_id)),
            is_held,
            lambda seen: self.explain(seen) if failure_of(seen) else None,
            what=f"service {service_id} (waiting for HOLD)",
            timeout=self.waiting.timeout,
            interval=self.waiting.interval,
            describe=lambda seen: f"the service is {seen['state']}",
        )

    def _missing(self, state: ServiceState) -> list[str]:
        """What is still missing until the VMs of the roles are all there, in words."""
        service = state.service or {"roles": {}}
        by_id = {vm["id"]: vm for vm in state.vms}
        missing = []
        for role in self.waiting.roles or service["roles"]:
            if role in self.waiting.parked:
                continue
            details = service["roles"][role]
            ready = [number for number in details["vms"] if number in by_id and self._vm_is_up(by_id[number])]
            if len(ready) != details["cardinality"] or len(details["vms"]) != details["cardinality"]:
                missing.append(f"role {role}: {len(ready)} of {details['cardinality']} VMs are up")
        return missing

    def _vm_is_up(self, vm: dict[str, Any]) -> bool:
        if vm["state"] != "RUNNING" or address_of(vm, self.waiting.network) is None:
            return False
        return all(vm["attributes"].get(name) for name in self.waiting.attributes)

    def _failure(self, state: ServiceState, known_failure: dict[str, Any] | None) -> str | None:
        service = state.service or {}
        name = service["state"]
        if failure_of(service):
            if known_failure and (known_failure["state"], known_failure["log"]) == (name, service["log"]):
                return None
            return self.explain(service)
        if name in GOING_STATES:
            return f"the service is {name}: somebody else is removing it"
        # A VM of a role that nobody waits for does not matter here.
        parked_roles = [role for role in service["roles"] if role in self.waiting.parked]
        wanted = set(vm_ids(service, self.waiting.roles)) - set(vm_ids(service, parked_roles) if parked_roles else [])
        vms = [vm for vm in state.vms if vm["id"] in wanted]
        parked = [vm for vm in vms if vm["state"] in PARKED]
        if name == "WARNING" and parked:
            return f"the service is WARNING: {waiting_words(parked)}"
        return failures(vms) or self._without_hope(vms) or None

    def _without_hope(self, vms: Sequence[dict[str, Any]]) -> str:
        """VMs that say themselves that waiting for them is of no use, in words; "" where there are none."""
        told = [
            f"VM {vm['id']} ({vm['name']}) has {name}={vm['attributes'][name]}"
            for vm in vms
            for name, values in self.waiting.hopeless.items()
            if vm["attributes"].get(name) in values
        ]
        return "; ".join(told)

    def explain(self, service: dict[str, Any]) -> str:
        """Why a service is in a failed state: its log and what its VMs say."""
        try:
            vms = self.vms(vm_ids(service))
        except OneError:
            # The reason that is already known matters more than a second problem while looking for details.
            vms = []
        told = [text for text in (last_messages(service), failures(vms), waiting_words(vms)) if text]
        return f"the service is {failure_of(service) or service['state']}" + (f" ({'; '.join(told)})" if told else "")

    def _describe(self, state: ServiceState) -> str:
        service = state.service or {}
        told = [f"the service is {service.get('state', 'gone')}"]
        if self.waiting.target == "vms":
            told += self._missing(state)
        vms = state.vms or self.vms(vm_ids(service))
        unready = [vm for vm in vms if vm["state"] == "RUNNING" and not self._vm_is_up(vm)]
        if self.waiting.target == "vms":
            lacking = " or ".join(["an address", *self.waiting.attributes])
            told += [f"VM {vm['id']} runs but lacks {lacking}" for vm in unready]
        elif service.get("ready_gate"):
            silent = [vm for vm in vms if vm["state"] == "RUNNING" and vm["attributes"].get("READY") != "YES"]
            told += [f"VM {vm['id']} has not said READY=YES" for vm in silent]
        words = waiting_words(vms)
        return "; ".join([*told, words] if words else told)

    def wait_gone(self, service_id: int, ids: Sequence[int]) -> None:
        """Wait until OneFlow has forgotten the service, then until its VMs are done.

        OneFlow forgets a service at once that is removed a second time while its first roles go, and leaves the VMs of
        the others running; those are terminated here.
        """
        waiting = self.waiting
        start = time.monotonic()

        def poll() -> dict[str, Any] | None:
            try:
                return service_view(self.flow.service(service_id))
            except OneNotFoundError:
                return None

        wait_for(
            poll,
            lambda seen: seen is None or seen["state"] == "DONE",
            lambda seen: self.explain(seen) if seen and failure_of(seen) else None,
            what=f"removal of service {service_id}",
            timeout=waiting.timeout,
            interval=waiting.interval,
            describe=lambda seen: f"the service is {seen['state']}" if seen else "",
        )
        if not ids:
            return
        told: set[int] = set()

        def left() -> list[dict[str, Any]]:
            found = [vm for vm in self.vms(ids) if vm["state"] != "DONE"]
            for vm in found:
                forgotten = vm_destination(vm["state"]) != "DONE" and vm["id"] not in told
                if forgotten and vm["attributes"].get("SERVICE_ID") == str(service_id):
                    told.add(vm["id"])
                    self._terminate(vm["id"])
            return found

        wait_for(
            left,
            lambda left: not left,
            lambda left: failures(left) or None,
            what=f"removal of the VMs of service {service_id}",
            timeout=max(0.0, waiting.timeout - (time.monotonic() - start)),
            interval=waiting.interval,
            describe=waiting_words,
        )

    def _terminate(self, vm_id: int) -> None:
        # Another run may be doing the same; whether it worked is seen in the VM.
        with suppress(OneActionError, OneNotFoundError):
            self.connect().call("one.vm.action", "terminate", vm_id)

    def when(
        self,
        service_id: int,
        what: str,
        call: Callable[[], None],
        states: frozenset[str] = RUNNING,
        known: dict[str, Any] | None = None,
    ) -> None:
        """Make a call once the service is in one of the states: it may be cooling down, or changing otherwise.

        what: the wait in words. known: the service as just read, to save a call.
        """
        waiting = self.waiting
        start = time.monotonic()
        while True:
            wait_for(
                lambda: service_view(self.flow.service(service_id)),
                lambda seen: seen["state"] in states,
                lambda seen: self._stuck(seen, states),
                what=f"service {service_id} (waiting for {' or '.join(sorted(states))} before {what})",
                timeout=max(0.0, waiting.timeout - (time.monotonic() - start)),
                interval=waiting.interval,
                describe=lambda seen: f"the service is {seen['state']}",
                known=known,
            )
            known = None
            try:
                return call()
            except OneActionError:
                # Auto-scaling or another client was faster; the wait above ends with the time-out.
                continue

    def _stuck(self, service: dict[str, Any], states: frozenset[str]) -> str | None:
        if failure_of(service):
            return self.explain(service)
        if service["state"] == "WARNING" and "WARNING" not in states:
            if self.resumed and not waiting_words(vm for vm in self.vms(vm_ids(service)) if vm["state"] in PARKED):
                # OneFlow notices a moment after the VM that it runs again.
                return None
            return f"{self.explain(service)}; {AFTER_WARNING}"
        if service["state"] in (GOING_STATES | {"DONE", "HOLD"}) - states:
            return f"the service is {service['state']}"
        return None
