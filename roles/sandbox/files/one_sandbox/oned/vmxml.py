# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VM bodies: full, as one.vm.info and infoextended give them, and reduced, as one.vmpool.info does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from . import context, history, xml
from . import template as tpl
from .records import Record

if TYPE_CHECKING:
    from .core import Oned

_REDUCED_DISK = (
    "DISK_ID", "DATASTORE", "DATASTORE_ID", "IMAGE", "IMAGE_ID", "SIZE", "TYPE", "CLONE", "CLONE_TARGET", "LN_TARGET",
    "DISK_SNAPSHOT_TOTAL_SIZE",
)  # fmt: skip
_REDUCED_NIC = ("IP", "MAC", "NETWORK", "NETWORK_ID", "NIC_ID", "SECURITY_GROUPS")
_REDUCED_USER = (
    "LABELS", "ERROR", "SCHED_MESSAGE", "SCHED_RANK", "SCHED_DS_RANK", "SCHED_REQUIREMENTS", "SCHED_DS_REQUIREMENTS",
    "USER_PRIORITY",
)  # fmt: skip


def full(oned: Oned, vm: Record, all_history: bool = False, clear: bool = False) -> str:
    """The complete body; clear: with the password of CONTEXT in clear."""
    key = (vm.oid, "full")
    if not all_history and key in oned.xml_cache:
        return oned.xml_cache[key]
    data = vm.data
    body = (
        f"<VM>{xml.owner(oned, vm)}{xml.permissions(vm)}<LAST_POLL>0</LAST_POLL><STATE>{data['state']}</STATE>"
        f"<LCM_STATE>{data['lcm']}</LCM_STATE><PREV_STATE>{data['state']}</PREV_STATE>"
        f"<PREV_LCM_STATE>{data['lcm']}</PREV_LCM_STATE><RESCHED>0</RESCHED><STIME>{data['stime']}</STIME>"
        f"<ETIME>{data['etime']}</ETIME>{xml.leaf('DEPLOY_ID', data['deploy_id'])}{xml.lock(vm)}"
        f"<MONITORING></MONITORING><SCHED_ACTIONS></SCHED_ACTIONS>{tpl.to_xml(_template(vm, clear))}"
        f"{tpl.to_xml(data['user_template'], 'USER_TEMPLATE')}"
        f"{history.render(vm, all_history)}"
        f"<BACKUPS>{_backup_config(vm)}<BACKUP_IDS></BACKUP_IDS></BACKUPS></VM>"
    )
    if not all_history:
        oned.xml_cache[key] = body
    return body


def _template(vm: Record, clear: bool) -> tpl.Template:
    shown = vm.template
    if "BACKUP_CONFIG" in shown:
        shown = {name: value for name, value in shown.items() if name != "BACKUP_CONFIG"}
    section = shown.get("CONTEXT")
    if not clear and isinstance(section, dict) and section.get("PASSWORD"):
        shown = {**shown, "CONTEXT": {**section, "PASSWORD": context.encrypted(section["PASSWORD"])}}
    return shown


def _backup_config(vm: Record) -> str:
    section = vm.template.get("BACKUP_CONFIG")
    return tpl.to_xml(section, "BACKUP_CONFIG") if isinstance(section, dict) and section else "<BACKUP_CONFIG/>"


def reduced(oned: Oned, vm: Record) -> str:
    """The short body: no PERMISSIONS, no CONTEXT, of USER_TEMPLATE only what the server itself needs."""
    key = (vm.oid, "reduced")
    if key in oned.xml_cache:
        return oned.xml_cache[key]
    data = vm.data
    numbers = "".join(
        xml.leaf(name, tpl.scalar(vm.template, name)) for name in ("CPU", "MEMORY", "VCPU") if name in vm.template
    )
    wanted = data["user_template"]
    shown = "".join(xml.raw(name, tpl.scalar(wanted, name)) for name in _REDUCED_USER if tpl.scalar(wanted, name))
    body = (
        f"<VM>{xml.owner(oned, vm)}<LAST_POLL>0</LAST_POLL><STATE>{data['state']}</STATE>"
        f"<LCM_STATE>{data['lcm']}</LCM_STATE><RESCHED>0</RESCHED><STIME>{data['stime']}</STIME>"
        f"<ETIME>{data['etime']}</ETIME>{xml.leaf('DEPLOY_ID', data['deploy_id'])}<TEMPLATE>{numbers}"
        f"{_some(vm, 'DISK', _REDUCED_DISK)}{_some(vm, 'NIC', _REDUCED_NIC)}</TEMPLATE><MONITORING/>"
        + (f"<USER_TEMPLATE>{shown}</USER_TEMPLATE>" if wanted else "<USER_TEMPLATE/>")
        + f"{history.render_reduced(vm)}</VM>"
    )
    oned.xml_cache[key] = body
    return body


def _some(vm: Record, section: str, names: tuple[str, ...]) -> str:
    return "".join(
        f"<{section}>{''.join(xml.raw(name, vector[name]) for name in names if name in vector)}</{section}>"
        for vector in tpl.sections(vm.template, section)
    )
