# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What every changing module promises, asked of each in the same way."""

from __future__ import annotations

import importlib
from unittest import mock

import pytest
from module_runner import MODULES
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
    selected = scenario.start(cloud)
    assert set(selected) == scenario.start.options, f"{scenario}: selects(…) says something else"
    params = {**selected, **scenario.wish}
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


# How something is done or waited for, and whose cloud it is: no wishes about an object.
STEERING = {
    *("api_url", "api_username", "api_password", "api_timeout", "validate_certs", "ca_path", "client_cert"),
    *("client_key", "oneflow_url", "wait", "wait_timeout", "wait_interval", "wait_for", "wait_roles"),
    *("wait_attributes", "wait_hopeless", "network", "proxy"),
}
# The sandbox makes no private copies of templates; what is sent for one is asserted in the tests of one_vm.
NOT_EMULATED = {"one_vm": {"persistent"}}


@pytest.mark.parametrize("module", sorted({scenario.module for scenario in SCENARIOS}))
def test_every_option_is_promised(module: str) -> None:
    """Each option of the modules is in a scenario, unless it only steers."""
    mine = [scenario for scenario in SCENARIOS if scenario.module == module]
    asked = {option for scenario in mine for option in {*scenario.start.options, *scenario.wish}}
    missing = set(argument_spec(module)) - STEERING - NOT_EMULATED.get(module, set()) - asked
    assert not missing, f"{module}: options without a scenario"


def argument_spec(module: str) -> dict[str, dict[str, object]]:
    """What a module hands to AnsibleModule."""
    loaded = importlib.import_module(f"{MODULES}.{module}")
    with mock.patch.object(loaded, "AnsibleModule", side_effect=InterruptedError) as made:
        with pytest.raises(InterruptedError):
            loaded.main()
    found: dict[str, dict[str, object]] = made.call_args.kwargs["argument_spec"]
    return found
