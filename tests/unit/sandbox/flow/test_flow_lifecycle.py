# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Services against an in-process cloud of dummy VMs: faults, policies, restarts."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from one_sandbox import Sandbox
from one_sandbox.drivers.dummy import DummyDriver
from one_sandbox.flow.documents import SERVICE
from one_sandbox.flow.errors import FlowError
from one_sandbox.flow.instantiate import new_service
from one_sandbox.flow.rules import validate


def start(home: Path) -> Sandbox:
    sandbox = Sandbox(home, "dummy", boot_delay=0.02, image_delay=0.02, flow_interval=0.05)
    sandbox.start()
    sandbox.flow.lifecycle.policies.interval = 0.1
    return sandbox


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Sandbox]:
    sandbox = start(tmp_path)
    try:
        yield sandbox
    finally:
        sandbox.stop()


def until(reached: Callable[[], Any], seconds: float = 15) -> Any:
    deadline = time.monotonic() + seconds
    while True:
        found = reached()
        if found:
            return found
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)


def body(cloud: Sandbox, service: int) -> dict[str, Any]:
    return cloud.flow.lifecycle.read(cloud.oned.session_for(0), service).body


def role(body: dict[str, Any], name: str = "web") -> dict[str, Any]:
    found: dict[str, Any] = next(item for item in body["roles"] if item["name"] == name)
    return found


def ids(body: dict[str, Any], name: str = "web") -> list[int]:
    return [node["deploy_id"] for node in role(body, name)["nodes"]]


def in_state(cloud: Sandbox, service: int, state: int) -> dict[str, Any]:
    until(lambda: body(cloud, service)["state"] == state)
    return body(cloud, service)


def call(cloud: Sandbox, method: str, *args: Any) -> Any:
    return cloud.oned.call(cloud.oned.session_for(0), method, *args)


def deploy(cloud: Sandbox, *roles: dict[str, Any], **more: Any) -> int:
    vm_template = call(cloud, "one.template.allocate", f'NAME="t{time.monotonic_ns()}"\nCPU="0.1"\nMEMORY="64"')
    base = {"type": "vm", "cardinality": 1, "template_id": vm_template, "min_vms": 1, "max_vms": 4, "cooldown": 0}
    filled = [{"name": "web", **base, **item} for item in roles]
    template = validate({"name": "s", "deployment": "straight", "roles": filled, **more})
    session = cloud.oned.session_for(0)
    service = cloud.flow.lifecycle.documents.create(session, SERVICE, new_service(template, {})).id
    cloud.flow.lifecycle.deploy(session, service)
    return service


def test_boot_failure_and_retry(cloud: Sandbox) -> None:
    driver = cloud.drivers["dummy"]
    assert isinstance(driver, DummyDriver)
    driver.fail_deploy["*"] = "no luck"
    service = deploy(cloud, {})
    failed = in_state(cloud, service, 7)
    assert role(failed)["state"] == 7
    with pytest.raises(FlowError, match="cannot be undeployed in state: FAILED_DEPLOYING"):
        cloud.flow.lifecycle.undeploy(cloud.oned.session_for(0), service)
    driver.fail_deploy.clear()
    cloud.flow.lifecycle.recover(cloud.oned.session_for(0), service)
    recovered = in_state(cloud, service, 2)
    assert ids(recovered) == ids(failed), "the same VM, booted again"


def test_scaling_that_fails(cloud: Sandbox) -> None:
    service = deploy(cloud, {})
    in_state(cloud, service, 2)
    driver = cloud.drivers["dummy"]
    assert isinstance(driver, DummyDriver)
    driver.fail_deploy["*"] = "no luck"
    session = cloud.oned.session_for(0)
    cloud.flow.lifecycle.scale(session, service, "web", 2, False)
    assert role(in_state(cloud, service, 9))["state"] == 9
    driver.fail_deploy.clear()
    cloud.flow.lifecycle.recover(session, service)
    assert len(ids(in_state(cloud, service, 2))) == 2
    assert "scale_way" not in role(body(cloud, service))


def test_a_child_that_cannot_be_created(cloud: Sandbox) -> None:
    service = deploy(cloud, {"name": "parent"}, {"name": "child", "parents": ["parent"], "template_id": 9999})
    until(lambda: role(body(cloud, service), "child")["state"] == 7)
    found = body(cloud, service)
    assert found["state"] == 1, "the service itself stays DEPLOYING, as on the server"
    assert any("Instantiate failed for template 9999" in entry["message"] for entry in found["log"])


def test_restart_goes_on(tmp_path: Path) -> None:
    first = start(tmp_path)
    running = deploy(first, {})
    in_state(first, running, 2)
    waiting = deploy(first, {}, ready_status_gate=True)
    in_state(first, waiting, 1)
    first.stop()
    second = start(tmp_path)
    try:
        (vm,) = ids(body(second, waiting))
        call(second, "one.vm.update", vm, "READY=YES", 1)
        in_state(second, waiting, 2)
        call(second, "one.vm.action", "poweroff-hard", ids(body(second, running))[0])
        in_state(second, running, 4)
    finally:
        second.stop()


def test_automatic_deletion(cloud: Sandbox) -> None:
    service = deploy(cloud, {"min_vms": 0}, automatic_deletion=True)
    call(cloud, "one.vm.action", "terminate-hard", ids(in_state(cloud, service, 2))[0])
    until(lambda: service not in cloud.oned.pools["document"])


def test_elasticity(cloud: Sandbox) -> None:
    policy = {"type": "CHANGE", "adjust": 1, "expression": "LOAD > 5", "period": 0, "period_number": 2, "cooldown": 1}
    service = deploy(cloud, {"max_vms": 2, "elasticity_policies": [policy]})
    (vm,) = ids(in_state(cloud, service, 2))
    until(lambda: role(body(cloud, service))["elasticity_policies"][0].get("expression_evaluated") == "LOAD[--] > 5")
    call(cloud, "one.vm.update", vm, 'LOAD="7.5"', 1)
    until(lambda: len(ids(body(cloud, service))) == 2)
    in_state(cloud, service, 10)
    found = in_state(cloud, service, 2)
    assert role(found)["cooldown"] == 1
    assert role(found)["cardinality"] == 2
    until(lambda: role(body(cloud, service))["elasticity_policies"][0].get("true_evals") == 2)
    assert len(ids(body(cloud, service))) == 2, "never above max_vms"


def test_schedule(cloud: Sandbox) -> None:
    service = deploy(cloud, {})
    found = in_state(cloud, service, 2)
    assert len(ids(found)) == 1
    # What was due before OneFlow has looked for the first time is not made up for, so the time comes last.
    policy = {"type": "CARDINALITY", "adjust": 3, "start_time": str(int(time.time()) + 2)}
    found["roles"][0]["scheduled_policies"] = [policy]
    cloud.flow.lifecycle.update(cloud.oned.session_for(0), service, json.dumps(found), False)
    until(lambda: len(ids(body(cloud, service))) == 3)


def test_references_to_parents(cloud: Sandbox) -> None:
    contents = {"PEER": "vm ${parent.id}", "NONE": "a${other.x}b"}
    service = deploy(cloud, {"name": "parent"}, {"name": "child", "parents": ["parent"], "template_contents": contents})
    found = in_state(cloud, service, 2)
    child = cloud.oned.pools["vm"][ids(found, "child")[0]].data["user_template"]
    assert child["PEER"] == f"vm {ids(found, 'parent')[0]}"
    assert child["NONE"] == "ab"
