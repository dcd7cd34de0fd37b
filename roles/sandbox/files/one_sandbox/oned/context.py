# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""CONTEXT of a VM: variables, addresses, OneGate."""

from __future__ import annotations

import base64
import re
from typing import TYPE_CHECKING

from . import errors
from . import template as tpl
from .errors import OnedError
from .records import Record

if TYPE_CHECKING:
    from .core import Oned

_VARIABLE = re.compile(
    r"\\\$|\$([A-Za-z0-9_]+)(?:\[\s*([A-Za-z0-9_]+)\s*(?:,\s*([A-Za-z0-9_]+)\s*=\s*\"?([^\"\]]*)\"?\s*)?\])?"
)
_ETH = re.compile(r"ETH\d+_\w+$")
_ETH_EMPTY = (
    "EXTERNAL IP6 IP6_GATEWAY IP6_METHOD IP6_METRIC IP6_PREFIX_LENGTH IP6_ULA METHOD METRIC MTU ROUTES SEARCH_DOMAIN "
    "VLAN_ID VROUTER_IP VROUTER_IP6 VROUTER_MANAGEMENT"
).split()
_AUTOMATIC = ("DISK_ID", "TARGET", "VMID")


def is_yes(vector: tpl.Vector, name: str) -> bool:
    """Whether a vector says NAME=YES."""
    return vector.get(name, "").upper() == "YES"


def encrypted(value: str) -> str:
    """What stands for a secret (VM_ENCRYPTED_ATTR) in an answer; nobody has to be kept from reading it here."""
    return base64.b64encode(f"encrypted {value}".encode()).decode()


def check(oned: Oned, template: tpl.Template) -> None:
    """Raise OnedError 16384 when CONTEXT asks for what this cloud has not."""
    section = template.get("CONTEXT")
    if isinstance(section, dict) and is_yes(section, "TOKEN") and not oned.options.onegate_endpoint:
        raise OnedError(
            errors.ALLOCATE,
            "Error allocating a new virtual machine template. "
            "TOKEN set, but onegate endpoint was not defined in oned.conf.",
        )


def build(oned: Oned, vm: Record, wanted: tpl.Vector) -> tpl.Vector:
    """The complete section: variables filled in, automatic values added."""
    result = {name: substitute(oned, vm, value) for name, value in wanted.items()}
    result.update(DISK_ID=str(len(tpl.sections(vm.template, "DISK"))), TARGET="hda", VMID=str(vm.oid))
    if is_yes(result, "TOKEN"):
        result["ONEGATE_ENDPOINT"] = oned.options.onegate_endpoint
    refresh_network(oned, vm, result)
    return result


def refresh_network(oned: Oned, vm: Record, section: tpl.Vector) -> None:
    """ETH*_ of all NICs as they are now (with NETWORK=YES)."""
    for name in [name for name in section if _ETH.match(name)]:
        del section[name]
    if not is_yes(section, "NETWORK"):
        return
    for nic in tpl.sections(vm.template, "NIC"):
        vnet = oned.find("vn", int(nic["NETWORK_ID"]))
        network = vnet.template if vnet else {}
        values = dict.fromkeys(_ETH_EMPTY, "")
        values.update(
            {name: nic.get(name) or tpl.scalar(network, name) for name in (*_ETH_EMPTY, "DNS", "GATEWAY")},
            IP=nic.get("IP", ""),
            MAC=nic.get("MAC", ""),
            MASK=tpl.scalar(network, "NETWORK_MASK"),
            NETWORK=tpl.scalar(network, "NETWORK_ADDRESS"),
            MTU=tpl.scalar(network, "GUEST_MTU"),
        )
        section.update({f"ETH{nic['NIC_ID']}_{name}": value for name, value in values.items()})


def update(oned: Oned, vm: Record, new: tpl.Vector, append: bool) -> None:
    """updateconf of CONTEXT. Raises OnedError 8192."""
    old = vm.template.get("CONTEXT")
    if not isinstance(old, dict):
        raise OnedError(errors.INTERNAL, "Virtual machine does not have context, cannot add a new one.")
    for name in new:
        if _ETH.match(name) and new[name] != old.get(name):
            raise OnedError(errors.INTERNAL, f"Unable to add {name}, update NIC to update network context")
    wanted = {name: value for name, value in new.items() if not _ETH.match(name)}
    if old.get("PASSWORD") and wanted.get("PASSWORD") == encrypted(old["PASSWORD"]):
        wanted["PASSWORD"] = old["PASSWORD"]
    # What stays as it is has been filled in already.
    filled = {name: value if value == old.get(name) else substitute(oned, vm, value) for name, value in wanted.items()}
    kept = dict(old) if append else {name: old[name] for name in _AUTOMATIC if name in old}
    section = {**kept, **filled}
    if is_yes(section, "TOKEN"):
        if not oned.options.onegate_endpoint:
            raise OnedError(errors.INTERNAL, "TOKEN set, but onegate endpoint was not defined in oned.conf.")
        section["ONEGATE_ENDPOINT"] = oned.options.onegate_endpoint
    refresh_network(oned, vm, section)
    vm.template["CONTEXT"] = section


def substitute(oned: Oned, vm: Record, text: str) -> str:
    """Fill in $NAME, $ATTR, $USER[X], $NETWORK[X, …], $IMAGE[X, …], $SECTION[X]; what is unknown becomes empty.

    "$(…)", "${…}" and "\\$X" are left alone, as the server leaves them.
    """
    if "$" not in text:
        return text

    def value(match: re.Match[str]) -> str:
        name, attribute, key, wanted = match.groups()
        if name is None:
            return match.group(0)
        return _lookup(oned, vm, name.upper(), attribute, key, wanted)

    return _VARIABLE.sub(value, text)


def _lookup(oned: Oned, vm: Record, name: str, attribute: str | None, key: str | None, wanted: str | None) -> str:
    if attribute is None:
        fixed = {
            "NAME": vm.name, "UID": str(vm.uid), "GID": str(vm.gid), "UNAME": oned.user_name(vm.uid),
            "GNAME": oned.group_name(vm.gid), "VMID": str(vm.oid),
        }  # fmt: skip
        if name in fixed:
            return fixed[name]
        return tpl.scalar(vm.template, name) or tpl.scalar(vm.data["user_template"], name)
    attribute = attribute.upper()
    if name == "USER":
        owner = oned.find("user", vm.uid)
        return tpl.scalar(owner.template, attribute) if owner else ""
    if name in ("NETWORK", "IMAGE"):
        kind, section = ("vn", "NIC") if name == "NETWORK" else ("image", "DISK")
        for vector in tpl.sections(vm.template, section):
            if not key or vector.get(key.upper()) == wanted:
                record = oned.find(kind, int(vector.get(f"{name}_ID", "-1")))
                if record:
                    return record.name if attribute == "NAME" else tpl.scalar(record.template, attribute)
        return ""
    vectors = tpl.sections(vm.template, name) or tpl.sections(vm.data["user_template"], name)
    for vector in vectors:
        if not key or vector.get(key.upper()) == wanted:
            return vector.get(attribute, "")
    return ""
