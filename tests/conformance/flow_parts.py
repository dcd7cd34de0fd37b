# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Roles and service templates that the conformance tests of OneFlow are made of."""

from __future__ import annotations

from typing import Any

from .conformance_client import Cloud


def role(ground: dict[str, Any], name: str = "web", **more: Any) -> dict[str, Any]:
    return {
        "name": name, "type": "vm", "cardinality": 1, "template_id": ground["template"], "min_vms": 1, "max_vms": 3,
        "cooldown": 1, **more,
    }  # fmt: skip


def template(cloud: Cloud, *roles: dict[str, Any], **more: Any) -> int:
    return cloud.service_template({"name": cloud.name(), "deployment": "straight", "roles": list(roles), **more})


def nodes(body: dict[str, Any], name: str = "web") -> list[int]:
    mine = next(item for item in body["roles"] if item["name"] == name)
    return [node["deploy_id"] for node in mine.get("nodes", [])]


def part(body: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in body["roles"] if item["name"] == name)
    return found
