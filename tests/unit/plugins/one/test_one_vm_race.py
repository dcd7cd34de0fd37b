# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs at once on one name: VM names are not unique in OpenNebula, so nothing but the module prevents two VMs."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection, Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.objects import State
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import execute
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import text
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm.set import VmResource
from ansible_collections.opennebula.flower.plugins.module_utils.one.vm.vm import list_vms
from ansible_collections.opennebula.flower.plugins.modules import one_vm

RUNS = 2


def params_of(cloud: Any, **given: Any) -> dict[str, Any]:
    """Return the parameters of one_vm as AnsibleModule fills them in."""
    seen: dict[str, Any] = {}

    class Module:
        def __init__(self, argument_spec: dict[str, Any], **_rules: Any) -> None:
            seen.update({name: option.get("default") for name, option in argument_spec.items()})

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(one_vm, "AnsibleModule", Module)
        patch.setattr(one_vm, "run", lambda module, make: None)
        one_vm.main()
    return {**seen, **cloud.api, "wait_interval": 0.05, "wait_timeout": 60, **given}


class Together(VmResource):
    """Both runs have looked before either of them writes."""

    barrier: threading.Barrier

    def read(self) -> list[State]:
        found = super().read()
        self.barrier.wait(30)
        return found


def at_once(cloud: Any, **given: Any) -> list[dict[str, Any]]:
    """Run the same task twice at the same time and return both results."""
    barrier = threading.Barrier(RUNS)
    params = params_of(cloud, **given)

    def one_run() -> dict[str, Any]:
        resource = Together(Connection(Settings.from_params(params)), params)
        resource.barrier = barrier
        return execute(resource, False)

    with ThreadPoolExecutor(RUNS) as pool:
        return [future.result(120) for future in [pool.submit(one_run) for _run in range(RUNS)]]


def alive(cloud: Any, name: str) -> list[str]:
    return sorted(text(body, "NAME") for body in list_vms(cloud.admin) if text(body, "NAME").startswith(name))


@pytest.mark.parametrize("state", ["running", "poweroff"])
def test_two_runs_on_one_name_end_with_one_vm(cloud, name, vm_template, state) -> None:
    for attempt in range(3):
        wanted = f"{name}-{attempt}"
        first, second = at_once(cloud, name=wanted, template=vm_template, state=state, mark="fed")
        assert first["vm"]["id"] == second["vm"]["id"]
        assert first["vm"]["state"] == second["vm"]["state"] == state.upper()
        assert alive(cloud, wanted) == [wanted]
        warnings = [*first.get("warnings", []), *second.get("warnings", [])]
        assert len(warnings) == 1 and f"another run made VM {wanted} (id {first['vm']['id']})" in warnings[0]


def test_two_runs_with_a_count_end_with_exactly_that_many(cloud, name, vm_template) -> None:
    first, second = at_once(cloud, name=name, count=3, template=vm_template)
    assert [vm["id"] for vm in first["vms"]] == [vm["id"] for vm in second["vms"]]
    assert alive(cloud, name) == [f"{name}-{index}" for index in range(3)]
    smaller, other = at_once(cloud, name=name, count=1)
    assert [vm["name"] for vm in smaller["vms"]] == [vm["name"] for vm in other["vms"]] == [f"{name}-0"]
    assert alive(cloud, name) == [f"{name}-0"]
    assert [result["vms"] for result in at_once(cloud, name=name, count=0)] == [[], []]


def test_two_runs_of_one_power_state(cloud, name, vm_template) -> None:
    assert cloud.run("one_vm", name=name, template=vm_template).ok
    for state in ("poweroff", "running", "suspended", "absent"):
        results = at_once(cloud, name=name, state=state)
        assert len({str([vm["state"] for vm in result["vms"]]) for result in results}) == 1
    assert alive(cloud, name) == []


def test_what_was_there_before_is_no_rival(cloud, name, vm_template) -> None:
    """A VM that another owner has is passed over by name and owner: it must not be taken for one made just now."""
    cloud.user("alice")
    older = cloud.run("one_vm", name=name, template=vm_template)["vm"]
    assert cloud.run("one_vm", id=older["id"], group="users", permissions="644").ok
    made = cloud.run("one_vm", name=name, template=vm_template, owner="alice")
    assert made.ok and made["vm"]["owner"]["name"] == "alice" and made["vm"]["id"] != older["id"]
    assert alive(cloud, name) == [name, name]
