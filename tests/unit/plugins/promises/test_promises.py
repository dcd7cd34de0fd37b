# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every changing module promises, asked of each in the same way."""

from __future__ import annotations

import pytest
from one_sandbox.oned.calls import is_write
from proof_cloud import ProofCloud
from scenarios import SCENARIOS, Scenario


def cost(by_method: dict[str, int], by_id: bool) -> int:
    """Requests without polls. Whoever waits asks the same again and again, so that a question counts once, and twice
    where it is the first look as well, which it is for an object selected by id."""
    looks = 2 if by_id else 1
    return sum(count if is_writing(method) else min(count, looks) for method, count in by_method.items())


def is_writing(method: str) -> bool:
    """Whether a call changes something, by the names that the sandbox counts them by."""
    return not method.startswith("GET ") and (" " in method or is_write(method))


@pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
def test_check_mode_the_change_and_the_second_run(cloud: ProofCloud, scenario: Scenario) -> None:
    """Check mode writes nothing and predicts; the real run does just that; the second run writes nothing."""
    cloud.user("alice")
    params = {**scenario.start(cloud), **scenario.wish}
    predicted = cloud.ok(scenario.module, check=True, **params)
    assert cloud.calls.writes == 0, f"{scenario}: check mode wrote {cloud.calls.by_method}"
    real = cloud.ok(scenario.module, **params)
    taken = cost(cloud.calls.by_method, "id" in params)
    assert taken <= scenario.calls, f"{scenario}: the run took {cloud.calls.by_method}"
    assert real["changed"] is predicted["changed"] is scenario.changes, f"{scenario}: changed is not as predicted"
    assert real["diff"] == predicted["diff"], f"{scenario}: another difference than predicted"
    assert real["steps"] == predicted["steps"], f"{scenario}: other steps than predicted"
    assert bool(cloud.calls.writes) is scenario.changes, f"{scenario}: wrote {cloud.calls.by_method}"
    again = cloud.run(scenario.module, **params)
    if not again.get("failed"):
        assert again["changed"] is scenario.repeats, f"{scenario}: the second run changed {again['steps']}"
    assert scenario.repeats or cloud.calls.writes == 0, f"{scenario}: the second run wrote {cloud.calls.by_method}"
    assert scenario.repeats or cloud.calls.total <= scenario.again, f"{scenario}: second run {cloud.calls.by_method}"
    assert not again.get("failed"), f"{scenario}: the second run failed: {again.get('msg')}"
