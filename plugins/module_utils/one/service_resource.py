# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One service of OneFlow as a resource of the runner: started, scaled, recovered, removed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import OneAuthorizationError, OneFailedStateError, OneNotFoundError
from .hosts import service_hosts
from .lookups import Lookups
from .marks import require_mark
from .objects import checked_permissions
from .oneflow import OneFlow
from .runner import Plan, Resource, reject
from .service import (
    GOING_STATES,
    body_of,
    check_cardinalities,
    input_drift,
    mark_of,
    pick_document,
    service_view,
    vm_ids,
)
from .service_ops import AFTER_FAILURE, ServiceOps, ServiceState, Waiting
from .service_request import merge_template, network_values
from .states import SERVICE_FAILURES
from .xml import permissions

KIND = "service"
TEMPLATE_KIND = "service template"


class ServiceResource(Resource[ServiceState]):
    """State: `ServiceState`; its `service` is None where there is no live service.

    params: id, name, state, template, mark, permissions, roles, user_inputs_values, networks_values, force, network and
    the waiting options, as in the module one_service.
    """

    def __init__(self, flow: OneFlow, ops: ServiceOps, lookups: Lookups, params: Mapping[str, Any]) -> None:
        self._flow = flow
        self._ops = ops
        self._lookups = lookups
        self._params = params
        self._id: int | None = params.get("id")
        self._name: str | None = params.get("name")
        self._state: str = params["state"]
        self._mark: str | None = params.get("mark")
        self._permissions = checked_permissions(params.get("permissions"))
        self._asked = {
            str(role["name"]): int(role["cardinality"])
            for role in params.get("roles") or []
            if role.get("cardinality") is not None
        }
        #: VMs of a service that is going, to be waited for after OneFlow has forgotten it.
        self._leaving: list[int] = []
        self._failed: dict[str, Any] | None = None
        self._drift: list[str] = []

    @staticmethod
    def waiting(params: Mapping[str, Any]) -> Waiting:
        """What the options of the module ask to wait for."""
        return Waiting(
            target=params["wait_for"] if params["wait"] else "none",
            timeout=params["wait_timeout"],
            interval=params["wait_interval"],
            roles=params.get("wait_roles"),
            attributes=params.get("wait_attributes") or (),
            network=params.get("network"),
        )

    # -- what the runner asks for -----------------------------------------------------------------------------------

    def read(self) -> ServiceState:
        document = self._find()
        if document is None:
            return ServiceState(None)
        service = service_view(document)
        self._id = service["id"]
        self._drift = input_drift(
            body_of(document), self._params.get("user_inputs_values") or {}, service["name"]
        )
        return ServiceState(service)

    def plan(self, before: ServiceState) -> Plan[ServiceState]:
        if self._state == "absent":
            return self._plan_absent(before)
        if self._state == "recovered":
            return self._plan_recovered(before)
        if before.service is None or before.service["state"] in GOING_STATES:
            return self._plan_new(before)
        return self._plan_change(before.service)

    def settle(self, known: ServiceState | None, changed: bool) -> ServiceState:
        if self._state == "absent":
            if self._id is not None and self._params["wait"] and (changed or self._leaving):
                self._ops.wait_gone(self._id, self._leaving)
            return ServiceState(None)
        if self._id is None:
            return ServiceState(None)
        return self._ops.wait_up(self._id, known.service if known else None, self._failed)

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
        shown = {
            "name": service["name"],
            "permissions": service["permissions"],
            "roles": {name: {"cardinality": role["cardinality"]} for name, role in service["roles"].items()},
        }
        return {key: value for key, value in shown.items() if value is not None}

    # -- planning ---------------------------------------------------------------------------------------------------

    def _find(self) -> Mapping[str, Any] | None:
        if self._id is None:
            if not self._name:
                reject("the service needs a name or an id", "set name")
            live = [document for document in self._flow.services() if service_view(document)["state"] != "DONE"]
            return pick_document(KIND, live, str(self._name), self._mark)
        try:
            document = self._flow.service(self._id)
        except OneNotFoundError:
            if self._state == "absent":
                return None
            raise
        require_mark(KIND, str(document["NAME"]), self._id, mark_of(document), self._mark)
        return document

    def _plan_absent(self, before: ServiceState) -> Plan[ServiceState]:
        plan = Plan(after=ServiceState(None))
        service = before.service
        if service is None:
            return plan
        self._leaving = vm_ids(service)
        if service["state"] not in GOING_STATES:
            plan.add(f"remove service {service['name']} (id {service['id']})", lambda: self._ops.delete(service))
        return plan

    def _plan_recovered(self, before: ServiceState) -> Plan[ServiceState]:
        service = before.service
        if service is None:
            reject(f"service {self._name} does not exist, so there is nothing to recover", "use state present")
        self._check_wait_roles(service["roles"], service["name"])
        plan = Plan(after=before)
        if service["state"] in SERVICE_FAILURES:
            self._failed = service
            plan.add(
                f"recover service {service['name']} (id {service['id']}) from {service['state']}",
                lambda: self._flow.recover_service(service["id"]),
            )
            plan.after = ServiceState({**service, "state": "DEPLOYING"})
        return plan

    def _plan_new(self, before: ServiceState) -> Plan[ServiceState]:
        name = str(self._name or (before.service or {}).get("name"))
        template = self._template(name)
        body = body_of(template)
        merge = merge_template(
            body,
            name=name,
            mark=self._mark,
            inputs=self._params.get("user_inputs_values") or {},
            networks=network_values(self._params.get("networks_values"), self._lookups.network),
            roles=self._params.get("roles") or [],
        )
        document = {**template, "ID": "-1", "NAME": name, "PERMISSIONS": {}}
        planned = service_view(document)
        planned.update(permissions=self._permissions, id=None, mark=self._mark or planned["mark"])
        self._check_wait_roles(planned["roles"], name)
        check_cardinalities(name, planned["roles"], self._asked)
        for role, number in self._asked.items():
            planned["roles"][role]["cardinality"] = number
        plan = Plan(after=ServiceState(planned))
        going = before.service
        if going is not None:
            leaving = vm_ids(going)
            plan.add(f"wait for the end of service {going['id']}", lambda: self._ops.wait_gone(going["id"], leaving))
        number = int(template["ID"])
        plan.add(f"start service {name} from {TEMPLATE_KIND} {number}", lambda: self._instantiate(number, merge))
        return plan

    def _plan_change(self, service: dict[str, Any]) -> Plan[ServiceState]:
        name, number = service["name"], service["id"]
        if service["state"] in SERVICE_FAILURES:
            raise OneFailedStateError(
                f"service {name} (id {number}): {self._ops.explain(service)}",
                hint=AFTER_FAILURE,
            )
        self._check_wait_roles(service["roles"], name)
        unknown = {role: count for role, count in self._asked.items() if role not in service["roles"]}
        check_cardinalities(name, service["roles"], unknown)
        scaled = {
            role: count for role, count in self._asked.items() if service["roles"][role]["cardinality"] != count
        }
        force = bool(self._params.get("force"))
        if not force:
            check_cardinalities(name, service["roles"], scaled)
        after = {**service, "roles": {role: dict(details) for role, details in service["roles"].items()}}
        plan = Plan(after=ServiceState(after), warnings=list(self._drift))
        for role, count in scaled.items():
            self._check_scalable(service)
            after["roles"][role]["cardinality"] = count
            plan.add(
                f"scale role {role} of service {name} from {service['roles'][role]['cardinality']} to {count}",
                lambda role=role, count=count: self._ops.scale(number, role, count, force=force),  # type: ignore[misc]
            )
        if self._permissions is not None and service["permissions"] != self._permissions:
            after["permissions"] = self._permissions
            plan.add(f"set permissions of service {name} to {self._permissions}", lambda: self._chmod(number))
        return plan

    def _check_scalable(self, service: dict[str, Any]) -> None:
        """Refuse at once what waiting cannot make possible."""
        where = f"service {service['name']} (id {service['id']})"
        busy = service["state"] in ("PENDING", "DEPLOYING_NETS", "DEPLOYING", "SCALING")
        if busy and service["ready_gate"] and self._params["wait_for"] != "running":
            reject(
                f"{where} is {service['state']} and cannot be scaled before its VMs have said READY=YES",
                "let it become RUNNING with its present cardinality first",
            )
        if service["state"] == "WARNING":
            reject(
                f"{where} is WARNING and cannot be scaled: {self._ops.explain(service)}",
                "resume or remove the VMs that do not run",
            )

    def _check_wait_roles(self, roles: Mapping[str, Any], name: str) -> None:
        unknown = [role for role in self._params.get("wait_roles") or [] if role not in roles]
        if unknown:
            reject(f"service {name} has no role {', '.join(unknown)}", f"wait_roles may name {', '.join(roles)}")

    def _template(self, name: str) -> Mapping[str, Any]:
        """The service template to start from; one with our mark wins, but any template may be used."""
        reference = self._params.get("template")
        if reference is None:
            reject(f"service {name} does not exist", "give template so that it can be started, or check the name")
        if str(reference).isdigit():
            return self._flow.template(int(reference))
        named = [item for item in self._flow.templates() if str(item.get("NAME")) == str(reference)]
        ours = [item for item in named if self._mark is not None and mark_of(item) == self._mark]
        found = pick_document(TEMPLATE_KIND, ours or named, str(reference), None)
        if found is None:
            reject(f"{TEMPLATE_KIND} {reference} does not exist, or this user may not see it", "check template")
        return found

    # -- writes -----------------------------------------------------------------------------------------------------

    def _instantiate(self, template_id: int, merge: dict[str, Any]) -> None:
        document = self._flow.instantiate(template_id, merge)
        self._id = int(document["ID"])
        if self._permissions is not None and permissions(dict(document)) != self._permissions:
            self._chmod(self._id)

    def _chmod(self, number: int) -> None:
        self._flow.service_action(number, "chmod", {"octet": self._permissions})
        found = permissions(dict(self._flow.service(number)))
        if found != self._permissions:
            raise OneAuthorizationError(
                f"the permissions of service {number} stayed {found} instead of {self._permissions}"
            )


def service_facts(state: ServiceState, network: str | None = None) -> dict[str, Any]:
    """What a play gets of one service: `service` with its `vms` and roles, and `hosts` for add_host."""
    service = state.service or {}
    role_of = {number: role for role, details in service["roles"].items() for number in details["vms"]}
    vms = [{**vm, "role": role_of.get(vm["id"])} for vm in state.vms]
    hosts = service_hosts(service, vms, network=network)
    return {"service": {**service, "vms": vms}, "hosts": hosts}
