# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The scheduler: PENDING VMs to hosts with room, the emptiest host first."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import capacity, history, pci
from . import states as st
from . import template as tpl
from .records import MANAGE, Record, allowed
from .requirements import RequirementError, matches

if TYPE_CHECKING:
    from .core import Oned

# VMs that found no place are tried again this often, and whenever room may have been freed.
RETRY = 2.0
_ENABLED = (1, 2)


def start(oned: Oned) -> None:
    """Look at what an earlier process left PENDING."""
    if oned.pending:
        poke(oned)


def poke(oned: Oned) -> None:
    """Something changed: schedule soon."""
    if oned.pending and not oned.scheduling:
        oned.scheduling = True
        oned.worker.after(oned.options.schedule_interval, lambda: run(oned))


def run(oned: Oned) -> None:
    """One pass over all PENDING VMs."""
    with oned.transaction():
        oned.scheduling = False
        for vm_id in sorted(oned.pending):
            vm = oned.find("vm", vm_id)
            if vm is None or vm.data["state"] != st.PENDING:
                oned.pending.discard(vm_id)
                continue
            _place(oned, vm)
        if oned.pending and not oned.retrying:
            oned.retrying = True
            oned.worker.after(RETRY, lambda: _retry(oned))


def _retry(oned: Oned) -> None:
    with oned.lock:
        oned.retrying = False
    run(oned)


def misfit(oned: Oned, vm: Record, host: Record) -> str:
    """Why the VM finds no room, or not the PCI devices that it asks for, on the host; empty where it does."""
    cpu, memory = capacity.vm_needs(vm)
    used_cpu, used_memory = oned.usage.used(host.oid)
    if used_cpu + cpu > host.data["cpu"]:
        return f"Not enough CPU: {cpu}/{host.data['cpu'] - used_cpu}"
    if used_memory + memory > host.data["memory"]:
        return f"Not enough memory: {memory}/{host.data['memory'] - used_memory}"
    return "" if pci.fits(host, vm) else "Unavailable PCI device."


def _has_room(oned: Oned, vm: Record, host: Record) -> bool:
    cpu, memory = capacity.vm_needs(vm)
    used_cpu, used_memory = oned.usage.used(host.oid)
    return bool(used_cpu + cpu <= host.data["cpu"] and used_memory + memory <= host.data["memory"])


def _place(oned: Oned, vm: Record) -> None:
    from . import lifecycle

    host, reason = _choose(oned, vm)
    if host is not None:
        lifecycle.deploy(oned, vm, host)
        return
    message = reason if reason.startswith("[") else f"Cannot dispatch VM: {reason}"
    # Written once, not on every pass: the time stamp would make each pass a change.
    if not tpl.scalar(vm.data["user_template"], "SCHED_MESSAGE").endswith(message):
        lifecycle.set_error(oned, vm, message, "SCHED_MESSAGE")


def _choose(oned: Oned, vm: Record) -> tuple[Record | None, str]:
    hosts = [host for host in oned.pools["host"].values() if host.data["state"] in _ENABLED]
    if not hosts:
        return None, "No hosts enabled to run VMs"
    owner = oned.user(vm.uid) if oned.find("user", vm.uid) else None
    hosts = [host for host in hosts if owner is None or allowed(owner, host, MANAGE)]
    if not hosts:
        return None, "User is not authorized to use any host"
    requirements = tpl.scalar(vm.data["user_template"], "SCHED_REQUIREMENTS")
    try:
        hosts = [host for host in hosts if matches(oned, host, requirements)]
    except RequirementError as error:
        return None, f"Error evaluating SCHED_REQUIREMENTS: {error}"
    # What is stopped or undeployed lives on with the driver of its last host and cannot move to another one.
    entry = history.last(vm)
    if entry and vm.data["deploy_id"]:
        hosts = [host for host in hosts if host.data["vm_mad"] == entry["vm_mad"]]
    if not hosts:
        return None, "No host meets SCHED_REQUIREMENTS"
    hosts = [host for host in hosts if _has_room(oned, vm, host)]
    if not hosts:
        return None, "No host with enough capacity to deploy the VM"
    roomy = ",".join(str(host.oid) for host in sorted(hosts, key=lambda host: host.oid))
    hosts = [host for host in hosts if pci.fits(host, vm)]
    if not hosts:
        return None, f"[HOST] Unavailable PCI devices on hosts: {roomy}"
    return min(hosts, key=lambda host: (oned.usage.count(host.oid), host.oid)), ""
