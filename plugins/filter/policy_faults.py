# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge policies by which OneFlow shall scale SuperNodes: OneFlow itself takes many that can never do what is meant."""

from __future__ import annotations

DOCUMENTATION = r"""
name: policy_faults
short_description: What is wrong with policies that scale a federation
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Checks elasticity and scheduled policies of the role C(supernode) before anything is made. OneFlow stores rules that
    can never apply, and a C(CARDINALITY) below the lower bound it carries out.
  - All faults are returned at once.
positional: _input, minimum, maximum, variables
options:
  _input:
    description: The policies in the keys of OneFlow, as C(elasticity) and C(scheduled).
    type: dict
    required: true
  minimum:
    description: Least number of SuperNodes.
    type: int
    required: true
  maximum:
    description: Greatest number of SuperNodes.
    type: int
    required: true
  variables:
    description:
      - Context variables of the federation. C(ONEAPP_FL_MIN_FIT_CLIENTS) and C(ONEAPP_FL_MIN_AVAILABLE_CLIENTS), with
        their defaults where they are not given, must not be above O(minimum), or training would stop when the
        federation shrinks.
    type: dict
    default: {}
"""

EXAMPLES = r"""
- name: Refuse policies that cannot work
  ansible.builtin.assert:
    that: faults | length == 0
    fail_msg: "{{ faults | join('; ') }}"
  vars:
    faults: "{{ {'elasticity': [{'type': 'CHANGE', 'adjust': 1, 'expression': 'CPU > 80'}]}
      | opennebula.flower.policy_faults(2, 10) }}"
"""

RETURN = r"""
_value:
  description: One phrase per fault. Empty when all is well.
  type: list
  elements: str
  sample: ["scheduled policy 1: CARDINALITY 1 is outside 2 to 10"]
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

_TABLE = Path(__file__).resolve().parents[2] / "roles/flower_runtime/files/flower_ops/flower_ops/context_variables.json"
_TYPES = ("CHANGE", "CARDINALITY", "PERCENTAGE_CHANGE")
_COMMON = {"type", "adjust", "min_adjust_step", "cooldown"}
_KEYS = {
    "elasticity": _COMMON | {"expression", "period", "period_number"},
    "scheduled": _COMMON - {"cooldown"} | {"recurrence", "start_time"},
}
_LEAST = ("ONEAPP_FL_MIN_FIT_CLIENTS", "ONEAPP_FL_MIN_AVAILABLE_CLIENTS")
#: What nodes publish as numbers; of text OneFlow makes 0.
NUMBERS = frozenset({
    "FL_CLIENT_STATUS", "FL_TRAINING_ACTIVE", "FL_ROUND_NUMBER", "FL_PARTITION_ID", "FL_NUM_PARTITIONS",
})  # fmt: skip
_OURS = re.compile(r"(FL_|READY$|ONEAPP_)")
_WORD = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
_COMPARISON = re.compile(r"==|=|!=|<>|>=|<=|>|<")
_CRON = re.compile(r"@(yearly|annually|monthly|weekly|daily|midnight|hourly)|(\S+\s+){4}\S+")


def policy_faults(
    policies: Any, minimum: Any, maximum: Any, variables: Mapping[str, Any] | None = None
) -> list[str]:
    """Phrases about all that is wrong; AnsibleFilterError where the policies are no dictionary of lists."""
    if not isinstance(policies, Mapping) or not all(isinstance(given, list) for given in policies.values()):
        raise AnsibleFilterError("policy_faults needs lists of policies as elasticity and scheduled.")
    least, most = int(minimum), int(maximum)
    faults = [
        f"{kind} policy {number}: {fault}"
        for kind in _KEYS
        for number, policy in enumerate(policies.get(kind) or [], 1)
        for fault in _of_policy(kind, policy, least, most)
    ]
    return faults + _starving(least, variables or {})


def _starving(least: int, variables: Mapping[str, Any]) -> list[str]:
    """Rounds wait for ever when a federation has fewer SuperNodes than a round needs."""
    rows = {row["name"]: row for row in json.loads(_TABLE.read_text(encoding="utf-8"))}
    faults = []
    for name in _LEAST:
        needed = str(variables.get(name, "")).strip() or rows[name]["default"]
        if needed.isdecimal() and int(needed) > least:
            faults.append(
                f"{name} is {needed}, so federation_supernodes_min must be {needed} at least and not {least}: with "
                "fewer SuperNodes no round would begin"
            )
    return faults


def _of_policy(kind: str, policy: Any, least: int, most: int) -> Iterator[str]:
    if not isinstance(policy, Mapping):
        yield "is no dictionary"
        return
    unknown = sorted(set(policy) - _KEYS[kind])
    if unknown:
        yield f"OneFlow does not know {', '.join(unknown)} (it knows {', '.join(sorted(_KEYS[kind]))})"
    for key in ("min_adjust_step", "cooldown", "period", "period_number"):
        if key in policy and (_number(policy[key]) is None or int(policy[key]) < 0):
            yield f"{key} must be a whole number, 0 or more, not {policy[key]!r}"
    yield from _of_adjustment(policy, least, most)
    yield from _of_expression(policy.get("expression")) if kind == "elasticity" else _of_time(policy)


def _number(value: Any) -> int | None:
    return int(value) if re.fullmatch(r"-?\d+", str(value)) else None


def _of_adjustment(policy: Mapping[str, Any], least: int, most: int) -> Iterator[str]:
    how, adjust = policy.get("type"), _number(policy.get("adjust", ""))
    if how not in _TYPES:
        yield f"type must be one of {', '.join(_TYPES)}, not {how!r}"
    elif not adjust:
        yield f"adjust must be a whole number other than 0, not {policy.get('adjust')!r}"
    elif how == "CARDINALITY" and not least <= adjust <= most:
        # OneFlow keeps to the upper bound only when adjust is positive, and to the lower one only when it is negative.
        yield f"CARDINALITY {adjust} is outside {least} to {most}"
    if "min_adjust_step" in policy and how != "PERCENTAGE_CHANGE":
        yield "min_adjust_step has an effect on PERCENTAGE_CHANGE only"


def _of_expression(expression: Any) -> Iterator[str]:
    if not isinstance(expression, str) or not expression.strip():
        yield "expression is missing, for example CPU > 80"
        return
    if not _COMPARISON.search(expression):
        yield f"expression {expression} compares nothing"
    if re.search(r"(?i)\b(and|or|not)\b", expression):
        yield f"expression {expression} must be joined with &, | and !"
    for name in dict.fromkeys(word.upper() for word in _WORD.findall(expression)):
        if name not in NUMBERS and _OURS.match(name):
            yield (
                f"{name} is no number that SuperNodes publish, so OneFlow would take it for 0 or never apply the rule; "
                f"those are {', '.join(sorted(NUMBERS))}"
            )


def _of_time(policy: Mapping[str, Any]) -> Iterator[str]:
    given: Sequence[str] = [key for key in ("recurrence", "start_time") if policy.get(key)]
    if len(given) != 1:
        yield "exactly one of recurrence and start_time must say when it applies"
    elif given[0] == "recurrence" and not _CRON.fullmatch(str(policy["recurrence"]).strip()):
        yield f"recurrence {policy['recurrence']} is no cron line of five fields such as 0 9 * * mon-fri"


class FilterModule:
    """Filters of this file."""

    def filters(self) -> dict[str, Any]:
        """Name to function."""
        return {"policy_faults": policy_faults}
