# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual machines as plain data: representation, reading many in one call, and what leads to which state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ..api.connection import Connection
from ..core.lock import NONE, lock_of
from ..core.objects import VM, State, base_state
from ..core.pools import ALL_VISIBLE, read_pool
from ..data.states import VM_FAILURES, vm_destination, vm_state_name
from ..data.template import Template
from ..data.xml import labels_of, number, pool_to_dicts, text, vectors
from ..errors import OneActionError

NOT_DONE = -1

# Wanted state of the module -> name of the stable state of the VM.
GOALS = {
    "running": "RUNNING",
    "poweroff": "POWEROFF",
    "suspended": "SUSPENDED",
    "stopped": "STOPPED",
    "undeployed": "UNDEPLOYED",
    "hold": "HOLD",
    "rebooted": "RUNNING",
    "absent": "DONE",
}

# Sections that one.vm.updateconf takes besides CONTEXT.
BACKUPS = "BACKUP_CONFIG"
CONFIGURATION = ("OS", "FEATURES", "INPUT", "GRAPHICS", "VIDEO", "RAW", "CPU_MODEL", BACKUPS)

# Wanted state -> state that the VM is in or heading to -> action of one.vm.action that leads there.
_ACTIONS: dict[str, dict[str, str]] = {
    "running": {
        "POWEROFF": "resume",
        "SUSPENDED": "resume",
        "STOPPED": "resume",
        "UNDEPLOYED": "resume",
        "UNKNOWN": "resume",
        "HOLD": "release",
    },
    "poweroff": {"RUNNING": "poweroff", "UNKNOWN": "poweroff"},
    "suspended": {"RUNNING": "suspend"},
    "stopped": {"RUNNING": "stop", "SUSPENDED": "stop", "UNKNOWN": "stop"},
    "undeployed": {"RUNNING": "undeploy", "POWEROFF": "undeploy", "UNKNOWN": "undeploy"},
    "hold": {"PENDING": "hold"},
    "rebooted": {"RUNNING": "reboot", "UNKNOWN": "reboot"},
}
_WITH_HARD = frozenset({"poweroff", "undeploy", "reboot", "terminate"})


def represent(body: Mapping[str, Any]) -> State:
    """Return a VM as modules hand it to a play. state is one word: the LCM state while the VM is active."""
    state = base_state(body, VM)
    template = body.get("TEMPLATE")
    history = vectors(body.get("HISTORY_RECORDS"), "HISTORY")
    last = history[-1] if history else {}
    nics = [nic_state(nic) for nic in vectors(template, "NIC")]
    addresses = [nic["ip"] for nic in nics if nic["ip"]]
    context = template.get("CONTEXT") if isinstance(template, dict) else None
    state.update(
        {
            "state": state_of(body),
            "state_id": number(body, "STATE"),
            "lcm_state_id": number(body, "LCM_STATE"),
            "host": {"id": number(last, "HID"), "name": text(last, "HOSTNAME"), "cluster_id": number(last, "CID")},
            "ip": addresses[0] if addresses else "",
            "nics": nics,
            "cpu": _float(text(template, "CPU")),
            "vcpu": number(template, "VCPU", default=1),
            "memory": number(template, "MEMORY", default=0),
            "context": dict(context) if isinstance(context, dict) else {},
            "template_id": number(template, "TEMPLATE_ID"),
            "disks": [disk_state(disk) for disk in vectors(template, "DISK")],
            "pcis": [pci_state(pci) for pci in vectors(template, "PCI")],
            "updateconf": configuration_of(template, body.get("BACKUPS")),
            "lock": lock_of(body),
            "deploy_id": text(body, "DEPLOY_ID"),
            "created": number(body, "STIME"),
            "labels": labels_of(state["attributes"]),
            "error": str(state["attributes"].get("ERROR", "")),
        }
    )
    return state


def list_vms(connection: Connection, state: int = NOT_DONE) -> list[dict[str, Any]]:
    """Return the short bodies (id, name, state, owner, NICs; no custom attributes) of all visible VMs."""
    return read_pool(connection, VM.pool, VM.element, state, who=ALL_VISIBLE)


def read_bodies(connection: Connection, ids: Iterable[int]) -> list[dict[str, Any]]:
    """Return the full bodies of many VMs in ONE call, lowest id first; those that do not exist are left out."""
    listed = ",".join(str(number) for number in sorted(set(ids)))
    if not listed:
        return []
    return pool_to_dicts(connection.call("one.vmpool.infoset", listed, True), VM.element)


def read_vms(connection: Connection, ids: Iterable[int]) -> list[State]:
    """Return the full state of many VMs in ONE call, lowest id first; those that do not exist are left out."""
    return [represent(body) for body in read_bodies(connection, ids)]


