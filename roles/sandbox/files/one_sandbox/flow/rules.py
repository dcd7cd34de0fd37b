# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rules of a service template beyond its schema, and the conversion of templates written for 6.x."""

from __future__ import annotations

import re
from datetime import datetime, timezone
from typing import Any

from . import cron, expression
from .ruby import to_int
from .validator import ValidationError, check_role, check_schema

Body = dict[str, Any]
_TIME_FORMATS = (
    "%Y-%m-%d %H:%M:%S", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%Y-%m-%dT%H:%M:%SZ", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%d %H:%M:%S %z", "%d-%m-%Y %H:%M:%S", "%d/%m/%Y %H:%M:%S", "%H:%M", "%H:%M:%S",
)  # fmt: skip


def validate(template: Body) -> Body:
    """Convert, validate and complete a service template in place. Raises ValidationError."""
    if isinstance(template, dict) and is_old_format(template):
        convert(template)
    check_schema(template)
    for role in template["roles"]:
        if not isinstance(role, dict):
            raise ValidationError("KEY: '' must be an Object;")
        check_role(role)
    for index, role in enumerate(template["roles"]):
        if any(role["name"] == other["name"] for other in template["roles"][index + 1 :]):
            raise ValidationError(f"Role name '{role['name']}' is repeated")
        if role["type"] == "vm":
            _check_vm_role(role)
        else:
            _check_vr_role(role)
    return template


def _check_vm_role(role: Body) -> None:
    name, cardinality = role["name"], to_int(role.get("cardinality"))
    if role.get("min_vms") is not None and role["min_vms"] > cardinality:
        raise ValidationError(f"Role '{name}' 'cardinality' must be greater than or equal to 'min_vms'")
    if role.get("max_vms") is not None and role["max_vms"] < cardinality:
        raise ValidationError(f"Role '{name}' 'cardinality' must be lower than or equal to 'max_vms'")
    policies = role.get("elasticity_policies") or []
    schedules = role.get("scheduled_policies") or []
    if (policies or schedules) and (role.get("min_vms") is None or role.get("max_vms") is None):
        raise ValidationError(
            f"Role '{name}' with  'elasticity_policies' or 'scheduled_policies'must define both 'min_vms' and 'max_vms'"
        )
    for index, policy in enumerate(policies):
        where = f"Role '{name}', elasticity policy #{index} 'expression'"
        if not policy["expression"]:
            raise ValidationError(f"{where} cannot be empty")
        try:
            expression.parse(policy["expression"])
        except expression.ExpressionError as error:
            raise ValidationError(f"{where} parse error: {error}") from None
    for index, policy in enumerate(schedules):
        _check_schedule(policy, f"Role '{name}', scheduled policy #{index}")


def _check_schedule(policy: Body, where: str) -> None:
    start, recurrence = policy.get("start_time"), policy.get("recurrence")
    if start is not None:
        if recurrence is not None:
            raise ValidationError(f"{where} must define 'start_time' or 'recurrence', but not both")
        if parse_time(start) is None:
            raise ValidationError(
                f"{where} 'start_time' is not a valid Time. Try with YYYY-MM-DD hh:mm:ss or 0YYY-MM-DDThh:mm:ssZ"
            )
    elif recurrence is not None:
        try:
            cron.Cron(recurrence).next_after(datetime.now().timestamp())
        except cron.CronError:
            raise ValidationError(f"{where} 'recurrence' is not a valid cron expression") from None
    else:
        raise ValidationError(f"{where} needs to define either 'start_time' or 'recurrence'")


def parse_time(text: str) -> int | None:
    """Unix seconds of a start_time: digits, or a date and time (local unless it says otherwise); None if neither."""
    if re.match(r"^\d+$", text):
        return int(text)
    for layout in _TIME_FORMATS:
        try:
            moment = datetime.strptime(text.strip(), layout)
        except ValueError:
            continue
        if layout.startswith("%H"):
            moment = datetime.combine(datetime.now().date(), moment.time())
        if layout.endswith("Z"):
            return int(moment.replace(tzinfo=timezone.utc).timestamp())
        return int(moment.timestamp())
    return None


def _check_vr_role(role: Body) -> None:
    nics = (role.get("template_contents") or {}).get("NIC")
    if not isinstance(nics, list):
        return
    floating = any(str(key).startswith("FLOATING") for nic in nics for key in nic)
    if to_int(role.get("cardinality")) > 1 and not floating:
        raise ValidationError(
            f"Role '{role['name']}' with 'cardinality' greather than one must define a floating IP"
        )


def is_old_format(template: Body) -> bool:
    """Does every role carry keys of 6.x? (True for no roles at all, which changes nothing.)"""
    roles = template.get("roles")
    if not isinstance(roles, list):
        return False
    return all(isinstance(role, dict) and ({"vm_template", "vm_template_contents"} & role.keys()) for role in roles)


def convert(template: Body) -> None:
    """Turn a 6.x template into a 7.x one, in place and with the key order of the server."""
    for role in template["roles"]:
        role["template_id"] = to_int(role.get("vm_template"))
        role["type"] = "vm"
        if role.get("custom_attrs"):
            role["user_inputs"] = role["custom_attrs"]
        if role.get("vm_template_contents"):
            role["template_contents"] = upgrade_contents(role.pop("vm_template_contents"))
        role.pop("vm_template", None)
        for key in ("custom_attrs", "custom_attrs_values"):
            if role.get(key):
                del role[key]
    for old, new in (("custom_attrs", "user_inputs"), ("custom_attrs_values", "user_inputs_values")):
        if template.get(old):
            template[new] = template.pop(old)


def upgrade_contents(text: str) -> Body:
    """Template text of a 6.x role as an object; vectors become lists, as the server's line splitter makes them."""
    result: Body = {}
    for line in re.split(r"\n(?![^\[]*\])", text):
        if "=" not in line:
            continue
        key, value = (part.strip() for part in line.split("=", 1))
        value = value.replace('"', "")
        item: Any = value
        if value.startswith("[") and value.endswith("]"):
            pairs = (element.split("=", 1) for element in re.split(r"\s*,\s*", value[1:-1]))
            item = {pair[0].strip(): pair[1].strip() if len(pair) > 1 else None for pair in pairs}
        if not result.get(key):
            result[key] = item
        elif isinstance(result[key], list):
            result[key].append(item)
        else:
            result[key] = [result[key], item]
    return {key: [value] if isinstance(value, dict) else value for key, value in result.items()}
