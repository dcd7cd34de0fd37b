# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What services wait for, and when a wait has ended."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from .states import VM_HOLD, VM_PARKED
from .vms import VmState

Key = tuple[int, "str | None"]
"""Service id and role name; None for a wait of the whole service."""

UP = frozenset({"deploy", "scale_up", "add", "release"})
DOWN = frozenset({"undeploy", "scale_down", "remove"})


@dataclass
class Wait:
    """kind: UP or DOWN kinds, "hold", "cooldown", "nets", "nets_gone". nodes: VM ids still waited for.

    report: UP waits end only with READY=YES. until: monotonic end of a cooldown. networks: ids for "nets".
    """

    kind: str
    nodes: set[int] = field(default_factory=set)
    report: bool = False
    until: float = 0.0
    networks: list[int] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    failed: set[int] = field(default_factory=set)

    def look(self, states: Mapping[int, VmState]) -> bool | None:
        """True: all is well; False: a VM failed; None: go on waiting."""
        if self.kind == "cooldown":
            return True if time.monotonic() >= self.until else None
        for vm_id in sorted(self.nodes):
            state = states.get(vm_id)
            if state is None:
                continue  # waited for since this look began
            if self._reached(state):
                self.nodes.discard(vm_id)
                self.ended.add(vm_id)
            elif state.failed and self.kind != "hold":
                self.nodes.discard(vm_id)
                self.failed.add(vm_id)
        if self.failed:
            return False
        return None if self.nodes else True

    def _reached(self, state: VmState) -> bool:
        if state.done:
            return True
        if self.kind in DOWN:
            return False
        if self.kind == "hold":
            return state.state == VM_HOLD or state.state in VM_PARKED
        # Somebody parked the VM meanwhile: the role is up, and the watchdog turns it into a warning.
        return state.state in VM_PARKED or (state.running and (state.ready or not self.report))


class Waits:
    """All waits that go on, one per role. The caller holds the lock."""

    def __init__(self) -> None:
        self._waits: dict[Key, Wait] = {}

    def __bool__(self) -> bool:
        return bool(self._waits)

    def add(self, service_id: int, role: str | None, wait: Wait) -> None:
        self._waits[service_id, role] = wait

    def cancel(self, service_id: int) -> None:
        for key in [key for key in self._waits if key[0] == service_id]:
            del self._waits[key]

    def pop(self, key: Key, wait: Wait) -> None:
        if self._waits.get(key) is wait:
            del self._waits[key]

    def items(self) -> list[tuple[Key, Wait]]:
        return list(self._waits.items())

    def vm_ids(self) -> Iterable[int]:
        return {vm_id for wait in self._waits.values() for vm_id in wait.nodes}
