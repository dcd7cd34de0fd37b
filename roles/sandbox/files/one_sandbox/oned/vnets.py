# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Virtual networks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..drivers import DriverError
from . import common, errors, leases, xml
from . import template as tpl
from .errors import OnedError, RpcFault
from .methods import BOOL, INT, STR, method, opt
from .records import MANAGE, USE, Record, User, allowed

if TYPE_CHECKING:
    from .core import Oned

_DEFAULTS = {"BRIDGE_TYPE": "linux", "OUTER_VLAN_ID": "", "PHYDEV": "", "SECURITY_GROUPS": "0", "VLAN_ID": ""}
READY, LOCK_CREATE, ERROR = 1, 2, 5


def add(oned: Oned, user: User, name: str, template: tpl.Template) -> Record:
    """A network whose AR sections become its address ranges."""
    if not tpl.scalar(template, "VN_MAD"):
        raise OnedError(errors.INTERNAL, "No VN_MAD in template for Virtual Network.")
    ranges = [leases.make_range(vector, index) for index, vector in enumerate(tpl.sections(template, "AR"))]
    kept = {key: value for key, value in template.items() if key not in ("AR", "NAME")}
    for key, default in _DEFAULTS.items():
        kept.setdefault(key, default)
    record = oned.create("vn", user, name, kept, ranges=ranges, next_ar=len(ranges), parent=-1, state=READY)
    kept.setdefault("BRIDGE", f"onebr{record.oid}")
    return record


def render(oned: Oned, record: Record, reader: User | None = None) -> str:
    """VNET; for a reader of `info` with the leases of what he may use, in the pool with packed numbers instead."""
    template, ranges = record.template, record.data["ranges"]
    parent = record.data["parent"]
    if record.data["state"] == LOCK_CREATE:
        # Until the driver has made the network its ranges are but words in the template.
        words = [{"IP": ar["ip"], "SIZE": str(ar["size"]), "TYPE": ar["type"]} for ar in ranges]
        template, ranges = {**template, "AR": words}, []
    vms = sorted({lease["vm"] for ar in ranges for lease in ar["leases"].values() if "vm" in lease})
    return (
        f"<VNET>{xml.owner(oned, record)}{xml.lock(record)}{xml.permissions(record)}<CLUSTERS><ID>0</ID></CLUSTERS>"
        f"{xml.raw('BRIDGE', template.get('BRIDGE', ''))}{xml.raw('BRIDGE_TYPE', template.get('BRIDGE_TYPE', ''))}"
        f"{xml.raw('STATE', record.data['state'])}{xml.raw('PREV_STATE', record.data['state'])}"
        + (f"<PARENT_NETWORK_ID>{parent}</PARENT_NETWORK_ID>" if parent >= 0 else "<PARENT_NETWORK_ID/>")
        + f"<TEMPLATE_ID/>{xml.raw('VN_MAD', template.get('VN_MAD', ''))}<PHYDEV/><VLAN_ID/><OUTER_VLAN_ID/>"
        "<VLAN_ID_AUTOMATIC>0</VLAN_ID_AUTOMATIC><OUTER_VLAN_ID_AUTOMATIC>0</OUTER_VLAN_ID_AUTOMATIC>"
        f"<USED_LEASES>{leases.used(record)}</USED_LEASES><VROUTERS></VROUTERS>{xml.ids('UPDATED_VMS', vms)}"
        "<OUTDATED_VMS></OUTDATED_VMS><UPDATING_VMS></UPDATING_VMS><ERROR_VMS></ERROR_VMS>"
        f"{tpl.to_xml(template)}<AR_POOL>{''.join(_range(oned, ar, reader) for ar in ranges)}</AR_POOL>"
        "</VNET>"
    )


