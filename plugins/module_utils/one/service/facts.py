# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a play gets of one service, and the state in which the resource and its parts hand a service around."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from .hosts import service_hosts


@dataclass
class ServiceState:
    """One service as last seen: `service` is a service view (None once it is gone), `vms` VM views.

    power: for the roles whose state the task sets, what their VMs are ("running"; "poweroff, running" for a mixture).
    """

    service: dict[str, Any] | None
    vms: list[dict[str, Any]] = field(default_factory=list)
    power: dict[str, str] = field(default_factory=dict)


def service_facts(state: ServiceState, network: str | None = None) -> dict[str, Any]:
    """`service` with its `vms` and roles, and `hosts` for add_host."""
    service = state.service or {}
    role_of = {number: role for role, details in service["roles"].items() for number in details["vms"]}
    vms = [{**vm, "role": role_of.get(vm["id"])} for vm in state.vms]
    hosts = service_hosts(service, vms, network=network)
    return {"service": {**service, "vms": vms}, "hosts": hosts}
