# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The virtual machines of services: many in one call, and what is wrong with those that do not run."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..api.connection import Connection
from ..data.states import VM_FAILURES, vm_failure, vm_state_name
from ..data.xml import common_fields, number, pool_to_dicts, template_of, text, vectors

#: States that a VM does not leave by itself and in which it does no work.
PARKED = frozenset({"STOPPED", "SUSPENDED", "POWEROFF", "UNDEPLOYED", "DONE"})


def vm_view(body: Mapping[str, Any]) -> dict[str, Any]:
    """A VM for people.

    `{id, name, owner, group, permissions, state, nics: [{network, network_id, ip, ip6, mac}], ip, host, attributes}`;
    `state` is one word, the life-cycle state while the VM is active, `attributes` its USER_TEMPLATE.
    """
    found = dict(body)
    template = template_of(found)
    nics = [
        {
            "network": nic.get("NETWORK", ""),
            "network_id": int(nic["NETWORK_ID"]) if str(nic.get("NETWORK_ID", "")).isdigit() else None,
            "ip": nic.get("IP"),
            "ip6": nic.get("IP6_GLOBAL") or nic.get("IP6_ULA") or nic.get("IP6"),
            "mac": nic.get("MAC"),
        }
        for nic in vectors(template, "NIC")
    ]
    history = vectors(found.get("HISTORY_RECORDS"), "HISTORY")
    return {
        **common_fields(found),
        "state": vm_state_name(text(found, "STATE"), text(found, "LCM_STATE")),
        "nics": nics,
        "ip": next((nic["ip"] for nic in nics if nic["ip"]), None),
        "host": history[-1].get("HOSTNAME") if history else None,
        "attributes": dict(template_of(found, "USER_TEMPLATE")),
    }


#: VMs per call: the ids travel in one string, and the answer is built in memory on both sides.
PAGE = 500


def read_vms(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """The VMs with these ids, in one call for every 500; ids that no longer exist are left out of the answer."""
    return [vm_view(body) for body in read_vm_bodies(connection, ids)]


def read_vm_bodies(connection: Connection, ids: Sequence[int]) -> list[dict[str, Any]]:
    """Like `read_vms`, but what oned answered, as dictionaries of its XML."""
    bodies: list[dict[str, Any]] = []
    for start in range(0, len(ids), PAGE):
        part = ",".join(str(item) for item in ids[start:start + PAGE])
        bodies += pool_to_dicts(connection.call("one.vmpool.infoset", part, True), "VM")
    return sorted(bodies, key=lambda body: number(body, "ID"))


def failures(vms: Iterable[Mapping[str, Any]]) -> str:
    """What went wrong with the VMs in a failure state, in OpenNebula's words; "" where none is."""
    told = []
    for vm in vms:
        reason = vm_failure(str(vm["state"]), vm["attributes"])
        if reason:
            told.append(f"VM {vm['id']} ({vm['name']}): {reason}")
    return "; ".join(told)


def waiting_words(vms: Iterable[Mapping[str, Any]]) -> str:
    """Why VMs are not running yet: their states, and what the scheduler says of those that wait for a host."""
    told = []
    for vm in vms:
        state = str(vm["state"])
        if state == "RUNNING" or state in VM_FAILURES:
            continue
        message = str(vm["attributes"].get("SCHED_MESSAGE") or "") if state == "PENDING" else ""
        told.append(f"VM {vm['id']} is {state}" + (f" (no capacity: {message})" if message else ""))
    return "; ".join(told)
