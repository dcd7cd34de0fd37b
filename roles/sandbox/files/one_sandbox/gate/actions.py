# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a VM may do with the VMs of its service."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..flow.ruby import JsonError, load_json, to_int
from .errors import GateError

Call = Callable[..., Any]
"""`call(method, *args)`: oned, as the owner of the VM."""

_PLAIN = ("hold", "resume", "release", "stop", "suspend", "resched", "unresched")
_MAYBE_HARD = ("poweroff", "undeploy", "terminate")
_RESTRICTED = ("reboot",)


def perform(call: Call, vm_id: int, text: str) -> None:
    """`text`: {"action": {"perform", "params"}}. Raises GateError, OnedError."""
    try:
        body = load_json(text)
    except JsonError as error:
        raise GateError(400, str(error)) from None
    if not isinstance(body, dict) or not isinstance(body.get("action"), dict):
        raise GateError(400, "Error parsing JSON: Wrong resource type")
    action, params = str(body["action"].get("perform") or ""), body["action"].get("params")
    if action.lower() in _RESTRICTED:
        raise GateError(403, f"Action ({action}) is not allowed on this resource")
    if action in _PLAIN:
        call("one.vm.action", action, vm_id)
    elif action in _MAYBE_HARD:
        call("one.vm.action", f"{action}-hard" if params else action, vm_id)
    elif action == "shutdown":
        call("one.vm.action", "terminate-hard" if params else "terminate", vm_id)
    elif action == "delete":
        call("one.vm.action", "terminate-hard", vm_id)
    elif action == "rename":
        call("one.vm.rename", vm_id, str(params))
    elif action == "recover":
        call("one.vm.recover", vm_id, to_int(params))
    elif action == "attachnic":
        call("one.vm.attachnic", vm_id, str(params))
    elif action == "detachnic":
        call("one.vm.detachnic", vm_id, to_int(params))
    else:
        raise GateError(500)
