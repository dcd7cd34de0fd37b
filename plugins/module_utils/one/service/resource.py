# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service of OneFlow as a resource of the runner: started, changed, released, recovered, removed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..api.oneflow import OneFlow
from ..core.runner import Plan, Resource, reject
from ..data.marks import require_mark
from ..data.states import SERVICE_FAILURES
from ..document.access import verify
from ..document.document import GOING_STATES, body_of, mark_of
from ..document.find import live_documents, look_patiently, pick_document
from ..errors import OneNotFoundError
from .change import ServiceChange
from .facts import ServiceState, service_facts
from .ops import ServiceOps
from .roles import PARKING, power_words, role_vms
from .service import failure_of, input_drift, is_held, service_view, vm_ids
from .wait import Waiting

if TYPE_CHECKING:
    from ..core.lookups import Lookups
    from .start import ServiceStart

KIND = "service"

_NOT_YET_HELD = ("PENDING", "DEPLOYING_NETS", "HOLD")


class ServiceResource(Resource[ServiceState]):
    """State: `ServiceState`; its `service` is None where there is no live service.

    params: as in the module one_service.
    """

    def __init__(self, flow: OneFlow, ops: ServiceOps, lookups: Lookups, params: Mapping[str, Any]) -> None:
        self._flow = flow
        self._ops = ops
        self._params = params
        self._id: int | None = params.get("id")
        self._state: str = params["state"]
        self._mark: str | None = params.get("mark")
        self._new_name: str | None = params.get("new_name")
        self._change = ServiceChange(ops, lookups, params)
        self._lookups = lookups
        self._start: ServiceStart | None = None
        #: VMs of a service that is going, to be waited for after OneFlow has forgotten it.
        self._leaving: list[int] = []
        self._failed: dict[str, Any] | None = None
        self._drift: list[str] = []
        self._known: frozenset[int] = frozenset()
        self._expected: dict[str, Any] = {}

    @staticmethod
    def waiting(params: Mapping[str, Any]) -> Waiting:
        """What the options of the module ask to wait for."""
        roles = params.get("roles") or []
        return Waiting(
            target=params["wait_for"] if params["wait"] else "none",
            timeout=params["wait_timeout"],
            interval=params["wait_interval"],
            roles=params.get("wait_roles"),
            attributes=params.get("wait_attributes") or (),
            network=params.get("network"),
            parked=frozenset(str(role["name"]) for role in roles if role.get("state") in PARKING),
            hold_ends=params["state"] != "released",
            hopeless={
                str(name): [str(value) for value in (values if isinstance(values, list) else [values])]
                for name, values in (params.get("wait_hopeless") or {}).items()
            },
        )

    # -- what the runner asks for -----------------------------------------------------------------------------------

    def read(self) -> ServiceState:
        document = self._find()
        if document is None:
            return ServiceState(None)
        service = service_view(document)
        self._change.body = body_of(document)
        self._drift = input_drift(
            body_of(document), self._params.get("user_inputs_values") or {}, service["name"],
            {str(role["name"]): role.get("user_inputs_values") or {} for role in self._params.get("roles") or []},
        )  # fmt: skip
        going = service["state"] in GOING_STATES
        if self._state != "present" or not self._change.needs_vms or going:
            return ServiceState(service)
        vms = self._ops.vms(vm_ids(service))
        powers = {role: power_words(role_vms(service, role, vms)) for role in self._change.powers}
        return ServiceState(service, vms, {role: words for role, words in powers.items() if words})

    def plan(self, before: ServiceState) -> Plan[ServiceState]:
        plans = {"absent": self._plan_absent, "recovered": self._plan_recovered, "released": self._plan_released}
        return plans.get(self._state, self._plan_present)(before)

    def settle(self, known: ServiceState | None, changed: bool) -> ServiceState:
        started = None if self._start is None else self._start.number
        number = started if started is not None else self._id
        if self._state == "absent":
            if number is not None and self._params["wait"] and (changed or self._leaving):
                self._ops.wait_gone(number, self._leaving)
            return ServiceState(None)
        if number is None:
            return ServiceState(None)
        state = self._ops.wait_up(number, known, self._failed)
        if changed and state.service is not None:
            verify(f"service {number}", state.service, self._expected)
        return state

    def facts(self, state: ServiceState) -> dict[str, Any]:
        if state.service is None:
            return {"service": {}, "hosts": []}
        if not state.vms and vm_ids(state.service):
            # Check mode waits for nothing and so has not looked at the VMs, which later tasks need all the same.
            state = ServiceState(state.service, self._ops.vms(vm_ids(state.service)))
        return service_facts(state, self._params.get("network"))

    def view(self, state: ServiceState) -> Any:
        service = state.service
        if service is None:
            return {}
        roles = {name: {"cardinality": role["cardinality"]} for name, role in service["roles"].items()}
        if self._change.settings:
            from .settings import stored_settings

            for name, wanted in self._change.settings.items():
                if name in roles:
                    stored = stored_settings(service["roles"][name])
                    roles[name].update({key: stored.get(key) for key in wanted})
        for name, words in state.power.items():
            if name in roles:
                roles[name]["state"] = words
        shown = {
            "name": service["name"],
            "owner": service["owner"]["name"],
            "group": service["group"]["name"],
            "permissions": service["permissions"],
            "description": service["description"],
            "state": failure_of(service) or service["state"] if self._state in ("recovered", "released") else None,
            "roles": roles,
        }
        return {key: value for key, value in shown.items() if value is not None}

    # -- planning ---------------------------------------------------------------------------------------------------

    def _find(self) -> Mapping[str, Any] | None:
        if self._params.get("id") is None:
            if not self._params.get("name"):
                reject("the service needs a name or an id", "set name")
            found, documents = look_patiently(self._flow.services, self._choose)
            self._known = frozenset(int(document["ID"]) for document in documents)
            self._id = None if found is None else int(found["ID"])
            return found
        try:
            document = self._flow.service(int(self._params["id"]))
        except OneNotFoundError:
            if self._state == "absent":
                return None
            raise
        require_mark(KIND, str(document["NAME"]), document["ID"], mark_of(document), self._mark)
        if self._state == "absent" and service_view(document)["state"] == "DONE":
            return None
        return document

    def _choose(self, documents: Sequence[Mapping[str, Any]]) -> Mapping[str, Any] | None:
        name, owner = str(self._params["name"]), self._params.get("owner")
        if self._state == "absent":
            return pick_document(KIND, live_documents(documents, name), name, self._mark, owner)
        # A second run after a rename finds the service under its new name.
        for called in filter(None, (name, self._new_name)):
            live = live_documents(documents, called)
            found = pick_document(KIND, live, called, self._mark, owner, self._flow.username)
            if found is not None:
                return found
        return None

    def _plan_present(self, before: ServiceState) -> Plan[ServiceState]:
        service = before.service
        if service is None or service["state"] in GOING_STATES | {"DONE"}:
            name = str(self._new_name or self._params.get("name") or (service or {}).get("name"))
            going = service if service is not None and service["state"] != "DONE" else None
            start = self._starter()
            plan = start.plan(name, going, self._known)
            if not start.promised:
                self._check_wait_roles((plan.after.service or {})["roles"], name)
            self._expected = {**(plan.after.service or {}), "name": name}
            plan.warnings += [*self._lookups.warnings, *start.warnings]
            return plan
        self._change.refuse_failed(service)
        plan = self._change.plan(before)
        self._check_wait_roles((plan.after.service or {})["roles"], service["name"])
        self._expected = dict(plan.after.service or {})
        plan.warnings += [*self._drift, *self._lookups.warnings, *(self._start.warnings if self._start else [])]
        return plan

    def _starter(self) -> ServiceStart:
        """The same one for all looks of this run. Loaded only by a task that starts something."""
        if self._start is None:
            from .start import ServiceStart

            self._start = ServiceStart(self._flow, self._ops, self._lookups, self._params, self._change)
        return self._start

    def _plan_absent(self, before: ServiceState) -> Plan[ServiceState]:
        plan = Plan(after=ServiceState(None))
        service = before.service
        if service is None:
            return plan
        self._leaving = vm_ids(service)
        if service["state"] not in GOING_STATES or failure_of(service):
            plan.add(f"remove service {service['name']} (id {service['id']})", lambda: self._ops.delete(service))
        return plan

    def _plan_recovered(self, before: ServiceState) -> Plan[ServiceState]:
        service = self._existing(before, "nothing to recover")
        self._check_wait_roles(service["roles"], service["name"])
        plan = Plan(after=before)
        failure = failure_of(service)
        if failure:
            self._failed = service
            plan.add(
                f"recover service {service['name']} (id {service['id']}) from {failure}",
                lambda: self._flow.recover_service(service["id"]),
            )
            roles = {
                name: {**role, "state": "DEPLOYING"} if role["state"] in SERVICE_FAILURES else role
                for name, role in service["roles"].items()
            }
            plan.after = ServiceState({**service, "state": "DEPLOYING", "roles": roles})
        return plan

    def _plan_released(self, before: ServiceState) -> Plan[ServiceState]:
        service = self._existing(before, "nothing to release")
        self._check_wait_roles(service["roles"], service["name"])
        self._change.refuse_failed(service)
        plan = Plan(after=before)
        held = any(role["state"] == "HOLD" for role in service["roles"].values())
        if not held and not (service["on_hold"] and service["state"] in _NOT_YET_HELD):
            return plan
        number = service["id"]

        def release() -> None:
            # Roles that OneFlow has not made yet it would forget.
            if not is_held(service) and any(role["state"] == "PENDING" for role in service["roles"].values()):
                self._ops.wait_held(number)
            self._flow.service_action(number, "release", {})

        plan.add(f"release service {service['name']} (id {number})", release)
        plan.after = ServiceState({**service, "state": "DEPLOYING"})
        return plan

    def _existing(self, before: ServiceState, missing: str) -> dict[str, Any]:
        service = before.service
        if service is None or service["state"] in GOING_STATES | {"DONE"}:
            reject(f"service {self._params.get('name')} does not exist, so there is {missing}", "use state present")
        return service

    def _check_wait_roles(self, roles: Mapping[str, Any], name: str) -> None:
        unknown = [role for role in self._params.get("wait_roles") or [] if role not in roles]
        if unknown:
            reject(f"service {name} has no role {', '.join(unknown)}", f"wait_roles may name {', '.join(roles)}")
