# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watchdog: what happens to the VMs of services that run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from .service import Service
from .states import LCM_UNKNOWN, VM_POWEROFF
from .vms import VmState, read_vms, state_of

Event = tuple[str, str, int]
"""What happened ("error", "done", "running"), role name, VM id."""


@dataclass
class _Watched:
    roles: dict[int, str]
    seen: dict[int, VmState] = field(default_factory=dict)


class Watchdog:
    """Notices changes, not states: one event per change, as the server gets them. The caller holds the lock."""

    def __init__(self) -> None:
        self._services: dict[int, _Watched] = {}

    def add(self, service: Service) -> None:
        """Watch from now on; the present state of every VM counts as one event."""
        nodes = {vm_id: role.name for role in service.roles.values() for vm_id in role.node_ids}
        watched = self._services[service.id] = _Watched(nodes)
        if service.state == "RUNNING":
            # That a VM runs is no news now, and later it would undo the warning that another one has caused since.
            found = read_vms(service.oned, nodes)
            states = {vm_id: state_of(found.get(vm_id)) for vm_id in nodes}
            watched.seen.update({vm_id: state for vm_id, state in states.items() if state.running})

    def remove(self, service_id: int) -> None:
        self._services.pop(service_id, None)

    def drop_vm(self, service_id: int, vm_id: int) -> None:
        watched = self._services.get(service_id)
        if watched:
            watched.roles.pop(vm_id, None)

    def vm_ids(self) -> Iterable[int]:
        return {vm_id for watched in self._services.values() for vm_id in watched.roles}

    def look(self, states: Mapping[int, VmState], react: Callable[[int, Event], None]) -> None:
        """Call `react(service id, event)` for every change."""
        for service_id, watched in list(self._services.items()):
            for vm_id, role in list(watched.roles.items()):
                state = states.get(vm_id)
                # None: watched since this look began.
                if state is None or watched.seen.get(vm_id) == state:
                    continue
                watched.seen[vm_id] = state
                what = _event(state)
                if what:
                    react(service_id, (what, role, vm_id))


def _event(state: VmState) -> str | None:
    if state.state == VM_POWEROFF or state.failed or state.lcm_state == LCM_UNKNOWN:
        return "error"
    if state.done:
        return "done"
    return "running" if state.running else None
