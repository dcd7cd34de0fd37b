# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a task asks of a service that lives: name, number and states of VMs, roles, description, owner, permissions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

from ..core.runner import Plan, reject
from ..document.access import Access, plan_access
from ..errors import OneFailedStateError
from .facts import ServiceState
from .ops import UPDATABLE, ServiceOps
from .roles import ABSENT, PARKING, SETTINGS, check_action, needs_action, role_vms
from .service import check_cardinalities, failure_of, service_view
from .wait import AFTER_FAILURE, AFTER_WARNING

if TYPE_CHECKING:
    from ..core.lookups import Lookups

Service = dict[str, Any]

#: States in which the first deployment, or a change of the number of VMs, is not over.
_BUSY = ("PENDING", "DEPLOYING_NETS", "DEPLOYING", "SCALING")


class ServiceChange:
    """Plans of changes. params: as in the module one_service."""

    def __init__(self, ops: ServiceOps, lookups: Lookups, params: Mapping[str, Any]) -> None:
        self._ops = ops
        self._lookups = lookups
        self._params = params
        self._roles: list[dict[str, Any]] = params.get("roles") or []
        names = [str(role["name"]) for role in self._roles]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            reject(f"roles names {', '.join(repeated)} more than once", "say all about a role in one entry")
        self._wait = bool(params["wait"])
        self.access = Access.from_params(params)
        self.cardinalities = {
            str(role["name"]): int(role["cardinality"]) for role in self._roles if role.get("cardinality") is not None
        }
        #: Roles whose VMs shall be in a state, and that state.
        self.powers = {
            str(role["name"]): str(role["state"])
            for role in self._roles
            if role.get("state") not in (None, ABSENT)
        }
        #: Bounds, cooldown and policies that roles shall have.
        self.settings = _settings(self._roles)
        #: The body of the service as just read.
        self.body: dict[str, Any] | None = None
        #: Whether the VMs have to be looked at before anything can be planned.
        self.needs_vms = bool(self.powers or self.access.owner or self.access.group)

    @property
    def parked(self) -> frozenset[str]:
        """The roles that the task wants not to run."""
        return frozenset(name for name, state in self.powers.items() if state in PARKING)

    # -- a service that lives ---------------------------------------------------------------------------------------

    def plan(self, before: ServiceState) -> Plan[ServiceState]:
        """The steps for a service that is neither going nor gone, read with its VMs where `needs_vms`."""
        service = before.service or {}
        name, number = service["name"], service["id"]
        self.refuse_failed(service)
        new_name = self._params.get("new_name") or name
        after: Service = {**service, "roles": {role: dict(details) for role, details in service["roles"].items()}}
        after.update(name=new_name, **self.access.predicted(service, self._lookups))
        plan = Plan(after=ServiceState(after, before.vms, {**before.power}))
        what = f"service {new_name} (id {number})"
        if new_name != name:
            plan.add(
                f"rename service {name} (id {number}) to {new_name}",
                lambda: self._ops.flow.service_action(number, "rename", {"name": new_name}),
            )
        self._plan_roles(plan, before)
        description = self._params.get("description")
        if description is not None and description != service["description"]:
            after["description"] = description
            known = None if plan.steps or service["state"] not in UPDATABLE else service
            plan.add(f"set the description of {what}", lambda: self._ops.describe(number, description, known))
        plan_access(plan, what, service, after, partial(self._ops.flow.service_action, number), before.vms)
        return plan

    def refuse_failed(self, service: Service) -> None:
        """Nothing but recovery and removal is possible in a failed state."""
        if failure_of(service):
            raise OneFailedStateError(
                f"service {service['name']} (id {service['id']}): {self._ops.explain(service)}", hint=AFTER_FAILURE
            )

    def _plan_roles(self, plan: Plan[ServiceState], before: ServiceState) -> None:
        service: Service = before.service or {}
        name, number = service["name"], service["id"]
        force = bool(self._params.get("force"))
        present = service["roles"]
        added = {str(role["name"]): role for role in self._roles if role.get("definition")}
        added = {role: given for role, given in added.items() if role not in present and given.get("state") != ABSENT}
        gone = [str(role["name"]) for role in self._roles if role.get("state") == ABSENT and role["name"] in present]
        unknown = [str(role["name"]) for role in self._roles if role.get("state") != ABSENT]
        check_cardinalities(name, present, {role: 0 for role in unknown if role not in present and role not in added})
        scaled = {
            role: count
            for role, count in self.cardinalities.items()
            if role in present and role not in gone and present[role]["cardinality"] != count
        }
        changes = {
            role: wanted for role, wanted in self.settings.items() if role in present and role not in gone and wanted
        }
        if not force:
            bounds = {role: {**details, **changes.get(role, {})} for role, details in present.items()}
            check_cardinalities(name, bounds, scaled)
        acting = {
            role: state
            for role, state in self.powers.items()
            if role in added or needs_action(state, role_vms(service, role, before.vms))
        }
        for role, state in acting.items():
            check_action(name, role, state, role_vms(service, role, before.vms))
        resumed = [role for role, state in acting.items() if state == "running" and role not in added]
        for role in resumed:
            self._plan_power(plan, before, role, "running", lazy=False)
        if scaled or added or gone:
            self._check_changeable(service, bool(resumed))
        late = self._plan_settings(plan, service, changes, scaled) if changes else None
        for given in added.values():
            self._plan_addition(plan, name, number, given)
        for role, count in scaled.items():
            self._planned(plan)[role]["cardinality"] = count
            known = service if service["state"] == "RUNNING" and not plan.steps else None
            plan.add(
                f"scale role {role} of service {name} from {present[role]['cardinality']} to {count}",
                partial(self._ops.scale, number, role, count, force=force, known=known),
            )
        self._plan_removals(plan, name, number, gone)
        if late is not None:
            late()
        for role, state in acting.items():
            if role not in resumed and not (role in added and state in ("running", "rebooted")):
                self._plan_power(plan, before, role, state, lazy=role in added or role in scaled)

    def _plan_settings(
        self, plan: Plan[ServiceState], service: Service, changes: dict[str, Any], scaled: Mapping[str, int]
    ) -> Callable[[], None]:
        """Plan the changes of bounds, cooldown and policies; what is returned plans those that follow a scaling."""
        from .settings import check_settings, differing, stages, words

        present, name, number = service["roles"], service["name"], service["id"]
        changes = {role: differing(present[role], wanted) for role, wanted in changes.items()}
        changes = {role: wanted for role, wanted in changes.items() if wanted}
        for role, wanted in changes.items():
            details = {**present[role], **wanted}
            check_settings(name, role, details, scaled.get(role, present[role]["cardinality"]))
            self._planned(plan)[role].update(wanted)
        first, later = stages(present, changes, scaled)
        if first:
            known = service if service["state"] in UPDATABLE and not plan.steps else None
            call = partial(self._ops.change_roles, number, first, known, self.body)
            plan.add(f"set {words(first)} of service {name}", call)

        def plan_later() -> None:
            if later:
                plan.add(
                    f"set {words(later)} of service {name}", partial(self._ops.change_roles, number, later)
                )

        return plan_later

    @staticmethod
    def _planned(plan: Plan[ServiceState]) -> dict[str, Any]:
        """The roles as the plan leaves them."""
        roles: dict[str, Any] = (plan.after.service or {})["roles"]
        return roles

    def _plan_power(
        self, plan: Plan[ServiceState], before: ServiceState, role: str, state: str, *, lazy: bool
    ) -> None:
        service: Service = before.service or {}
        vms = None if lazy else [dict(vm) for vm in role_vms(service, role, before.vms)]
        plan.after.power[role] = state
        plan.add(
            f"bring role {role} of service {service['name']} to {state}",
            partial(self._ops.act_on_role, service["id"], role, state, vms, wait=self._wait),
        )

    def _plan_addition(self, plan: Plan[ServiceState], name: str, number: int, given: Mapping[str, Any]) -> None:
        role = self.definition(given, plan)
        self._planned(plan)[role["name"]] = planned_role(role)
        if role["name"] in self.powers:
            plan.after.power[role["name"]] = "running"
        plan.add(f"add role {role['name']} to service {name}", lambda: self._ops.add_role(number, role))

    def _plan_removals(self, plan: Plan[ServiceState], name: str, number: int, gone: Sequence[str]) -> None:
        for role in gone:
            del self._planned(plan)[role]
            plan.add(
                f"remove role {role} from service {name}",
                partial(self._ops.remove_role, number, role, wait=self._wait),
            )

    def definition(self, given: Mapping[str, Any], plan: Plan[ServiceState]) -> dict[str, Any]:
        """The role to add, in the keys of 7.x, its names resolved; doubts about it become warnings of the plan."""
        # Only here: what most tasks do not need is not loaded for them.
        from ..service_template.body import normalise
        from ..service_template.checks import check_keys
        from ..service_template.names import resolve_names

        whole = {"type": "vm", **given["definition"], "name": str(given["name"])}
        for key in ("cardinality", "template_contents", "user_inputs_values", *SETTINGS):
            if given.get(key) is not None:
                whole[key] = given[key]
        plan.warnings += check_keys([whole], "the definition")
        resolved = resolve_names({"roles": [whole]}, self._lookups.vm_template, self._lookups.network)
        role: dict[str, Any] = normalise(resolved)["roles"][0]
        if role.get("template_id") is None:
            reject(f"the definition of role {role['name']} names no VM template", "give template or template_id in it")
        return role

    def _check_changeable(self, service: Service, resuming: bool) -> None:
        """Refuse at once what waiting cannot make possible."""
        where = f"service {service['name']} (id {service['id']})"
        if service["state"] in _BUSY and service["ready_gate"] and self._params["wait_for"] != "running":
            reject(
                f"{where} is {service['state']} and cannot be scaled before its VMs have said READY=YES",
                "let it become RUNNING with its present cardinality first",
            )
        if service["state"] == "WARNING" and not resuming:
            reject(
                f"{where} is WARNING and cannot be scaled: {self._ops.explain(service)}",
                AFTER_WARNING,
            )
        if service["state"] == "HOLD":
            reject(f"{where} is on hold and cannot be scaled", "use state released first")


def _settings(roles: Sequence[Mapping[str, Any]]) -> dict[str, dict[str, Any]]:
    """The settings that are asked for, by role."""
    given = [role for role in roles if any(role.get(key) is not None for key in SETTINGS)]
    if not given:
        return {}
    from .settings import asked_settings

    return {str(role["name"]): asked_settings(role) for role in given}


def planned_role(role: Mapping[str, Any]) -> dict[str, Any]:
    """A role that is not there yet, as a service view shows it."""
    document = {"ID": "-1", "NAME": "", "PERMISSIONS": {}, "TEMPLATE": {"BODY": {"roles": [dict(role)]}}}
    view: dict[str, Any] = service_view(document)["roles"][str(role["name"])]
    return view
