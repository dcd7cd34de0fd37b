# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One existing VM brought to what is wanted: name, attributes, context, size, devices, state, access, lock."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

from .compare import merged, update_for, without
from .connection import Connection
from .errors import OneActionError, OneUsageError
from .lock import plan_lock
from .marks import MARK_ATTRIBUTE
from .objects import State
from .pools import group_id, user_id
from .runner import Plan
from .states import VM_FAILURES, VM_STABLE, vm_destination
from .template import Template, Vector, normalise
from .vm import CONFIGURATION, GOALS, action_for
from .vm_devices import (
    DISK,
    KINDS,
    Changes,
    Kind,
    compare_devices,
    devices_of,
    expected,
    satisfied,
    wanted_devices,
    words_for,
)
from .vm_ops import Operations
from .xml import labels_of, permission_bits, split_labels

Steps = Plan["list[State]"]
Identify = Callable[[], int]

# Operation of one.vm.recover and what it is called here. Deleting is what state=absent is for.
RECOVERIES = {"failure": 0, "success": 1, "retry": 2, "delete-recreate": 4}
_ETH = re.compile(r"ETH\d+_\w+\Z")
_STAYS = ("present", "recovered")
_SIZE_STATES = ("POWEROFF", "UNDEPLOYED", "PENDING", "HOLD", "RUNNING")
_CONTEXT_STATES = ("POWEROFF", "UNDEPLOYED", "PENDING", "HOLD", "RUNNING")


