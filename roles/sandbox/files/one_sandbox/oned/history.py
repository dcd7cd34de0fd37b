# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""HISTORY_RECORDS: one entry per stay of a VM on a host, closed by the action that ended it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import xml
from .records import Record, User

if TYPE_CHECKING:
    from .core import Oned

ACTIONS = {
    "none": 0, "undeploy": 5, "undeploy-hard": 6, "stop": 9, "suspend": 10, "resume": 11, "delete": 13,
    "delete-recreate": 14, "poweroff": 19, "poweroff-hard": 20, "disk-attach": 21, "disk-detach": 22, "nic-attach": 23,
    "nic-detach": 24, "terminate": 27, "terminate-hard": 28, "disk-resize": 29, "resize": 35, "monitor": 44,
    "pci-attach": 58, "pci-detach": 59,
}  # fmt: skip


def open_record(oned: Oned, vm: Record, hid: int, hostname: str, driver: str, first: bool) -> None:
    """Begin a stay. first: the VM is brought in (prolog), not only started."""
    now = oned.now()
    vm.data["history"].append({
        "seq": len(vm.data["history"]), "hid": hid, "hostname": hostname, "vm_mad": driver, "stime": now, "etime": 0,
        "pstime": now if first else 0, "petime": 0, "rstime": 0 if first else now, "retime": 0, "estime": 0,
        "eetime": 0, "action": 0, "uid": -1, "gid": -1,
    })  # fmt: skip


def last(vm: Record) -> dict[str, Any] | None:
    """The current or latest stay."""
    history: list[dict[str, Any]] = vm.data["history"]
    return history[-1] if history else None


def mark_running(oned: Oned, vm: Record) -> None:
    """The VM runs."""
    record = last(vm)
    if record:
        now = oned.now()
        record["petime"] = record["petime"] or (now if record["pstime"] else 0)
        record["rstime"] = record["rstime"] or now


def close(oned: Oned, vm: Record, action: str, user: User | None) -> None:
    """End the stay, saying which action of whom ended it."""
    record = last(vm)
    if record is None or record["etime"]:
        return
    now = oned.now()
    record["etime"] = now
    if record["rstime"]:
        record["retime"] = record["retime"] or now
    record["action"] = ACTIONS[action]
    if user is not None:
        record["uid"], record["gid"] = user.uid, user.gid


def reopen(oned: Oned, vm: Record) -> None:
    """Another stay on the same host."""
    record = last(vm)
    if record:
        open_record(oned, vm, record["hid"], record["hostname"], record["vm_mad"], first=False)


def render(vm: Record, everything: bool) -> str:
    """HISTORY_RECORDS in full bodies; only the latest unless `everything`."""
    history = vm.data["history"] if everything else vm.data["history"][-1:]
    if not history:
        return "<HISTORY_RECORDS/>"
    return f"<HISTORY_RECORDS>{''.join(_full(vm, entry) for entry in history)}</HISTORY_RECORDS>"


def _full(vm: Record, entry: dict[str, Any]) -> str:
    times = "".join(
        f"<{name.upper()}>{entry[name]}</{name.upper()}>"
        for name in ("pstime", "petime", "rstime", "retime", "estime", "eetime")
    )
    return (
        f"<HISTORY><OID>{vm.oid}</OID><SEQ>{entry['seq']}</SEQ>{xml.leaf('HOSTNAME', entry['hostname'])}"
        f"<HID>{entry['hid']}</HID><CID>0</CID><STIME>{entry['stime']}</STIME><ETIME>{entry['etime']}</ETIME>"
        f"{xml.raw('VM_MAD', entry['vm_mad'])}{xml.raw('TM_MAD', 'dummy')}<DS_ID>0</DS_ID><PLAN_ID>-1</PLAN_ID>"
        f"<ACTION_ID>0</ACTION_ID>{times}<ACTION>{entry['action']}</ACTION><UID>{entry['uid']}</UID>"
        f"<GID>{entry['gid']}</GID><REQUEST_ID>-1</REQUEST_ID></HISTORY>"
    )


def render_reduced(vm: Record) -> str:
    """HISTORY_RECORDS in reduced bodies."""
    entry = last(vm)
    if entry is None:
        return "<HISTORY_RECORDS/>"
    return (
        f"<HISTORY_RECORDS><HISTORY><OID>{vm.oid}</OID><SEQ>{entry['seq']}</SEQ>"
        f"{xml.raw('HOSTNAME', entry['hostname'])}<HID>{entry['hid']}</HID><CID>0</CID><DS_ID>0</DS_ID>"
        f"{xml.raw('VM_MAD', entry['vm_mad'])}{xml.raw('TM_MAD', 'dummy')}{xml.raw('ACTION', entry['action'])}"
        "</HISTORY></HISTORY_RECORDS>"
    )
