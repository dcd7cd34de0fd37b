# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM, an exact number of them, or all that fit a description, brought to one state."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..api.connection import Connection
from ..core.filters import is_owned
from ..core.objects import VM, State, wanted_attributes
from ..core.pools import unknown_name
from ..core.runner import Plan, Resource
from ..data.compare import without
from ..data.marks import mark_of, require_mark
from ..data.states import VM_STABLE, vm_destination
from ..data.template import Template
from ..data.xml import checked_permissions, number, template_of, text
from ..errors import OneError, OneTakenError, OneUsageError
from .changes import VmChanges
from .create import CREATION_ONLY, RESERVED, Creation
from .devices import KINDS, shown
from .ops import UNPLACED, Operations, failures, gone
from .select import Selection
from .vm import GOALS, list_vms, predicted, read_bodies, represent

# Fields that no option sets, left out of differences; devices are shown where an option names them.
VOLATILE = frozenset(
    {
        "id",
        "state_id",
        "lcm_state_id",
        "host",
        "ip",
        "nics",
        "template_id",
        "disks",
        "pcis",
        "deploy_id",
        "created",
        "labels",
        "error",
    }
)


class VmResource(Resource["list[State]"]):
    """The VMs that the options mean, see Selection, and what shall become of them."""

    def __init__(self, connection: Connection, params: Mapping[str, Any], check_mode: bool = False) -> None:
        self.connection = connection
        self.params = params
        self.wanted: str = params["state"]
        self.selection = Selection(connection, params)
        self.ops = Operations(connection, params)
        attributes = wanted_attributes(params["attributes"], RESERVED)
        self.changes = VmChanges(connection, params, self.ops, attributes, check_mode)
        extra, labels = attributes, params["labels"]
        if params["count"]:
            extra, labels = self.selection.described(attributes, params["labels"])
        self.creation = Creation(
            connection, params, extra, self.changes.shape.context, self.changes.shape.configuration, labels, check_mode
        )
        # Ids of all VMs that were read or made, which is what the final read asks for.
        self.ids: list[int] = []
        self.made: dict[str, int] = {}
        self.bodies: dict[int, Mapping[str, Any]] = {}
        self.before: list[State] = []
        self.after: list[State] = []
        self.leaving: list[int] = []
        checked_permissions(params["permissions"])

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self) -> list[State]:
        params = self.params
        selected = []
        for body in self.selection.bodies():
            vm = represent(body)
            require_mark("VM", vm["name"], vm["id"], mark_of(vm["attributes"]), params["mark"])
            self.bodies[vm["id"]] = body
            self.ops.know(vm)
            selected.append(vm)
        if self.selection.single and len(selected) > 1:
            raise _ambiguous(params, selected)
        self.ids = [vm["id"] for vm in selected]
        self.before = self._sorted(selected)
        return self.before

    def _sorted(self, vms: list[State]) -> list[State]:
        return sorted(vms, key=lambda vm: self.selection.order(vm["name"], vm["id"]))

    # -- planning --------------------------------------------------------------------------------------------------

    def plan(self, before: list[State]) -> Plan[list[State]]:
        plan: Plan[list[State]] = Plan(after=[])
        keep, surplus, missing = self._split(before)
        # The highest numbers go first when there are too many.
        for vm in reversed(surplus):
            plan.steps.extend(self.changes.end(vm).steps)
        for vm in keep:
            after, part = self.changes.change(vm, self.bodies[vm["id"]])
            plan.after.append(after)
            plan.steps.extend(part.steps)
        if missing:
            self._plan_creation(plan, missing)
        if self.wanted != "absent" and surplus:
            self._plan_farewell(plan, [vm["id"] for vm in surplus])
        plan.warnings.extend(self.creation.warnings)
        self.after = plan.after
        return plan

    def _split(self, before: list[State]) -> tuple[list[State], list[State], list[str]]:
        params = self.params
        count = params["count"]
        if self.wanted == "absent":
            return [], before, []
        if count is None:
            missing = [] if before or not self.selection.single else [params["new_name"] or params["name"]]
            if missing and self.wanted == "recovered":
                sentence = unknown_name(VM.word, params["name"], params["owner"])
                raise OneUsageError(sentence, hint="there is nothing to recover")
            return before, [], missing
        # The lowest free numbers are taken when there are too few.
        keep, surplus = before[:count], before[count:]
        # A number that a VM has which does not fit the description is not free either.
        taken = {vm["name"] for vm in keep} | self.selection.names
        names = (f"{params['name']}-{index}" for index in range(count + len(taken)))
        free = [name for name in names if name not in taken]
        return keep, surplus, free[: count - len(keep)]

    def _plan_creation(self, plan: Plan[list[State]], names: list[str]) -> None:
        """Plan all new VMs first and what follows for each of them afterwards, so that they start together."""
        template_id, extra, context = self.creation.prepare()
        hold = self.wanted == "hold"
        follow: Plan[list[State]] = Plan(after=[])
        for name in names:
            after = predicted(name, Template(self._new_attributes()), self.connection.settings.username)
            after.update(context=context, template_id=template_id, updateconf=dict(self.changes.shape.configuration))
            after.update({field: self.params[field] for field in ("cpu", "vcpu", "memory")})

            def create(name: str = name) -> None:
                persistent = self.params["persistent"]
                vm_id = int(
                    self.connection.call("one.template.instantiate", template_id, name, hold, extra, persistent)
                )
                self.made[name] = vm_id
                self.ids.append(vm_id)
                self.ops.began(vm_id)
                if name == names[-1]:
                    self._give_way(plan)

            plan.add(f"create VM {name}", create)

            def identify(name: str = name) -> int:
                return self.made[name]

            if self.wanted in ("poweroff", "suspended", "stopped", "undeployed"):
                self.changes.action(follow, {**after, "state": "RUNNING"}, self.wanted, identify)
            after["state"] = GOALS.get(self.wanted, "PENDING")
            self.changes.access(follow, after, after, identify)
            self.changes.lock_new(follow, after, identify)
            plan.after.append(after)
        plan.steps.extend(follow.steps)

    def _new_attributes(self) -> Template:
        told = self.creation.attributes.items()
        extra = self.changes.final_attributes(Template({key: value for key, value in told if key not in CREATION_ONLY}))
        if self.creation.labels is not None:
            extra["LABELS"] = ",".join(self.creation.labels)
        return extra

    def _plan_farewell(self, plan: Plan[list[State]], ids: list[int]) -> None:
        """Surplus VMs are not part of the result, so they are waited for in the last step."""
        self.ids = [vm_id for vm_id in self.ids if vm_id not in ids]
        self.leaving = ids

    # -- two runs at once ------------------------------------------------------------------------------------------

    def _give_way(self, plan: Plan[list[State]]) -> None:
        """VM names are not unique: of VMs that two runs made at the same time the one with the lowest id stays."""
        owner, pool = self.params["owner"], list_vms(self.connection)
        mine = {text(body, "UNAME") for body in pool if number(body, "ID") in self.made.values()}
        rivals: dict[str, list[int]] = {}
        for body in pool:
            vm_id, name = number(body, "ID"), text(body, "NAME")
            new = vm_id not in self.selection.seen and vm_id not in self.ids
            rival = new and name in self.made and vm_id < self.made[name]
            if rival and (text(body, "UNAME") in mine or (owner is not None and is_owned(body, owner))):
                rivals.setdefault(name, []).append(vm_id)
        full = {number(body, "ID"): body for body in read_bodies(self.connection, sum(rivals.values(), []))}
        lost = []
        for name, ids in rivals.items():
            alike = [vm_id for vm_id in sorted(ids) if vm_id in full and self._alike(full[vm_id])]
            if not alike:
                continue
            own, self.made[name] = self.made[name], alike[0]
            self.ids[self.ids.index(own)] = alike[0]
            self.ops.began(alike[0])
            lost.append(own)
            plan.warnings.append(
                f"another run made VM {name} (id {alike[0]}) at the same time; that of this run (id {own}) was removed"
            )
        for vm_id in lost:
            self.ops.act(vm_id, "terminate-hard", "absent")
        if lost and self.params["wait"]:
            self.ops.until(lost, gone, "end of the VMs that were made twice", fail=False)

    def _alike(self, body: Mapping[str, Any]) -> bool:
        vm, mark = represent(body), self.params["mark"]
        leaving = vm_destination(vm["state"]) == "DONE"
        return not leaving and (mark is None or mark_of(template_of(dict(body), VM.template)) == mark)

    # -- waiting and results ---------------------------------------------------------------------------------------

    def settle(self, known: list[State] | None, changed: bool) -> list[State]:
        wait = self.params["wait"]
        if self.leaving and wait:
            self.ops.until(self.leaving, gone, "end of the surplus VMs", fail=False)
        if self.wanted == "absent":
            if wait and self.ids:
                self.ops.until(self.ids, gone, "end of the VMs", fail=False, known=known)
            return []
        if not wait:
            return self._sorted(self.ops.read(self.ids) if known is None else known)
        if self.wanted == "recovered":
            return self._settle_recovery(known)
        if known is None and not self.ops.sent and self._at_goal(self.before):
            # Only calls that are done when they return were made: their result is known without another look.
            return self.after
        if self.wanted == "present":
            # Whether a VM that was not placed yet ever will be is not asked for here.
            self.ops.rest(self.ops.sent - set(self.made.values()), early=UNPLACED)
            return self._sorted(self.ops.read(self.ids) if known is None else known)
        final = self.ops.until(
            self.ids,
            self._at_goal,
            f"VM state {GOALS[self.wanted]}",
            known=known,
        )
        return self._sorted(final)

    def _at_goal(self, vms: list[State]) -> bool:
        return self.wanted == "present" or all(vm["state"] == GOALS.get(self.wanted) for vm in vms)

    def _settle_recovery(self, known: list[State] | None) -> list[State]:
        if known is not None:
            return known
        failing = self.params["recover"] == "failure"
        old = failures(self.before)

        def recovered(vms: list[State]) -> bool:
            now = failures(vms)
            return all(vm["state"] in VM_STABLE - {"PENDING"} for vm in vms) and (failing or not now)

        final = self.ops.until(self.ids, recovered, "recovery of the VMs", fail=not failing, old=old)
        return self._sorted([vm for vm in final if vm["state"] != "DONE"])

    def explain(self, error: OneError, before: list[State]) -> OneError:
        if isinstance(error, OneTakenError) and self.params["persistent"]:
            error.hint = (
                "a private copy bears the name of its VM, and that of a former VM is still there; remove it with "
                "one_template (recursive: true), or choose another name"
            )
        return error

    def facts(self, state: list[State]) -> dict[str, Any]:
        single = self.selection.single and len(state) == 1
        return {"vms": state, "vm": state[0] if single else {}}

    def view(self, state: list[State]) -> Any:
        names = [vm["name"] for vm in state]
        shown_: dict[str, Any] = {}
        for vm in state:
            fields = {**vm, "owner": vm["owner"]["name"], "group": vm["group"]["name"]}
            # What is not known before a VM exists is None in its prediction and no part of the difference.
            view = {key: value for key, value in fields.items() if key not in VOLATILE and value is not None}
            # The scheduler writes what it thinks of a waiting VM among its attributes, whenever it likes.
            view["attributes"] = without(view["attributes"], ["SCHED_MESSAGE"])
            for kind in KINDS:
                if self.params[kind.option] is not None and vm["id"] is not None:
                    view[kind.option] = shown(vm[kind.option])
            # Several VMs may have one name; of those that stay the ids tell them apart.
            twice = names.count(vm["name"]) > 1 and vm["id"] is not None
            shown_[f"{vm['name']} (id {vm['id']})" if twice else vm["name"]] = view
        return shown_


def _ambiguous(params: Mapping[str, Any], vms: list[State]) -> OneUsageError:
    """Return the refusal of a name, or of a name and a new one, that mean several VMs."""
    listed = ", ".join(f"id {vm['id']} of {vm['owner']['name']}" for vm in vms)
    if params["new_name"] and {vm["name"] for vm in vms} == {params["name"], params["new_name"]}:
        return OneUsageError(
            f"there are VMs {params['name']} and {params['new_name']} (new_name) already: {listed}",
            hint="give the id of the one to rename, or another new_name",
        )
    return OneUsageError(f"VM name {vms[0]['name']} is not unique: {listed}", hint="give the id")
