# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a service template must look like: types, defaults, choices."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

_SHUTDOWN = {"type": "string", "enum": ["terminate", "terminate-hard", "shutdown", "shutdown-hard"]}
_OBJECT: Schema = {"type": "object", "properties": {}}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_STRINGS: Schema = {"type": "array", "items": {"type": "string"}}
_ADJUSTMENT: dict[str, Schema] = {
    "type": {"type": "string", "enum": ["CHANGE", "CARDINALITY", "PERCENTAGE_CHANGE"], "required": True},
    "adjust": {"type": "integer", "required": True},
    "min_adjust_step": {"type": "integer", "minimum": 1},
}
_ELASTICITY: Schema = {
    "type": "object",
    "properties": {
        **_ADJUSTMENT,
        "period_number": _COUNT,
        "period": _COUNT,
        "expression": {"type": "string", "required": True},
        "cooldown": _COUNT,
    },
}
_SCHEDULE: Schema = {
    "type": "object",
    "properties": {**_ADJUSTMENT, "start_time": {"type": "string"}, "recurrence": {"type": "string"}},
}
_NAME: Schema = {"type": "string", "required": True, "regex": r"^\w+$"}
_CARDINALITY: Schema = {"type": "integer", "default": 0, "minimum": 0}
_TEMPLATE_ID: Schema = {"type": "integer", "required": True}

VM_ROLE: Schema = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "type": {"type": "string", "enum": ["vm"], "required": True},
        "cardinality": _CARDINALITY,
        "template_id": _TEMPLATE_ID,
        "template_contents": _OBJECT,
        "user_inputs": _OBJECT,
        "user_inputs_values": _OBJECT,
        "parents": _STRINGS,
        "shutdown_action": _SHUTDOWN,
        "min_vms": _COUNT,
        "max_vms": _COUNT,
        "cooldown": _COUNT,
        "on_hold": {"type": "boolean"},
        "elasticity_policies": {"type": "array", "items": _ELASTICITY},
        "scheduled_policies": {"type": "array", "items": _SCHEDULE},
    },
}
VR_ROLE: Schema = {
    "type": "object",
    "properties": {
        "name": _NAME,
        "type": {"type": "string", "enum": ["vr"], "required": True},
        "template_id": _TEMPLATE_ID,
        "cardinality": _CARDINALITY,
        "template_contents": _OBJECT,
        "user_inputs": _OBJECT,
        "user_inputs_values": _OBJECT,
        "on_hold": {"type": "boolean"},
        "parents": _STRINGS,
    },
}
SERVICE: Schema = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "required": True},
        "deployment": {"type": "string", "enum": ["none", "straight"], "default": "none"},
        "description": {"type": "string", "default": ""},
        "shutdown_action": _SHUTDOWN,
        "roles": {"type": "array", "items": {}, "required": True},
        "user_inputs": _OBJECT,
        "user_inputs_values": _OBJECT,
        "ready_status_gate": {"type": "boolean"},
        "automatic_deletion": {"type": "boolean"},
        "networks": _OBJECT,
        "networks_values": {"type": "array", "items": _OBJECT},
        "on_hold": {"type": "boolean"},
    },
}
