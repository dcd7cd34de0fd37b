# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""one.vm.schedadd and scheddelete: VM actions that happen at a given time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from . import errors
from . import template as tpl
from .errors import OnedError
from .methods import INT, STR, method
from .records import MANAGE, Record, Session, User
from .vm_actions import ACTIONS

if TYPE_CHECKING:
    from .core import Oned

SECTION = "SCHED_ACTION"


@method("vm.schedadd", INT, STR)
def add(oned: Oned, user: User, oid: int, text: str) -> int:
    """Text: SCHED_ACTION=[ACTION=…, TIME=Unix seconds or +seconds from now]. Returns the id of the action in the VM."""
    vm = oned.access(user, "vm", oid, MANAGE)
    try:
        wanted = tpl.sections(tpl.parse(text), SECTION)
    except tpl.TemplateError as error:
        raise OnedError(errors.INTERNAL, str(error)) from None
    if not wanted or wanted[0].get("ACTION") not in ACTIONS:
        raise OnedError(errors.ACTION, "Missing or malformed ACTION in SCHED_ACTION")
    due = _due(wanted[0].get("TIME", ""))
    present = tpl.sections(vm.template, SECTION)
    number = max((int(item["ID"]) for item in present), default=-1) + 1
    entry = {**wanted[0], "ID": str(number), "TIME": str(due), "DONE": "-1"}
    tpl.set_sections(vm.template, SECTION, [*present, entry])
    oned.touch(vm)
    _arm(oned, vm.oid, entry)
    return number


@method("vm.scheddelete", INT, INT)
def delete(oned: Oned, user: User, oid: int, number: int) -> int:
    """Forget a scheduled action."""
    vm = oned.access(user, "vm", oid, MANAGE)
    present = tpl.sections(vm.template, SECTION)
    if str(number) not in [item["ID"] for item in present]:
        raise OnedError(errors.NO_EXISTS, f"Error getting sched action [{number}].", number)
    tpl.set_sections(vm.template, SECTION, [item for item in present if item["ID"] != str(number)])
    oned.touch(vm)
    return oid


def start(oned: Oned) -> None:
    """Take up what an earlier process did not get to."""
    for vm in oned.pools["vm"].values():
        for entry in tpl.sections(vm.template, SECTION):
            if entry.get("DONE") == "-1":
                _arm(oned, vm.oid, entry)


def _due(text: str) -> int:
    digits = text.lstrip("+")
    if not digits.isdecimal():
        raise OnedError(errors.ACTION, "Missing or malformed TIME in SCHED_ACTION")
    return int(digits) + (int(time.time()) if text.startswith("+") else 0)


def _arm(oned: Oned, vm_id: int, entry: dict[str, str]) -> None:
    oned.worker.after(max(0.0, int(entry["TIME"]) - time.time()), lambda: _perform(oned, vm_id, entry["ID"]))


def _perform(oned: Oned, vm_id: int, number: str) -> None:
    with oned.transaction():
        vm = oned.find("vm", vm_id)
        planned = tpl.sections(vm.template, SECTION) if vm else []
        entry = next((item for item in planned if item["ID"] == number), None)
        if vm is None or entry is None or entry.get("DONE") != "-1":
            return
        entry["DONE"] = str(int(time.time()))
        failure = _try(oned, vm, entry["ACTION"])
        if failure:
            entry["MESSAGE"] = failure
        oned.touch(vm)


def _try(oned: Oned, vm: Record, action: str) -> str:
    """Why the action failed, "" when it did not."""
    try:
        oned.call(Session(oned.user(vm.uid)), "one.vm.action", action, vm.oid)
    except OnedError as error:
        return error.message
    return ""