def state_of(body: Mapping[str, Any]) -> str:
    """Return the state of a body, full or short, in one word."""
    return vm_state_name(text(body, "STATE"), text(body, "LCM_STATE"))


def configuration_of(template: Any, backups: Any = None) -> dict[str, dict[str, str]]:
    """Return the sections of a VM's (or VM template's) TEMPLATE that updateconf changes, CONTEXT excepted.

    backups: BACKUPS of a VM, where oned puts BACKUP_CONFIG.
    """
    sections = {name: template.get(name) for name in CONFIGURATION} if isinstance(template, dict) else {}
    if isinstance(backups, dict):
        sections[BACKUPS] = backups.get(BACKUPS)
    return {name: dict(section) for name, section in sections.items() if isinstance(section, dict) and section}


def action_for(vm: State, wanted: str, hard: bool) -> str | None:
    """Return the name of the action that brings a VM to the wanted state of the module, None where none is needed.

    Raises OneActionError where no action leads there from the VM's state.
    """
    if wanted == "present":
        return None
    heading = vm_destination(vm["state"])
    if wanted == "absent":
        stuck = hard and vm["state"] == "SHUTDOWN"
        name = None if heading == "DONE" and not stuck else "terminate"
    elif heading == GOALS[wanted] and wanted != "rebooted":
        name = None
    else:
        start = vm["state"] if wanted == "hold" else heading
        name = _ACTIONS[wanted].get(start)
        if name is None:
            reason = f" ({vm['error']})" if vm["error"] else ""
            raise OneActionError(
                f"VM {vm['name']} (id {vm['id']}) is {vm['state']}{reason} and cannot be brought to {wanted} from it",
                hint=_way_out(vm["state"], wanted),
            )
    return f"{name}-hard" if name in _WITH_HARD and hard else name


def _way_out(state: str, wanted: str) -> str:
    if state in VM_FAILURES:
        return "recover it with state=recovered, or remove it with state=absent"
    if vm_destination(state) == "DONE":
        return "wait until it is gone, then run this again"
    if wanted == "hold":
        return "only a VM that is new or PENDING can be held"
    return "bring it to running first" if wanted != "running" else "look at it on the cloud"


def describe(vms: Sequence[State]) -> str:
    """Return the states of VMs in words, with what the scheduler says about those that it cannot place."""
    words = []
    for vm in vms:
        text_ = f"{vm['name']} is {vm['state']}"
        message = vm["attributes"].get("SCHED_MESSAGE")
        if vm["state"] in ("PENDING", "HOLD") and isinstance(message, str) and message:
            text_ += f", scheduler: {message}"
        words.append(text_)
    return "; ".join(words)


def predicted(name: str, attributes: Template, owner: str) -> State:
    """Return what is known of a VM before it exists; None is what is not known."""
    unknown = ("id", "permissions", "cpu", "vcpu", "memory", "template_id", "created")
    return {
        **dict.fromkeys(unknown),
        "name": name,
        "owner": {"id": None, "name": owner},
        "group": {"id": None, "name": None},
        "attributes": attributes,
        "state": "PENDING",
        "state_id": 1,
        "lcm_state_id": 0,
        "host": {"id": -1, "name": "", "cluster_id": -1},
        "ip": "",
        "nics": [],
        "disks": [],
        "pcis": [],
        "context": {},
        "updateconf": {},
        "deploy_id": "",
        "labels": labels_of(attributes),
        "lock": NONE,
        "error": "",
    }


def nic_state(nic: Mapping[str, str]) -> dict[str, Any]:
    """Return a NIC as modules hand it to a play."""
    return {
        "id": number(nic, "NIC_ID"),
        "network": text(nic, "NETWORK"),
        "network_id": number(nic, "NETWORK_ID"),
        "ip": text(nic, "IP"),
        "ip6": text(nic, "IP6_GLOBAL") or text(nic, "IP6"),
        "mac": text(nic, "MAC"),
    }


def disk_state(disk: Mapping[str, str]) -> dict[str, Any]:
    """Return a disk as modules hand it to a play; size in MB."""
    return {
        "id": number(disk, "DISK_ID"),
        "image": text(disk, "IMAGE"),
        "image_id": number(disk, "IMAGE_ID"),
        "size": number(disk, "SIZE"),
    }


def pci_state(pci: Mapping[str, str]) -> dict[str, Any]:
    """Return a PCI device that is passed through, as modules hand it to a play."""
    return {
        "id": number(pci, "PCI_ID"),
        "address": text(pci, "ADDRESS") or text(pci, "SHORT_ADDRESS"),
        "vendor": text(pci, "VENDOR"),
        "device": text(pci, "DEVICE"),
        "class": text(pci, "CLASS"),
    }


def _float(value: str) -> float | None:
    try:
        return float(value)
    except ValueError:
        return None
