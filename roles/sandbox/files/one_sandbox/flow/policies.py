# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Elasticity and schedules: when a role should grow or shrink by itself."""

from __future__ import annotations

import re
import time
from typing import Any

from ..oned.core import Oned
from . import cron, expression
from .role import DEFAULT_COOLDOWN, Role
from .ruby import to_int
from .rules import parse_time
from .service import Service
from .vms import read_vms, state_of

_NUMBER = re.compile(r"\s*[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")


class Policies:
    """Evaluates the policies of services every `interval` seconds; a policy's own `period` counts besides."""

    def __init__(self, oned: Oned, interval: float) -> None:
        self._oned = oned
        self.interval = interval
        self._next = 0.0

    def due(self) -> bool:
        """Is it time? Answering yes starts the next interval."""
        now = time.monotonic()
        if now < self._next:
            return False
        self._next = now + self.interval
        return True

    def evaluate(self, service: Service) -> tuple[list[tuple[str, int]], bool]:
        """Targets ([(role, cardinality)]) and whether the roles' bodies changed (evaluations are counted there)."""
        targets, changed = [], False
        for role in service.roles.values():
            if not (role.body.get("elasticity_policies") or role.body.get("scheduled_policies")):
                if role.cardinality < to_int(role.body.get("min_vms")):
                    targets.append((role.name, to_int(role.body["min_vms"])))
                continue
            changed = True
            difference, cooldown = self._difference(role)
            if difference:
                if cooldown is not None:
                    role.body["cooldown"] = cooldown
                targets.append((role.name, role.cardinality + difference))
        return targets, changed

    def _difference(self, role: Role) -> tuple[int, Any]:
        for policy in role.body.get("scheduled_policies") or []:
            if self._time_has_come(policy):
                difference = new_cardinality(role.body, policy) - role.cardinality
                if difference:
                    return difference, policy.get("cooldown")
        attributes: dict[str, float | None] = {}
        for policy in role.body.get("elasticity_policies") or []:
            if self._attributes_say_so(role, policy, attributes):
                difference = new_cardinality(role.body, policy) - role.cardinality
                if difference:
                    cooldown = policy.get("cooldown")
                    return difference, role.body.get("cooldown", DEFAULT_COOLDOWN) if cooldown is None else cooldown
        if role.cardinality < to_int(role.body.get("min_vms")):
            return to_int(role.body["min_vms"]) - role.cardinality, 0
        return 0, None

    @staticmethod
    def _time_has_come(policy: dict[str, Any]) -> bool:
        now, last = int(time.time()), to_int(policy.get("last_eval"))
        policy["last_eval"] = now
        if not last or policy.get("adjust") is None:
            return False
        start: int | None
        if policy.get("start_time"):
            start = parse_time(policy["start_time"])
        else:
            try:
                start = cron.Cron(policy.get("recurrence") or "").next_after(last)
            except cron.CronError:
                start = None
        return start is not None and last < start <= now

    def _attributes_say_so(self, role: Role, policy: dict[str, Any], known: dict[str, float | None]) -> bool:
        now = int(time.time())
        if now < to_int(policy.get("last_eval")) + to_int(policy.get("period")):
            return False
        policy["last_eval"] = now
        needed = to_int(policy.get("period_number"))

        def lookup(name: str) -> float | None:
            if name not in known:
                known[name] = mean_of(self._oned, role.node_ids, name)
            return known[name]

        truth, text = expression.parse(policy["expression"])(lookup)
        evaluations = min(to_int(policy.get("true_evals")) + 1, needed) if truth else 0
        policy["true_evals"] = evaluations
        policy["expression_evaluated"] = text
        return bool(truth) and evaluations >= needed


def mean_of(oned: Oned, vm_ids: list[int], name: str) -> float | None:
    """Mean of an attribute over the RUNNING VMs that have it, two decimals; None when none has. Text counts as 0."""
    values = []
    for vm in read_vms(oned, vm_ids).values():
        if not state_of(vm).running:
            continue
        for place in (vm.get("USER_TEMPLATE"), vm.get("MONITORING"), vm.get("TEMPLATE"), vm):
            value = place.get(name) if isinstance(place, dict) else None
            if value is not None:
                if isinstance(value, str):
                    values.append(_to_float(value))
                break
    if not values:
        return None
    # Ruby rounds halves away from zero.
    mean = sum(values) / len(values) * 100
    return (int(abs(mean) + 0.5) * (1 if mean >= 0 else -1)) / 100.0


def _to_float(text: str) -> float:
    match = _NUMBER.match(text)
    return float(match.group()) if match else 0.0


def new_cardinality(role: dict[str, Any], policy: dict[str, Any]) -> int:
    """Where a policy moves a role: never above max_vms when it adds, never below min_vms when it takes away.

    The sign of `adjust` decides, so CARDINALITY with a positive value may end below min_vms.
    """
    current, adjust = to_int(role.get("cardinality")), to_int(policy.get("adjust"))
    highest = max(current, to_int(role.get("max_vms")))
    lowest = to_int(role.get("min_vms"))
    kind = str(policy.get("type", "")).upper()
    if kind == "CHANGE":
        target = current + adjust
    elif kind == "PERCENTAGE_CHANGE":
        change = abs(current * adjust / 100.0)
        step = max(int(change) if change >= 1 else 1, to_int(policy.get("min_adjust_step")))
        target = current + (step if adjust > 0 else -step)
    elif kind == "CARDINALITY":
        target = adjust
    else:
        return current
    if adjust > 0:
        return min(target, highest)
    return max(target, lowest) if adjust < 0 else target
