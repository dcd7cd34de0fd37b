# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A VM, or an exact number of them, brought to one state: made from a template, changed, acted on, removed."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .compare import merged, update_for, without
from .connection import Connection
from .errors import OneNotFoundError, OneUsageError
from .marks import MARK_ATTRIBUTE, mark_of, require_mark
from .objects import State, checked_permissions, wanted_attributes
from .pools import group_id, user_id
from .runner import Plan, Resource
from .states import VM_STABLE, vm_failure
from .template import Template, normalise
from .vm import GOALS, action_for, describe, list_vms, predicted, read_vms
from .vm_create import RESERVED, Creation
from .wait import wait_for
from .xml import number, permission_bits, split_labels, text

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
        "deploy_id",
        "created",
        "labels",
        "error",
    }
)


class VmResource(Resource[list[State]]):
    """The VMs selected by id, by name, or by name and count ("name-0" … "name-<count - 1>")."""

    def __init__(self, connection: Connection, params: Mapping[str, Any], check_mode: bool = False) -> None:
        self.connection = connection
        self.params = params
        self.wanted: str = params["state"]
        self.attributes = wanted_attributes(params["attributes"], RESERVED)
        context = normalise({"CONTEXT": params["context"]}).get("CONTEXT") if params["context"] else {}
        self.context: dict[str, str] = context if isinstance(context, dict) else {}
        self.creation = Creation(connection, params, self.attributes, self.context, check_mode)
        # Ids of all VMs that were read or made, which is what the final read asks for.
        self.ids: list[int] = []
        checked_permissions(params["permissions"])
        if (params["count"] or 0) < 0:
            raise OneUsageError("count must not be negative")

    # -- reading ---------------------------------------------------------------------------------------------------

    def read(self) -> list[State]:
        params = self.params
        if params["id"] is not None:
            selected = [vm for vm in read_vms(self.connection, [params["id"]]) if vm["state"] != "DONE"]
            if not selected and self.wanted != "absent":
                raise OneUsageError(
                    f"VM {params['id']} does not exist or is DONE", hint="create one by giving name and template"
                )
        else:
            selected = read_vms(self.connection, self._ids_by_name())
        for vm in selected:
            require_mark("VM", vm["name"], vm["id"], mark_of(vm["attributes"]), params["mark"])
        if params["count"] is None and len(selected) > 1:
            listed = ", ".join(f"id {vm['id']} of {vm['owner']['name']}" for vm in selected)
            raise OneUsageError(f"VM name {params['name']} is not unique: {listed}", hint="give the id")
        self.ids = [vm["id"] for vm in selected]
        return sorted(selected, key=self._order)

    def _ids_by_name(self) -> list[int]:
        names = {self.params["name"], self.params["new_name"]} - {None}
        pattern = re.compile(re.escape(self.params["name"]) + r"-\d+\Z")
        found = []
        for body in list_vms(self.connection):
            name, owner = text(body, "NAME"), self.params["owner"]
            matches = name in names if self.params["count"] is None else bool(pattern.match(name))
            if matches and owner in (None, text(body, "UNAME")):
                found.append(number(body, "ID"))
        return found

    def _order(self, vm: State) -> tuple[int, int]:
        tail = vm["name"].rpartition("-")[2]
        return (int(tail) if self.params["count"] is not None and tail.isdigit() else 0, vm["id"])

    # -- planning --------------------------------------------------------------------------------------------------

    def plan(self, before: list[State]) -> Plan[list[State]]:
        plan: Plan[list[State]] = Plan(after=[])
        keep, surplus, missing = self._split(before)
        for vm in surplus:
            self._plan_action(plan, vm, "absent")
        for vm in keep:
            plan.after.append(self._plan_change(plan, vm))
        for name in missing:
            plan.after.append(self._plan_create(plan, name))
        plan.warnings.extend(self.creation.warnings)
        return plan

    def _split(self, before: list[State]) -> tuple[list[State], list[State], list[str]]:
        count = self.params["count"]
        if self.wanted == "absent":
            return [], before, []
        if count is None:
            missing = [] if before else [self.params["new_name"] or self.params["name"]]
            return before, [], missing
        # The highest numbers go first when there are too many, the lowest free numbers are taken when too few.
        keep, surplus = before[:count], before[count:]
        taken = {vm["name"] for vm in keep}
        names = (f"{self.params['name']}-{index}" for index in range(count + len(keep)))
        free = [name for name in names if name not in taken]
        return keep, surplus, free[: count - len(keep)]

    def _plan_create(self, plan: Plan[list[State]], name: str) -> State:
        hold = self.wanted == "hold"
        template_id, extra, context = self.creation.prepare()
        after = predicted(name, self._final_attributes(Template()), self.connection.settings.username)
        after.update(context=context, template_id=template_id)
        for field in ("cpu", "vcpu", "memory"):
            after[field] = self.params[field]
        made: list[int] = []

        def instantiate() -> None:
            made.append(int(self.connection.call("one.template.instantiate", template_id, name, hold, extra, False)))
            self.ids.append(made[0])

        plan.add(f"create VM {name}", instantiate)
        if self.wanted in ("poweroff", "suspended", "stopped", "undeployed"):
            running = {**after, "state": "RUNNING"}
            self._plan_action(plan, running, self.wanted, lambda: made[0])
        after["state"] = GOALS.get(self.wanted, "PENDING")
        self._plan_access(plan, after, after, lambda: made[0])
        return after

    def _plan_change(self, plan: Plan[list[State]], before: State) -> State:
        vm_id = before["id"]
        after = {**before, "attributes": self._final_attributes(before["attributes"])}
        new_name = self.params["new_name"]
        if new_name and new_name != before["name"]:
            after["name"] = new_name
            plan.add(
                f"rename VM {before['name']} to {new_name}",
                lambda: self.connection.call("one.vm.rename", vm_id, new_name),
            )
        update = update_for(before["attributes"], after["attributes"])
        if update is not None:
            plan.add(
                f"update attributes of VM {after['name']}",
                lambda: self.connection.call("one.vm.update", vm_id, *update),
            )
        self._plan_context(plan, before, after)
        self._plan_size(plan, before, after)
        self._plan_action(plan, before, self.wanted)
        after["state"] = GOALS.get(self.wanted, before["state"])
        self._plan_access(plan, before, after, lambda: vm_id)
        return after

    def _plan_context(self, plan: Plan[list[State]], before: State, after: State) -> None:
        # A value such as $USER[SSH_PUBLIC_KEY] is stored expanded, so only its presence can be compared.
        changed = {
            key: value
            for key, value in self.context.items()
            if before["context"].get(key) != value and not ("$" in value and key in before["context"])
        }
        if not changed:
            return
        after["context"] = {**before["context"], **changed}
        template = Template({"CONTEXT": changed})
        plan.add(
            f"update context of VM {after['name']}",
            # Appending keeps NETWORK, TOKEN and the ETH variables; replacing would drop them.
            lambda: self.connection.call("one.vm.updateconf", before["id"], template, 1),
        )

    def _plan_size(self, plan: Plan[list[State]], before: State, after: State) -> None:
        changed = Template()
        for field in ("cpu", "vcpu", "memory"):
            value = self.params[field]
            if value is not None and value != before[field]:
                after[field] = value
                changed.update(normalise({field: value}))
        if changed:
            plan.add(
                f"resize VM {after['name']}",
                lambda: self.connection.call("one.vm.resize", before["id"], changed, True),
            )

    def _plan_action(
        self, plan: Plan[list[State]], vm: State, wanted: str, vm_id: Callable[[], int] | None = None
    ) -> None:
        action = action_for(vm, wanted, self.params["hard"])
        if action is None:
            return
        identify = vm_id or (lambda: int(vm["id"]))
        plan.add(f"{action} VM {vm['name']}", lambda: self._act(identify(), action, wanted))

    def _plan_access(self, plan: Plan[list[State]], before: State, after: State, vm_id: Callable[[], int]) -> None:
        permissions = self.params["permissions"]
        if permissions and permissions != before["permissions"]:
            after["permissions"] = permissions
            bits = permission_bits(permissions)
            plan.add(
                f"set permissions of VM {after['name']} to {permissions}",
                lambda: self.connection.call("one.vm.chmod", vm_id(), *bits),
            )
        owner = self.params["owner"] if self.params["owner"] not in (None, before["owner"]["name"]) else None
        group = self.params["group"] if self.params["group"] not in (None, before["group"]["name"]) else None
        if owner is None and group is None:
            return
        uid = -1 if owner is None else user_id(self.connection, owner)
        gid = -1 if group is None else group_id(self.connection, group)
        after["owner"] = {"id": uid, "name": owner} if owner else before["owner"]
        after["group"] = {"id": gid, "name": group} if group else before["group"]
        plan.add(
            f"give VM {after['name']} to {owner or 'the same owner'}, group {group or 'unchanged'}",
            lambda: self.connection.call("one.vm.chown", vm_id(), uid, gid),
        )

    def _final_attributes(self, current: Template) -> Template:
        after = without(merged(current, self.attributes), self.params["remove_attributes"])
        labels = self.params["labels"]
        if labels is not None and split_labels([str(after.get("LABELS", ""))]) != split_labels(labels):
            after["LABELS"] = ",".join(split_labels(labels))
        if self.params["mark"]:
            after[MARK_ATTRIBUTE] = self.params["mark"]
        return after

    # -- acting and waiting ----------------------------------------------------------------------------------------

    def _act(self, vm_id: int, action: str, wanted: str) -> None:
        """Send an action as soon as the VM is in a state that accepts actions."""
        early = {"absent": ("PENDING", "CLONING"), "hold": ("PENDING",)}.get(wanted, ())

        def ready(vms: list[State]) -> bool:
            return all((vm["state"] in VM_STABLE and vm["state"] != "PENDING") or vm["state"] in early for vm in vms)

        # terminate-hard is the one action that interrupts a shutdown that hangs.
        if action != "terminate-hard":
            self._wait([vm_id], ready, f"VM {vm_id} accepting {action}", fail=wanted != "absent")
        try:
            self.connection.call("one.vm.action", action, vm_id)
        except OneNotFoundError:
            if wanted != "absent":
                raise
        if wanted == "rebooted":
            return
        if wanted == "absent" and self.wanted != "absent":
            # Surplus VMs are not part of the result, so they are waited for here.
            self.ids.remove(vm_id)
            if self.params["wait"]:
                self._wait([vm_id], self._gone, f"end of VM {vm_id}", fail=False)

    def settle(self, known: list[State] | None, changed: bool) -> list[State]:
        if self.wanted == "absent":
            if self.params["wait"] and self.ids:
                self._wait(self.ids, self._gone, "end of the VMs", fail=False)
            return []
        if not self.params["wait"] or self.wanted == "present":
            final = read_vms(self.connection, self.ids) if known is None else known
        else:
            goal = GOALS[self.wanted]
            final = self._wait(
                self.ids,
                lambda vms: len(vms) == len(self.ids) and all(vm["state"] == goal for vm in vms),
                f"VM state {goal}",
                known=known,
            )
        return sorted(final, key=self._order)

    def _wait(
        self,
        ids: list[int],
        is_done: Callable[[list[State]], bool],
        what: str,
        fail: bool = True,
        known: list[State] | None = None,
    ) -> list[State]:
        def failed(vms: list[State]) -> str | None:
            reasons = [(vm["name"], vm["id"], vm_failure(vm["state"], vm["attributes"])) for vm in vms]
            found = [f"VM {name} (id {vm_id}) {reason}" for name, vm_id, reason in reasons if reason]
            found += [f"VM {vm['name']} (id {vm['id']}) was terminated" for vm in vms if vm["state"] == "DONE"]
            return "; ".join(found) if found and fail else None

        return wait_for(
            lambda: read_vms(self.connection, ids),
            is_done,
            failed,
            what=what,
            timeout=self.params["wait_timeout"],
            interval=self.params["wait_interval"],
            describe=lambda vms: describe([vm for vm in vms if not is_done([vm])] or vms),
            known=known,
        )

    @staticmethod
    def _gone(vms: list[State]) -> bool:
        return all(vm["state"] == "DONE" for vm in vms)

    # -- results ---------------------------------------------------------------------------------------------------

    def facts(self, state: list[State]) -> dict[str, Any]:
        single = self.params["count"] is None and len(state) == 1
        return {"vms": state, "vm": state[0] if single else {}}

    def view(self, state: list[State]) -> Any:
        shown: dict[str, Any] = {}
        for vm in state:
            fields = {**vm, "owner": vm["owner"]["name"], "group": vm["group"]["name"]}
            # What is not known before a VM exists is None in its prediction and no part of the difference.
            shown[vm["name"]] = {
                key: value for key, value in fields.items() if key not in VOLATILE and value is not None
            }
        return shown
