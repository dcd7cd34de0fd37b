# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Starting a service: from which template, with what, and once only though two runs want it at the same time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from ..api.oneflow import OneFlow
from ..core.lookups import Lookups
from ..core.runner import Plan, reject
from ..data.xml import permissions
from ..document.access import first_of_its_name, plan_access, taken_back
from ..document.document import GOING_STATES, body_of, mark_of
from ..document.find import look_patiently, pick_document
from .change import ServiceChange, planned_role
from .facts import ServiceState
from .ops import ServiceOps
from .request import merge_template, network_values
from .roles import ABSENT, SETTINGS
from .service import check_cardinalities, service_view, vm_ids

KIND = "service"
TEMPLATE_KIND = "service template"

Document = Mapping[str, Any]


class ServiceStart:
    """Plans of services that do not live yet. number: the id of the service, once it has been started."""

    def __init__(
        self, flow: OneFlow, ops: ServiceOps, lookups: Lookups, params: Mapping[str, Any], change: ServiceChange
    ) -> None:
        self._flow = flow
        self._ops = ops
        self._lookups = lookups
        self._params = params
        self._change = change
        self._mark: str | None = params.get("mark")
        self.number: int | None = None
        #: Whether there is no service template yet, which check mode lets pass.
        self.promised = False
        self.warnings: list[str] = []

    def plan(self, name: str, going: dict[str, Any] | None, known: frozenset[int]) -> Plan[ServiceState]:
        """The steps to a new service of that name.

        going: the view of a service of that name that is on its way out, to be waited for. known: ids of all services
        so far.
        """
        template = self._template(name)
        body = body_of(template)
        promised = self.promised = template["ID"] is None
        roles, late = self._settings_at_start(body)
        merge = merge_template(
            body,
            name=name,
            mark=self._mark,
            description=self._params.get("description"),
            inputs=self._params.get("user_inputs_values") or {},
            networks=network_values(self._params.get("networks_values"), self._lookups.network),
            roles=roles,
        )
        planned = service_view({**template, "ID": "-1", "NAME": name, "PERMISSIONS": {}})
        planned.update(id=None, mark=self._mark or planned["mark"])
        planned["description"] = merge.get("description", planned["description"])
        planned.update(self._change.access.predicted(None, self._lookups))
        asked = {role: count for role, count in self._change.cardinalities.items() if role in planned["roles"]}
        for role, wanted in self._change.settings.items():
            planned["roles"].get(role, {}).update(wanted)
        check_cardinalities(name, planned["roles"], asked)
        for role, number in asked.items():
            planned["roles"][role]["cardinality"] = number
        if not promised:
            self._check_settings(name, planned["roles"])
        plan = Plan(after=ServiceState(planned))
        number = int(template["ID"] or 0)
        what = f"start service {name} from {TEMPLATE_KIND} {template['NAME'] if promised else number}"
        if going is not None:
            what += f" after the end of service {going['id']}"
        plan.add(what, lambda: self._start(number, merge, known, going))
        if late:
            from .settings import words

            call = partial(self._on_started, self._ops.change_roles, late)
            plan.add(f"set {words(late)} of service {name}", call)
        self._plan_later(plan, name)
        return plan

    def _settings_at_start(self, body: Mapping[str, Any]) -> tuple[list[dict[str, Any]], dict[str, dict[str, Any]]]:
        """The roles to start with, and the settings that they can only be given later."""
        given: list[dict[str, Any]] = self._params.get("roles") or []
        if not self._change.settings:
            return given, {}
        from .settings import at_start

        stored = {str(role["name"]): role for role in body.get("roles") or []}
        roles, late = [], {}
        for role in given:
            name = str(role["name"])
            rest = {key: value for key, value in role.items() if key not in SETTINGS}
            if name in stored:
                early, later = at_start(stored[name], self._change.settings.get(name, {}))
                rest.update(early)
                if later:
                    late[name] = later
            roles.append(rest)
        return roles, late

    def _check_settings(self, name: str, roles: Mapping[str, Any]) -> None:
        if self._change.settings:
            from .settings import check_settings

            for role in self._change.settings:
                if role in roles:
                    check_settings(name, role, roles[role], roles[role]["cardinality"])

    def _plan_later(self, plan: Plan[ServiceState], name: str) -> None:
        """What can only be done once the service runs: other roles, states of VMs, another owner."""
        wait = bool(self._params["wait"])
        planned = plan.after.service or {}
        for given in self._params.get("roles") or []:
            role = str(given["name"])
            if given.get("state") == ABSENT:
                if role in planned["roles"]:
                    del planned["roles"][role]
                    plan.add(
                        f"remove role {role} from service {name}",
                        partial(self._on_started, self._ops.remove_role, role, wait=wait),
                    )
                continue
            if role not in planned["roles"]:
                definition = self._change.definition(given, plan)
                planned["roles"][role] = planned_role(definition)
                plan.add(
                    f"add role {role} to service {name}",
                    partial(self._on_started, self._ops.add_role, definition),
                )
            if role in self._change.powers:
                plan.after.power[role] = "running"
        for role in self._change.parked:
            state = plan.after.power[role] = self._change.powers[role]
            plan.add(
                f"bring role {role} of service {name} to {state}",
                partial(self._on_started, self._ops.act_on_role, role, state, None, wait=wait),
            )
        nobody = {"owner": {"id": -1}, "group": {"id": -1}, "permissions": planned["permissions"]}
        plan_access(plan, f"service {name}", nobody, planned, self._give)

    def _on_started(self, call: Any, *arguments: Any, **more: Any) -> None:
        call(self.number, *arguments, **more)

    def _give(self, perform: str, params: dict[str, Any]) -> None:
        """Give the service away once its VMs are there: those made later would stay with this user."""
        if self._params["wait"]:
            self._ops.wait_up(int(self.number or 0))
        self._flow.service_action(int(self.number or 0), perform, params)

    def _template(self, name: str) -> Document:
        """The service template to start from; one with our mark wins, but any template may be used."""
        reference = self._params.get("template")
        if reference is None:
            reject(f"service {name} does not exist", "give template so that it can be started, or check the name")
        if str(reference).isdigit():
            return self._flow.template(int(reference))

        def choose(documents: Sequence[Document]) -> Document | None:
            named = [item for item in documents if str(item.get("NAME")) == str(reference)]
            ours = [item for item in named if self._mark is not None and mark_of(item) == self._mark]
            return pick_document(TEMPLATE_KIND, ours or named, str(reference), None)

        found, _documents = look_patiently(self._flow.templates, choose)
        if found is None and self._lookups.check_mode:
            return self._promised(self._lookups.promised(TEMPLATE_KIND, str(reference)))
        if found is None:
            reject(f"{TEMPLATE_KIND} {reference} does not exist, or this user may not see it", "check template")
        return found

    def _promised(self, name: str) -> Document:
        """A service template that an earlier task may be about to make: it has what this task asks of it."""
        networks = network_values(self._params.get("networks_values"), self._lookups.network)
        roles = [
            {"name": str(role["name"])}
            for role in self._params.get("roles") or []
            if not role.get("definition") and role.get("state") != ABSENT
        ]
        body = {"roles": roles, "networks": dict.fromkeys(networks, "")}
        return {"ID": None, "NAME": name, "TEMPLATE": {"BODY": body}}

    # -- writes -----------------------------------------------------------------------------------------------------

    def _start(
        self, template_id: int, merge: dict[str, Any], known: frozenset[int], going: dict[str, Any] | None
    ) -> None:
        """Start it, and give way to another run that was faster."""
        if going is not None:
            self._ops.wait_gone(going["id"], vm_ids(going))
        mine = self._flow.instantiate(template_id, merge)
        self.number = int(mine["ID"])
        live = [item for item in self._flow.services() if service_view(item)["state"] not in GOING_STATES | {"DONE"}]
        other = first_of_its_name(live, mine, mark_of, known, self._params.get("owner"))
        if other is not None:
            self._take_back(mine)
            error = taken_back(KIND, str(mine["NAME"]), mine["ID"], other["ID"])
            self.warnings.append(error.text)
            raise error
        wanted = self._change.access.permissions
        if wanted is not None and permissions(dict(mine)) != wanted:
            self._flow.service_action(self.number, "chmod", {"octet": wanted})

    def _take_back(self, mine: Document) -> None:
        """Remove the service that this run started."""
        self.number = None
        # It has left the state in which OneFlow answered: its networks are being made, or its VMs.
        self._ops.delete({**service_view(mine), "state": "DEPLOYING_NETS"})
        if self._params["wait"]:
            self._ops.wait_gone(int(mine["ID"]), [])
