# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What OneFlow sees of VMs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from ..oned.core import Oned
from ..oned.errors import OnedError
from ..oned.template import xml_to_dict
from .states import LCM_RUNNING, VM_ACTIVE, VM_DONE, vm_failed

_STORED_INFO = ("ID", "UID", "GID", "UNAME", "GNAME", "NAME")


@dataclass(frozen=True)
class VmState:
    """state and lcm_state as numbers; ready: USER_TEMPLATE/READY is YES."""

    state: int
    lcm_state: int
    ready: bool = False

    @property
    def running(self) -> bool:
        return self.state == VM_ACTIVE and self.lcm_state == LCM_RUNNING

    @property
    def done(self) -> bool:
        return self.state == VM_DONE

    @property
    def failed(self) -> bool:
        return vm_failed(self.state, self.lcm_state)


GONE = VmState(VM_DONE, 0)


def read_vms(oned: Oned, ids: Iterable[int]) -> dict[int, dict[str, Any]]:
    """Whole VMs by id, in one call and with all rights; ids that do not exist are missing in the answer."""
    wanted = sorted(set(ids))
    if not wanted:
        return {}
    answer = oned.call(oned.session_for(0), "one.vmpool.infoset", ",".join(map(str, wanted)), True)
    pool = xml_to_dict(answer)["VM_POOL"]
    items = pool.get("VM", []) if isinstance(pool, dict) else []
    found = {int(vm["ID"]): vm for vm in (items if isinstance(items, list) else [items])}
    for vm_id in wanted:
        if vm_id not in found:
            try:
                found[vm_id] = read_vm(oned, vm_id)
            except OnedError:
                continue
    return found


def read_vm(oned: Oned, vm_id: int) -> dict[str, Any]:
    """One VM, also one that is DONE. Raises OnedError."""
    vm: dict[str, Any] = xml_to_dict(oned.call(oned.session_for(0), "one.vm.info", vm_id))["VM"]
    return vm


def state_of(vm: dict[str, Any] | None) -> VmState:
    """State of a VM as read; None (it does not exist) counts as DONE."""
    if vm is None:
        return GONE
    user_template = vm.get("USER_TEMPLATE")
    ready = user_template.get("READY") if isinstance(user_template, dict) else None
    return VmState(int(vm["STATE"]), int(vm["LCM_STATE"]), isinstance(ready, str) and ready.strip() == "YES")


def stored_info(vm: dict[str, Any]) -> dict[str, Any]:
    """The part of a VM that a role node keeps."""
    return {"VM": {key: vm[key] for key in _STORED_INFO}}
