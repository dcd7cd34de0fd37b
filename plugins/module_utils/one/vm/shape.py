# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM is made of: context and other configuration, size, devices; the writes that change them."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from ..core.objects import State
from ..core.pools import read_pool
from ..core.runner import Plan
from ..data.template import Template, Vector, normalise
from ..data.xml import text, to_dict
from ..errors import OneActionError, OneUsageError
from .devices import (
    DISK,
    KINDS,
    NIC,
    Changes,
    Kind,
    compare_devices,
    devices_of,
    expected,
    satisfied,
    wanted_devices,
    words_for,
)
from .ops import Check, Operations
from .vm import BACKUPS, CONFIGURATION

Steps = Plan["list[State]"]
# Compares a VM as it is (before) with what is wanted, adds the writes to the plan and what they lead to to `after`.
Planner = Callable[[Steps, State, State], None]

_ENCRYPTED = frozenset({"PASSWORD"})
_ETH = re.compile(r"ETH\d+_\w+\Z")
# States in which oned takes a change of context or size, the better ones first: not all hypervisors resize what runs.
_SIZE_STATES = ("POWEROFF", "UNDEPLOYED", "PENDING", "HOLD", "RUNNING")
_CONTEXT_STATES = _SIZE_STATES


def shape_argument_spec() -> dict[str, dict[str, Any]]:
    """The options of what a VM consists of."""
    return {
        "attributes": {"type": "dict"},
        "remove_attributes": {"type": "list", "elements": "str", "default": []},
        "context": {"type": "dict"},
        "remove_context": {"type": "list", "elements": "str", "default": []},
        "updateconf": {"type": "dict"},
        "nics": {"type": "list", "elements": "dict"},
        "disks": {"type": "list", "elements": "dict"},
        "pcis": {"type": "list", "elements": "dict"},
        "detach": {"type": "bool", "default": False},
        "cpu": {"type": "float"},
        "vcpu": {"type": "int"},
        "memory": {"type": "int"},
        "enforce_capacity": {"type": "bool", "default": True},
    }