class VmChanges:
    """Plans the writes for existing VMs, and those that follow the creation of new ones."""

    def __init__(
        self, connection: Connection, params: Mapping[str, Any], ops: Operations, attributes: Template
    ) -> None:
        self.connection = connection
        self.params = params
        self.ops = ops
        self.attributes = attributes
        self.labels: list[str] | None = params["labels"]
        self.context = _vector("CONTEXT", params["context"])
        self.configuration = _sections(params["updateconf"])
        self.devices = {kind: wanted_devices(kind, params[kind.option]) for kind in KINDS}

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
        for states, planner in (
            (_CONTEXT_STATES, self._configuration),
            (_SIZE_STATES, self._size),
            *((kind.states, self._devices(kind, body)) for kind in KINDS),
        ):
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

    # -- context and other configuration ---------------------------------------------------------------------------

    def _configuration(self, plan: Steps, before: State, after: State) -> None:
        vm_id = before["id"]
        current = before["context"]
        # A value such as $USER[SSH_PUBLIC_KEY] is stored expanded, so only its presence can be compared.
        changed: dict[str, Any] = {}
        context = {
            key: value
            for key, value in self.context.items()
            if current.get(key) != value and not ("$" in value and key in current)
        }
        if context:
            after["context"] = {**current, **context}
            changed["CONTEXT"] = context
        for name, section in self.configuration.items():
            known = before["updateconf"].get(name, {})
            news = {key: value for key, value in section.items() if known.get(key) != value}
            if news:
                after["updateconf"] = {**after["updateconf"], name: {**known, **news}}
                changed[name] = news
        removed = [key for key in self._removed() if key in current]
        if removed:
            # Only replacing takes something away, so everything else is sent again.
            changed.pop("CONTEXT", None)
            after["context"] = {key: value for key, value in after["context"].items() if key not in removed}
            # What oned makes itself it makes anew from NETWORK=YES and the NICs.
            kept = {key: value for key, value in after["context"].items() if not _ETH.match(key)}
            plan.add(
                f"update context of VM {after['name']} (without {', '.join(removed)})",
                lambda: self._updateconf(vm_id, Template({"CONTEXT": kept}), 0),
            )
        if changed:
            words = ", ".join("context" if name == "CONTEXT" else name for name in changed)
            plan.add(
                f"update {words} of VM {after['name']}",
                # Appending keeps NETWORK, TOKEN and the ETH variables; replacing would drop them.
                lambda: self._updateconf(vm_id, Template(changed), 1),
            )

    def _removed(self) -> list[str]:
        keys = [str(key).upper() for key in self.params["remove_context"]]
        both = sorted(set(keys) & set(self.context))
        if both:
            raise OneUsageError(f"{both[0]} is both in context and in remove_context")
        return keys

    def _updateconf(self, vm_id: int, template: Template, how: int) -> None:
        self.ops.rest([vm_id], early=_CONTEXT_STATES)
        self.ops.call("one.vm.updateconf", vm_id, template, how)
        # A running VM is told at once, for which it leaves RUNNING for a moment.
        self.ops.began(vm_id)

    # -- size ------------------------------------------------------------------------------------------------------

    def _size(self, plan: Steps, before: State, after: State) -> None:
        changed, wanted = Template(), {}
        for field in ("cpu", "vcpu", "memory"):
            value = self.params[field]
            if value is not None and value != before[field]:
                after[field] = wanted[field] = value
                changed.update(normalise({field: value}))
        if changed:
            plan.add(f"resize VM {after['name']}", lambda: self._resize(before, changed, wanted))

    def _resize(self, before: State, changed: Template, wanted: Mapping[str, Any]) -> None:
        def check(vm: State, body: Mapping[str, Any]) -> str | None:
            if all(vm[field] == value for field, value in wanted.items()):
                return None
            return f"VM {vm['name']} (id {vm['id']}) could not be resized: {_reason(before, vm)}"

        vm_id = before["id"]
        self.ops.rest([vm_id], early=_SIZE_STATES)
        try:
            self.ops.call("one.vm.resize", vm_id, changed, self.params["enforce_capacity"])
        except OneActionError as error:
            if "Hotplug resize" in error.text or "Cannot resize a" in error.text:
                error.hint = "power it off first, for example with state=poweroff in the same task"
            raise
        self.ops.began(vm_id, check)

    # -- devices ---------------------------------------------------------------------------------------------------

    def _devices(self, kind: Kind, body: Mapping[str, Any]) -> Callable[[Steps, State, State], None]:
        def planner(plan: Steps, before: State, after: State) -> None:
            wanted = self.devices[kind]
            if wanted is None or (kind is DISK and self.params["persistent"]):
                # The disks of a private copy are images of other names.
                return
            changes = compare_devices(kind, wanted, devices_of(kind, body), self.params["detach"])
            if changes:
                after[kind.option] = expected(kind, changes)
                self._device_steps(plan, kind, before, after["name"], changes)

        return planner

    def _device_steps(self, plan: Steps, kind: Kind, before: State, name: str, changes: Changes) -> None:
        vm_id = before["id"]
        for device, size in changes.grow:
            number = int(device[kind.number])

            def grown(vm: State, body: Mapping[str, Any], number: int = number, size: int = size) -> str | None:
                right = any(disk["id"] == number and disk["size"] >= size for disk in vm["disks"])
                return None if right else f"disk {number} of VM {name} could not be resized: {_reason(before, vm)}"

            plan.add(
                f"resize {words_for(kind, device)} of VM {name} to {size} MB",
                self._device_call(vm_id, "one.vm.diskresize", (number, str(size)), grown),
            )
        for count, vector in enumerate(changes.attach, start=1):

            def attached(
                vm: State, body: Mapping[str, Any], count: int = count, what: str = words_for(kind, vector)
            ) -> str | None:
                if satisfied([*changes.met, *changes.attach[:count]], devices_of(kind, body)):
                    return None
                return f"{what} could not be attached to VM {name} (id {vm['id']}): {_reason(before, vm)}"

            plan.add(
                f"attach {words_for(kind, vector)} to VM {name}",
                self._device_call(vm_id, kind.attach, (Template({kind.section: dict(vector)}),), attached),
            )
        for device in changes.detach:
            number = int(device[kind.number])

            def detached(
                vm: State, body: Mapping[str, Any], number: int = number, what: str = words_for(kind, device)
            ) -> str | None:
                if all(int(other[kind.number]) != number for other in devices_of(kind, body)):
                    return None
                return f"{what} could not be detached from VM {name} (id {vm['id']}): {_reason(before, vm)}"

            plan.add(
                f"detach {words_for(kind, device)} from VM {name}",
                self._device_call(vm_id, kind.detach, (number,), detached),
            )

    def _device_call(self, vm_id: int, method: str, arguments: tuple[Any, ...], check: Any) -> Callable[[], None]:
        def do() -> None:
            # Operations on devices exclude each other: the one before must have ended.
            self.ops.rest([vm_id])
            try:
                self.ops.call(method, vm_id, *arguments)
            except OneActionError as error:
                if "wrong state" in error.text:
                    error.hint = "give state=poweroff, which allows every such change, or state=running"
                raise
            self.ops.began(vm_id, check)

        return do

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
            # oned acts on a locked VM by itself, but no action may be under way when it is locked.
            self.connection.call(f"one.vm.{what}", identify(), *level, *((False,) if what == "lock" else ()))

        return call


def _later(states: tuple[str, ...], now: str, goal: str) -> bool:
    """Tell whether a change is better made in the state that a VM goes to than in the one it is in."""
    if goal not in states:
        return False
    return now not in states or states.index(goal) < states.index(now)


def _reason(before: State, vm: State) -> str:
    # An older ERROR stays in a VM until the next one.
    return vm["error"] if vm["error"] and vm["error"] != before["error"] else "the cloud gave no reason"


def _other(wanted: str | None, current: Mapping[str, Any]) -> str | None:
    return None if wanted in (None, current["name"], str(current["id"])) else wanted


def _vector(name: str, given: Any) -> Vector:
    found = normalise({name: given}).get(name) if given else None
    return found if isinstance(found, dict) else {}


def _sections(given: Mapping[str, Any] | None) -> dict[str, Vector]:
    sections: dict[str, Vector] = {}
    for name, section in normalise(given).items():
        if name == "CONTEXT":
            raise OneUsageError("CONTEXT cannot be given in updateconf; use the option context")
        if name not in CONFIGURATION or not isinstance(section, dict):
            raise OneUsageError(f"updateconf knows the sections {', '.join(CONFIGURATION)}, each a dictionary")
        sections[name] = section
    return sections
