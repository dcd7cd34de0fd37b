# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The parts of VMs and services that OneGate shows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

_NIC_KEYS = ("IP", "IP6_LINK", "IP6_SITE", "IP6_GLOBAL", "NETWORK", "MAC", "NAME", "PARENT", "EXTERNAL", "EXTERNAL_IP")


def vm_view(vm: dict[str, Any]) -> dict[str, Any]:
    """vm: the VM as a hash, without its root name."""
    user_template = vm.get("USER_TEMPLATE")
    user_template = user_template if isinstance(user_template, dict) else {}
    template = vm.get("TEMPLATE")
    template = template if isinstance(template, dict) else {}
    return {
        "VM": {
            "NAME": vm["NAME"],
            "ID": vm["ID"],
            "STATE": vm["STATE"],
            "LCM_STATE": vm["LCM_STATE"],
            "USER_TEMPLATE": {key: value for key, value in user_template.items() if key != "SCHED_MESSAGE"},
            "TEMPLATE": {"NIC": _nics(template.get("NIC")), "NIC_ALIAS": _nics(template.get("NIC_ALIAS"))},
        }
    }


def _nics(value: Any) -> list[dict[str, Any]]:
    items = value if isinstance(value, list) else [value] if value else []
    return [{key: item for key, item in nic.items() if key in _NIC_KEYS} for nic in items]


def service_view(header: dict[str, Any], body: dict[str, Any], whole_vm: Callable[[int], Any] | None) -> dict[str, Any]:
    """whole_vm: gives {"VM": …} for the id of a node; None shows what the service itself has stored."""
    roles = []
    for role in body.get("roles") or []:
        nodes = [
            {
                "deploy_id": int(node["deploy_id"]),
                "running": node.get("running"),
                "vm_info": whole_vm(int(node["deploy_id"])) if whole_vm else node.get("vm_info"),
            }
            for node in role.get("nodes") or []
        ]
        roles.append(
            {"name": role["name"], "cardinality": role.get("cardinality"), "state": role.get("state"), "nodes": nodes}
        )
    return {"SERVICE": {"name": header["NAME"], "id": header["ID"], "state": body.get("state"), "roles": roles}}