class VmShape:
    """Plans the changes of one VM after the other."""

    def __init__(self, params: Mapping[str, Any], ops: Operations, check_mode: bool = False) -> None:
        self.params = params
        self.ops = ops
        self.check_mode = check_mode
        # Names of the virtual networks, read when one is asked for.
        self._networks: set[str] | None = None
        for field in ("cpu", "vcpu", "memory"):
            value = params[field]
            if value is not None and (value <= 0 or not math.isfinite(value)):
                raise OneUsageError(f"{field} must be greater than 0, not {value}")
        self.context = _vector("CONTEXT", params["context"])
        self.configuration = _sections(params["updateconf"])
        self.devices = {kind: wanted_devices(kind, params[kind.option]) for kind in KINDS}

    def planners(self, body: Mapping[str, Any]) -> list[tuple[tuple[str, ...], Planner]]:
        """Return what can be changed of the VM with that body, each with the states that allow it."""
        return [
            (_CONTEXT_STATES, self._configuration(body)),
            (_SIZE_STATES, self._size),
            *((kind.states, self._devices(kind, body)) for kind in KINDS),
        ]

    # -- context and other configuration ---------------------------------------------------------------------------

    def _configuration(self, body: Mapping[str, Any]) -> Planner:
        def planner(plan: Steps, before: State, after: State) -> None:
            vm_id = before["id"]
            current = self._readable(vm_id, before["context"])
            # A value such as $USER[SSH_PUBLIC_KEY] is stored expanded, so only its presence can be compared.
            changed: dict[str, Any] = {}
            context = {
                key: value
                for key, value in self.context.items()
                if current.get(key) != value and not ("$" in value and key in current)
            }
            if context:
                after["context"] = {**before["context"], **context}
                changed["CONTEXT"] = context
            for name, section in self.configuration.items():
                known = before["updateconf"].get(name, {})
                news = {key: value for key, value in section.items() if known.get(key) != value}
                if news:
                    after["updateconf"] = {**after["updateconf"], name: {**known, **news}}
                    changed[name] = news
            removed = [key for key in self._removed() if key in current]
            if removed:
                # Only replacing takes something away, and it drops every section that is not sent again.
                changed.pop("CONTEXT", None)
                after["context"] = {key: value for key, value in after["context"].items() if key not in removed}
                plan.add(
                    f"update context of VM {after['name']} (without {', '.join(removed)})",
                    lambda: self._updateconf(vm_id, _complete(body, after["context"]), 0),
                )
            if changed:
                words = ", ".join("context" if name == "CONTEXT" else name for name in changed)
                plan.add(
                    f"update {words} of VM {after['name']}",
                    # Appending keeps NETWORK, TOKEN and the ETH variables; replacing would drop them.
                    lambda: self._updateconf(vm_id, Template(changed), 1, _keeps(changed)),
                )

        return planner

    def _readable(self, vm_id: int, current: Mapping[str, str]) -> Mapping[str, str]:
        """Return the context with what the cloud stores encrypted in clear, as far as it is needed to compare.

        oned encrypts CONTEXT/PASSWORD (VM_ENCRYPTED_ATTR) and gives it back in clear to administrators only.
        """
        if all(key not in current or current[key] == self.context[key] for key in _ENCRYPTED & set(self.context)):
            return current
        body = to_dict(self.ops.connection.call("one.vm.info", vm_id, True))
        clear = {key: text(body, "TEMPLATE", "CONTEXT", key) for key in _ENCRYPTED}
        return {key: clear.get(key, value) for key, value in current.items()}

    def _removed(self) -> list[str]:
        keys = [str(key).upper() for key in self.params["remove_context"]]
        both = sorted(set(keys) & set(self.context))
        if both:
            raise OneUsageError(f"{both[0]} is both in context and in remove_context")
        return keys

    def _updateconf(self, vm_id: int, template: Template, how: int, check: Check | None = None) -> None:
        self.ops.rest([vm_id], early=_CONTEXT_STATES)
        self.ops.call("one.vm.updateconf", vm_id, template, how)
        # A running VM is told at once, for which it leaves RUNNING for a moment.
        self.ops.began(vm_id, check)

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

    def _devices(self, kind: Kind, body: Mapping[str, Any]) -> Planner:
        def planner(plan: Steps, before: State, after: State) -> None:
            wanted = self.devices[kind]
            if wanted is None or (kind is DISK and self.params["persistent"]):
                # The disks of a private copy are images of other names.
                return
            changes = compare_devices(kind, wanted, devices_of(kind, body), self.params["detach"])
            if kind is NIC and self.check_mode:
                self._check_networks(changes)
            if changes:
                after[kind.option] = expected(kind, changes)
                self._device_steps(plan, kind, before, after["name"], changes)

        return planner

    def _check_networks(self, changes: Changes) -> None:
        """Refuse a NIC on a network that no one has. The real run leaves that to the cloud, which costs no look-up."""
        names = [vector["NETWORK"] for vector in changes.attach if "NETWORK" in vector]
        if names and self._networks is None:
            pool = read_pool(self.ops.connection, "one.vnpool.info", "VNET")
            self._networks = {text(body, "NAME") for body in pool}
        for name in names:
            if name not in (self._networks or ()):
                raise OneUsageError(
                    f"virtual network {name} does not exist, or this user may not see it", hint="check NETWORK in nics"
                )

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


def _complete(body: Mapping[str, Any], context: Mapping[str, str]) -> Template:
    """Return all that a replacing updateconf must be told so that nothing but a context variable goes.

    Sections are taken as the VM has them, one or several; BACKUP_CONFIG stays of itself, and so do the ETH variables,
    which oned makes anew from NETWORK=YES and the NICs.
    """
    found = body.get("TEMPLATE")
    template = found if isinstance(found, dict) else {}
    kept = {name: template[name] for name in CONFIGURATION if name != BACKUPS and template.get(name)}
    return Template({**kept, "CONTEXT": {key: value for key, value in context.items() if not _ETH.match(key)}})


def _keeps(changed: Mapping[str, Any]) -> Check:
    """Return the look for what OpenNebula left out: it says yes to names that it does not know."""

    def check(vm: State, body: Mapping[str, Any]) -> str | None:
        left = [
            f"{name}.{key}"
            for name, section in changed.items()
            if name != "CONTEXT"
            for key, value in section.items()
            if value and key not in vm["updateconf"].get(name, {})
        ]
        if not left:
            return None
        return f"OpenNebula did not take {', '.join(left)} for VM {vm['name']} (id {vm['id']}); leave it out"

    return check


def _reason(before: State, vm: State) -> str:
    # An older ERROR stays in a VM until the next one.
    return vm["error"] if vm["error"] and vm["error"] != before["error"] else "the cloud gave no reason"


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
