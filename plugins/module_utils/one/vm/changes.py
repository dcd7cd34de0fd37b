# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One existing VM brought to what is wanted: name, attributes, shape, state, access, lock."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ..api.connection import Connection
from ..core.lock import plan_lock
from ..core.objects import State
from ..core.pools import group_id, user_id
from ..core.runner import Plan
from ..data.compare import merged, update_for, without
from ..data.marks import MARK_ATTRIBUTE
from ..data.states import VM_FAILURES, VM_STABLE, vm_destination
from ..data.template import Template
from ..data.xml import labels_of, permission_bits, split_labels
from .create import CREATION_ONLY
from .ops import UNPLACED, Operations
from .shape import Steps, VmShape
from .vm import GOALS, action_for

Identify = Callable[[], int]

# Operation of one.vm.recover and what it is called here. Deleting is what state=absent is for.
RECOVERIES = {"failure": 0, "success": 1, "retry": 2, "delete-recreate": 4}
_STAYS = ("present", "recovered")


class VmChanges:
    """Plans the writes for existing VMs, and those that follow the creation of new ones."""

    def __init__(
        self,
        connection: Connection,
        params: Mapping[str, Any],
        ops: Operations,
        attributes: Template,
        check_mode: bool = False,
    ) -> None:
        self.connection = connection
        self.params = params
        self.ops = ops
        self.attributes = Template({name: value for name, value in attributes.items() if name not in CREATION_ONLY})
        self.labels: list[str] | None = params["labels"]
        self.shape = VmShape(params, ops, check_mode)

    # -- what follows from the options -----------------------------------------------------------------------------

    def final_attributes(self, current: Template) -> Template:
        """Return what USER_TEMPLATE shall be."""
        after = without(merged(current, self.attributes), self.params["remove_attributes"])
        if self.labels is not None and split_labels([str(after.get("LABELS", ""))]) != split_labels(self.labels):
            after["LABELS"] = ",".join(split_labels(self.labels))
        if self.params["mark"]:
            after[MARK_ATTRIBUTE] = self.params["mark"]
        return after

    def final_state(self, before: str) -> str:
        """Return the state that a VM will be in, as far as it can be said."""
        return GOALS.get(self.params["state"], before)

    # -- existing VMs ----------------------------------------------------------------------------------------------

    def change(self, before: State, body: Mapping[str, Any]) -> tuple[State, Steps]:
        """Return the state that a VM will have and the writes that lead there."""
        vm_id: int = before["id"]
        plan: Steps = Plan(after=[])
        after = {**before, "attributes": self.final_attributes(before["attributes"])}
        after["labels"] = labels_of(after["attributes"])
        new_name = self.params["new_name"]
        if new_name and new_name != before["name"]:
            after["name"] = new_name
            plan.add(
                f"rename VM {before['name']} to {new_name}", lambda: self.ops.call("one.vm.rename", vm_id, new_name)
            )
        update = update_for(before["attributes"], after["attributes"])
        if update is not None:
            plan.add(f"update attributes of VM {after['name']}", lambda: self.ops.call("one.vm.update", vm_id, *update))
        self._in_order(plan, before, after, body)
        self.access(plan, before, after, lambda: vm_id)
        self._lock(plan, before, after)
        return after, plan

    def _in_order(self, plan: Steps, before: State, after: State, body: Mapping[str, Any]) -> None:
        """Plan what depends on the VM's state, before or after the state changes, wherever it is possible."""
        wanted = self.params["state"]
        now = "PENDING" if before["state"] == "PENDING" else vm_destination(before["state"])
        goal = now if wanted in _STAYS else GOALS[wanted]
        parts: list[tuple[tuple[str, ...], Steps]] = []
        for states, planner in self.shape.planners(body):
            part: Steps = Plan(after=[])
            planner(part, before, after)
            parts.append((states, part))
        late = [part for states, part in parts if goal != now and _later(states, now, goal)]
        for _states, part in parts:
            if part not in late:
                plan.steps.extend(part.steps)
        if wanted == "recovered":
            self._recover(plan, before, after)
        else:
            self.action(plan, before, wanted, lambda: int(before["id"]))
        after["state"] = after["state"] if wanted == "recovered" else self.final_state(before["state"])
        for part in late:
            plan.steps.extend(part.steps)

    def action(self, plan: Steps, vm: State, wanted: str, identify: Identify) -> None:
        """Plan the action that brings a VM to a state, if one is needed."""
        action = action_for(vm, wanted, self.params["hard"])
        if action is not None:
            plan.add(f"{action} VM {vm['name']}", lambda: self.ops.act(identify(), action, wanted))

    def end(self, vm: State) -> Steps:
        """Return the writes that end a VM."""
        plan: Steps = Plan(after=[])
        self.action(plan, vm, "absent", lambda: int(vm["id"]))
        if plan.steps and self.params["lock"] is not None:
            plan_lock(plan, vm["lock"], "none", f"VM {vm['name']}", self._locker(lambda: int(vm["id"])))
        return plan

    def _recover(self, plan: Steps, before: State, after: State) -> None:
        state, how, vm_id = before["state"], self.params["recover"], before["id"]
        failed = state in VM_FAILURES
        # Whether a VM hangs or only takes its time cannot be seen: who says hard has decided that it hangs.
        if not failed and not (self.params["hard"] and state not in VM_STABLE):
            return
        if failed and how == "failure":
            # It has failed already, which is all that this operation says.
            return
        after["state"] = "RUNNING" if how == "delete-recreate" else vm_destination(state.removesuffix("_FAILURE"))
        if how == "failure":
            after["state"] = before["state"]

        def recover() -> None:
            self.ops.call("one.vm.recover", vm_id, RECOVERIES[how])
            self.ops.began(vm_id)

        plan.add(f"recover VM {before['name']} ({how})", recover)

    # -- access ----------------------------------------------------------------------------------------------------

    def access(self, plan: Steps, before: State, after: State, identify: Identify) -> None:
        """Plan chmod and chown where they differ."""
        permissions = self.params["permissions"]
        if permissions and permissions != before["permissions"]:
            after["permissions"] = permissions
            bits = permission_bits(permissions)
            plan.add(
                f"set permissions of VM {after['name']} to {permissions}",
                lambda: self.ops.call("one.vm.chmod", identify(), *bits),
            )
        owner = _other(self.params["owner"], before["owner"])
        group = _other(self.params["group"], before["group"])
        if owner is None and group is None:
            return
        uid = -1 if owner is None else user_id(self.connection, owner)
        gid = -1 if group is None else group_id(self.connection, group)
        after["owner"] = {"id": uid, "name": owner} if owner else before["owner"]
        after["group"] = {"id": gid, "name": group} if group else before["group"]
        plan.add(
            f"give VM {after['name']} to {owner or 'the same owner'}, group {group or 'unchanged'}",
            lambda: self.ops.call("one.vm.chown", identify(), uid, gid),
        )

    def _lock(self, plan: Steps, before: State, after: State) -> None:
        after["lock"] = plan_lock(
            plan, before["lock"], self.params["lock"], f"VM {after['name']}", self._locker(lambda: int(before["id"]))
        )

    def lock_new(self, plan: Steps, after: State, identify: Identify) -> None:
        """Plan the lock of a VM that is about to be made."""
        goal = self.params["lock"]
        if goal not in (None, "none"):
            after["lock"] = plan_lock(plan, "none", goal, f"VM {after['name']}", self._locker(identify))

    def _locker(self, identify: Identify) -> Callable[..., Any]:
        def call(what: str, *level: int) -> None:
            vm_id = identify()
            if what == "lock" and self.params["wait"]:
                # A lock must not come in the way of what is still going on, least of all of the first deployment.
                early = UNPLACED if self.params["state"] == "present" else ()
                self.ops.rest([vm_id], f"VM {vm_id} coming to rest before it is locked", early)
            self.connection.call(f"one.vm.{what}", vm_id, *level, *((False,) if what == "lock" else ()))

        return call


def _later(states: tuple[str, ...], now: str, goal: str) -> bool:
    """Tell whether a change is better made in the state that a VM goes to than in the one it is in."""
    if goal not in states:
        return False
    return now not in states or states.index(goal) < states.index(now)


def _other(wanted: str | None, current: Mapping[str, Any]) -> str | None:
    return None if wanted in (None, current["name"], str(current["id"])) else wanted
