# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How far a policy moves a role, and what its expression sees."""

from __future__ import annotations

from typing import Any

import pytest
from one_sandbox.flow.policies import new_cardinality

ROLE = {"cardinality": 4, "min_vms": 2, "max_vms": 6}


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ({"type": "CHANGE", "adjust": 1}, 5),
        ({"type": "CHANGE", "adjust": 9}, 6),
        ({"type": "CHANGE", "adjust": -9}, 2),
        ({"type": "CARDINALITY", "adjust": 5}, 5),
        ({"type": "CARDINALITY", "adjust": 1}, 1),
        ({"type": "CARDINALITY", "adjust": 50}, 6),
        ({"type": "PERCENTAGE_CHANGE", "adjust": 50}, 6),
        ({"type": "PERCENTAGE_CHANGE", "adjust": 10}, 5),
        ({"type": "PERCENTAGE_CHANGE", "adjust": 10, "min_adjust_step": 2}, 6),
        ({"type": "PERCENTAGE_CHANGE", "adjust": -25}, 3),
        ({"type": "change", "adjust": 1}, 5),
        ({"type": "OTHER", "adjust": 1}, 4),
    ],
)
def test_new_cardinality(policy: dict[str, Any], expected: int) -> None:
    assert new_cardinality(ROLE, policy) == expected


def test_a_role_above_its_maximum_is_not_cut() -> None:
    assert new_cardinality({"cardinality": 8, "min_vms": 1, "max_vms": 6}, {"type": "CHANGE", "adjust": 1}) == 8