def _range(oned: Oned, ar: leases.Range, reader: User | None) -> str:
    given = sorted(ar["leases"].items(), key=lambda item: int(item[0]))
    allocated = "".join(f" {offset} {_packed(holder)}" for offset, holder in given)
    parts = [
        f"<AR>{xml.raw('ALLOCATED', allocated) if allocated and reader is None else ''}{xml.raw('AR_ID', ar['id'])}"
        f"{xml.raw('IP', ar['ip'])}{xml.raw('MAC', ar['mac'])}{xml.raw('NEXT_INDEX', ar['next'])}"
        + (xml.raw("PARENT_NETWORK_AR_ID", ar["parent"]) if "parent" in ar else "")
        + f"{xml.raw('SHARED', ar['shared'])}{xml.raw('SIZE', ar['size'])}{xml.raw('TYPE', ar['type'])}"
    ]
    if reader is not None:
        last = leases.ip_at(ar, ar["size"] - 1)
        parts.append(f"{xml.raw('MAC_END', leases.mac_of(last))}{xml.raw('IP_END', last)}")
        shown = "".join(_lease(oned, ar, int(offset), holder, reader) for offset, holder in given)
        parts.append(f"<USED_LEASES>{len(given)}</USED_LEASES>")
        parts.append(f"<LEASES>{shown}</LEASES>" if given else "<LEASES/>")
    parts.append("</AR>")
    return "".join(parts)


def _lease(oned: Oned, ar: leases.Range, offset: int, holder: dict[str, int], reader: User) -> str:
    (kind, oid), *_rest = holder.items()
    held = oned.find({"vm": "vm", "vnet": "vn"}.get(kind, "vm"), oid)
    # Whoever may not use the VM is not told of its address.
    if not reader.is_admin and (held is None or not allowed(reader, held, USE)):
        return ""
    ip = leases.ip_at(ar, offset)
    tag = "VNET" if kind == "vnet" else "VM"
    return f"<LEASE>{xml.raw('IP', ip)}{xml.raw('MAC', leases.mac_of(ip))}{xml.raw(tag, oid)}</LEASE>"


def _packed(holder: dict[str, int]) -> int:
    # The server keeps the kind of the holder in the upper half of one number; an address on hold is that of VM -1.
    (kind, oid), *_rest = holder.items()
    return {"vm": 1 << 36, "vnet": 1 << 38, "hold": 1 << 36}[kind] + (oid & 0xFFFFFFFF)


@method("vn.allocate", STR, opt(INT, -1))
def allocate(oned: Oned, user: User, text: str, cluster: int) -> int:
    """A new network."""
    template = common.parse(text)
    name = tpl.scalar(template, "NAME")
    common.check_name(name, errors.INTERNAL)
    common.check_free(oned, "vn", name, user.uid, errors.INTERNAL)
    record = add(oned, user, name, template)
    prepare(oned, record)
    return record.oid


def prepare(oned: Oned, record: Record) -> None:
    """Let the network's driver make it; until then it is locked, as on a real server."""
    record.data["state"] = LOCK_CREATE
    oid = record.oid
    view = {**record.template, "ID": oid, "NAME": record.name}
    driver = oned.drivers.get(tpl.scalar(record.template, "VN_MAD"))

    def job() -> None:
        problem = ""
        try:
            if driver is not None:
                driver.prepare_network(view)
        except DriverError as error:
            problem = str(error)
        with oned.transaction():
            found = oned.find("vn", oid)
            if found is None:
                return
            found.data["state"] = ERROR if problem else READY
            if problem:
                found.template["ERROR"] = f"{oned.clock()} : {problem}"
            oned.touch(found)

    oned.worker.submit(("vn", oid), job)


@method("vn.info", INT, opt(BOOL, False))
def info(oned: Oned, user: User, oid: int, decrypt: bool) -> str:
    """VNET with leases."""
    return render(oned, oned.access(user, "vn", oid, USE), user)


@method("vnpool.info", opt(INT, -2), opt(INT, -1), opt(INT, -1))
def pool(oned: Oned, user: User, flag: int, start: int, end: int) -> str:
    """VNET_POOL, newest first."""
    return common.pool_xml(oned, "VNET_POOL", common.visible(oned, user, "vn", flag, start, end), render)


@method("vn.update", INT, STR, opt(INT, 0))
def update(oned: Oned, user: User, oid: int, text: str, how: int) -> int:
    """Change attributes; what the network is made of stays."""
    record = oned.access(user, "vn", oid, MANAGE)
    fixed = {key: record.template[key] for key in ("VN_MAD", "BRIDGE", "BRIDGE_TYPE") if key in record.template}
    common.change_template(oned, record, text, how, user)
    record.template.update({key: value for key, value in fixed.items() if key not in record.template})
    record.template.pop("AR", None)
    return oid


@method("vn.delete", INT)
def delete(oned: Oned, user: User, oid: int) -> int:
    """Remove a network without leases."""
    record = oned.access(user, "vn", oid, MANAGE)
    if leases.used(record):
        raise OnedError(
            errors.ACTION, "Cannot delete virtual network. Can not remove a virtual network with leases in use"
        )
    leases.unreserve(oned, record)
    oned.remove(record)
    return oid


