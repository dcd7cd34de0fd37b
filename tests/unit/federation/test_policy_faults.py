# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Policies that OneFlow would take and that could never do what is meant."""

from __future__ import annotations

from typing import Any

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.filter.policy_faults import policy_faults

UP = {"type": "CHANGE", "adjust": 1, "expression": "FL_CLIENT_STATUS > 1.5", "period": 60, "period_number": 3}
NIGHT = {"type": "CARDINALITY", "adjust": 2, "recurrence": "0 18 * * mon-fri"}
ENOUGH = {"ONEAPP_FL_MIN_FIT_CLIENTS": "1", "ONEAPP_FL_MIN_AVAILABLE_CLIENTS": "1"}


def faults(kind: str, **changes: Any) -> list[str]:
    policy = {**(UP if kind == "elasticity" else NIGHT), **changes}
    return policy_faults({kind: [{key: value for key, value in policy.items() if value is not None}]}, 2, 6, ENOUGH)


def test_the_policies_of_the_manual_are_well() -> None:
    assert policy_faults({"elasticity": [UP], "scheduled": [NIGHT]}, 2, 6, {}) == []
    assert faults("elasticity", expression='!("CPU" > 80) & FL_ROUND_NUMBER = 0 | MEMORY < 20') == []
    assert faults("scheduled", recurrence="@daily") == []
    assert faults("scheduled", recurrence=None, start_time="2nd Jun 2030 17:00") == []
    assert faults("elasticity", type="PERCENTAGE_CHANGE", adjust="-25", min_adjust_step=2, cooldown=300) == []


@pytest.mark.parametrize(
    ("kind", "changes", "words"),
    [
        ("elasticity", {"type": "change"}, "type must be one of CHANGE, CARDINALITY, PERCENTAGE_CHANGE, not 'change'"),
        ("elasticity", {"adjust": None}, "adjust must be a whole number other than 0, not None"),
        ("elasticity", {"adjust": 0}, "adjust must be a whole number other than 0, not 0"),
        ("elasticity", {"adjust": 1.5}, "adjust must be a whole number other than 0, not 1.5"),
        ("elasticity", {"type": "CARDINALITY"}, "CARDINALITY 1 is outside 2 to 6"),
        ("scheduled", {"adjust": 7}, "CARDINALITY 7 is outside 2 to 6"),
        ("elasticity", {"expresion": "CPU > 1"}, "OneFlow does not know expresion"),
        ("elasticity", {"recurrence": "@daily"}, "OneFlow does not know recurrence"),
        ("elasticity", {"expression": ""}, "expression is missing"),
        ("elasticity", {"expression": "CPU"}, "expression CPU compares nothing"),
        ("elasticity", {"expression": "CPU > 80 and CPU < 90"}, "must be joined with &, | and !"),
        ("elasticity", {"expression": "FL_NODE_READY = 1"}, "FL_NODE_READY is no number that SuperNodes publish"),
        ("elasticity", {"expression": "ready > 0"}, "READY is no number that SuperNodes publish"),
        ("elasticity", {"expression": "FL_CLIENT_STATE > 1"}, "FL_CLIENT_STATE is no number"),
        ("elasticity", {"min_adjust_step": 2}, "min_adjust_step has an effect on PERCENTAGE_CHANGE only"),
        ("elasticity", {"period": "a minute"}, "period must be a whole number, 0 or more, not 'a minute'"),
        ("scheduled", {"recurrence": None}, "exactly one of recurrence and start_time"),
        ("scheduled", {"start_time": "2030-01-01"}, "exactly one of recurrence and start_time"),
        ("scheduled", {"recurrence": "0 9 * *"}, "no cron line of five fields"),
    ],
)
def test_a_policy_that_cannot_work_is_told(kind: str, changes: dict[str, Any], words: str) -> None:
    found = faults(kind, **changes)
    assert len(found) == 1
    assert found[0].startswith(f"{kind} policy 1: ") and words in found[0]


def test_training_must_not_starve_when_the_federation_shrinks() -> None:
    # The table's default is 2, also where nobody has said anything, and with or without policies.
    for policies in ({"elasticity": [UP]}, {"elasticity": [], "scheduled": []}):
        assert [fault.split(" is ")[0] for fault in policy_faults(policies, 1, 6, {})] == list(ENOUGH)
        assert policy_faults(policies, 2, 6, {}) == []
    told = policy_faults({"elasticity": []}, 2, 6, {"ONEAPP_FL_MIN_FIT_CLIENTS": 3})
    assert told == [
        "ONEAPP_FL_MIN_FIT_CLIENTS is 3, so federation_supernodes_min must be 3 at least and not 2: with fewer "
        "SuperNodes no round would begin"
    ]


def test_something_else_than_policies_is_refused() -> None:
    assert policy_faults({"elasticity": ["CPU > 80"]}, 2, 6, ENOUGH) == ["elasticity policy 1: is no dictionary"]
    with pytest.raises(AnsibleFilterError, match="needs lists of policies"):
        policy_faults([UP], 2, 6)