@method("vn.add_ar", INT, STR)
def add_ar(oned: Oned, user: User, oid: int, text: str) -> int:
    """One more address range."""
    record = oned.access(user, "vn", oid, MANAGE)
    for vector in _sections(text, "AR"):
        record.data["ranges"].append(leases.make_range(vector, record.data["next_ar"]))
        record.data["next_ar"] += 1
    oned.touch(record)
    return oid


def _sections(text: str, name: str) -> list[tpl.Vector]:
    found = tpl.sections(common.parse(text), name)
    if not found:
        raise OnedError(errors.INTERNAL, f"Wrong format for template of vnet: no {name} section.")
    return found


def _find_range(record: Record, ar_id: str) -> leases.Range:
    ar: leases.Range
    for ar in record.data["ranges"]:
        if str(ar["id"]) == ar_id:
            return ar
    raise OnedError(errors.ACTION, "Address Range does not exist")


@method("vn.rm_ar", INT, INT, opt(BOOL, False))
def rm_ar(oned: Oned, user: User, oid: int, ar_id: int, force: bool) -> int:
    """Remove an address range without leases."""
    record = oned.access(user, "vn", oid, MANAGE)
    ar = _find_range(record, str(ar_id))
    if ar["leases"] and not force:
        raise OnedError(errors.ACTION, "Address Range has leases in use")
    record.data["ranges"].remove(ar)
    oned.touch(record)
    return oid


@method("vn.update_ar", INT, STR)
def update_ar(oned: Oned, user: User, oid: int, text: str) -> int:
    """Change the SIZE of an address range."""
    record = oned.access(user, "vn", oid, MANAGE)
    for vector in _sections(text, "AR"):
        ar = _find_range(record, vector.get("AR_ID", ""))
        size = vector.get("SIZE", str(ar["size"]))
        if not size.isdigit() or any(int(offset) >= int(size) for offset in ar["leases"]):
            raise OnedError(errors.ACTION, "Wrong SIZE for address range")
        ar["size"] = int(size)
    oned.touch(record)
    return oid


@method("vn.hold", INT, STR)
def hold(oned: Oned, user: User, oid: int, text: str) -> int:
    """Keep an address from being given out."""
    record = oned.access(user, "vn", oid, MANAGE)
    for vector in _sections(text, "LEASES"):
        if not leases.allocate(oned, record, {"hold": -1}, vector.get("IP", "-")):
            raise OnedError(errors.ACTION, "Address is not part of the address range or in use.")
    return oid


@method("vn.release", INT, STR)
def release(oned: Oned, user: User, oid: int, text: str) -> int:
    """End a hold."""
    record = oned.access(user, "vn", oid, MANAGE)
    for vector in _sections(text, "LEASES"):
        if not leases.free(oned, record, vector.get("IP", "-"), {"hold": -1}):
            raise OnedError(errors.ACTION, "Address is not part of the address range or not on hold.")
    return oid


@method("vn.reserve", INT, STR)
def reserve(oned: Oned, user: User, oid: int, text: str) -> int:
    """A network of its own for some addresses of this one."""
    wanted = common.parse(text)
    size, name = tpl.scalar(wanted, "SIZE"), tpl.scalar(wanted, "NAME")
    if not size.isdigit() or not int(size):
        raise OnedError(errors.ACTION, "Reservation SIZE must be a greater than 0")
    if set(wanted) - {"SIZE", "NAME"}:
        raise RpcFault(-506, "The sandbox reserves a number of addresses as a new network only.")
    if not name:
        raise OnedError(errors.ACTION, "NAME for reservation has to be set")
    parent = oned.access(user, "vn", oid, USE)
    if parent.data["parent"] >= 0:
        raise OnedError(errors.ACTION, "Cannot reserve addresses from a reserved VNET")
    common.check_free(oned, "vn", name, user.uid, errors.INTERNAL)
    found = leases.free_run(parent, int(size))
    if found is None:
        raise OnedError(errors.ACTION, "Not enough free addresses in an address range")
    kept = dict(parent.template)
    record = oned.create("vn", user, name, kept, ranges=[], next_ar=1, parent=oid, state=READY)
    record.data["ranges"] = [leases.reserve(oned, parent, *found, int(size), record.oid)]
    return record.oid
