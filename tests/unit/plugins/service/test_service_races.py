# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs at once with one name of a service or service template: one object is left, and both end well."""

from __future__ import annotations

import importlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.flow_session import FlowSession
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.runner import Resource, execute
from ansible_collections.opennebula.flower.plugins.module_utils.one.document import find as service_find
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneError
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.ops import ServiceOps
from ansible_collections.opennebula.flower.plugins.module_utils.one.service.resource import ServiceResource
from ansible_collections.opennebula.flower.plugins.module_utils.one.service_template.resource import (
    ServiceTemplateResource,
)
from flow_cloud import Cloud
from module_runner import MODULES

ROUNDS = 6
PATIENCE = (0.2, 0.5, 1.0, 2.0)


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch, no_patience: None) -> None:
    monkeypatch.setattr(service_find, "PATIENCE", PATIENCE)


def params_of(cloud: Cloud, module: str, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters of a module as Ansible would fill them in."""
    spec = importlib.import_module(f"{MODULES}.{module}").argument_spec()
    defaults = {name: option.get("default") for name, option in spec.items()}
    quick = {"wait_interval": 0.05} if module == "one_service" else {}
    return {**defaults, "api_timeout": 30.0, **cloud.api, **quick, **given}


def resource(cloud: Cloud, module: str, given: dict[str, Any]) -> Resource[Any]:
    params = params_of(cloud, module, given)
    session = FlowSession(params)
    if module == "one_service_template":
        return ServiceTemplateResource(session.flow, session.lookups, params)
    ops = ServiceOps(session.flow, session.connect, ServiceResource.waiting(params))
    return ServiceResource(session.flow, ops, session.lookups, params)


def met(found: Resource[Any], meeting: threading.Barrier) -> Resource[Any]:
    """The resource, which has looked at the cloud before any of the others begins to write."""
    plan: Callable[[Any], Any] = found.plan
    first = iter([True])

    def plan_together(before: Any) -> Any:
        if next(first, False):
            meeting.wait(20)
        return plan(before)

    found.plan = plan_together  # type: ignore[method-assign]
    return found


def at_once(cloud: Cloud, module: str, given: dict[str, Any], runs: int = 2) -> list[dict[str, Any]]:
    meeting = threading.Barrier(runs)
    with ThreadPoolExecutor(runs) as threads:
        started = [
            threads.submit(lambda: execute(met(resource(cloud, module, given), meeting), False))
            for _turn in range(runs)
        ]
        return [one.result() for one in started]


@pytest.mark.parametrize("runs", [2, 4])
@pytest.mark.parametrize("mark", [None, "race"])
def test_service_templates(cloud: Cloud, runs: int, mark: str | None) -> None:
    for _round in range(ROUNDS):
        name = cloud.name("race")
        results = at_once(cloud, "one_service_template", {
            "name": name, "mark": mark, "template": {"roles": []}, "permissions": "640", "description": "x",
        }, runs)  # fmt: skip
        left = cloud.ok("one_service_template_info", name=name)["service_templates"]
        assert len(left) == 1 and left[0]["permissions"] == "640"
        assert {result["service_template"]["id"] for result in results} == {left[0]["id"]}
        warned = [result for result in results if result.get("warnings")]
        assert all("another run made service template" in str(result["warnings"]) for result in warned)
        assert len(warned) == runs - 1 and sum(result["changed"] for result in results) >= 1


def test_clones_of_service_templates(cloud: Cloud) -> None:
    source = cloud.federation(cloud.name())
    for kind in ("none", "templates"):
        name = cloud.name("race")
        results = at_once(cloud, "one_service_template", {"name": name, "clone_from": source, "clone_type": kind})
        left = cloud.ok("one_service_template_info", name=name)["service_templates"]
        assert len(left) == 1 and left[0]["template"]["name"] == name
        assert {result["service_template"]["id"] for result in results} == {left[0]["id"]}


def test_a_clone_that_lost_takes_back_its_own_and_not_the_winner(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """The loser's leftover has the lower id, as when the winner began later and was faster."""
    source = cloud.federation(cloud.name())
    name = cloud.name("race")
    mine = resource(cloud, "one_service_template", {"name": name, "clone_from": source, "clone_type": "templates"})
    flow = FlowSession(cloud.api).flow
    made: list[int] = []

    def lose(number: int, clone: str, recursive: str) -> dict[str, Any]:
        body = {**flow.template(number)["TEMPLATE"]["BODY"], "name": clone}
        body.pop("registration_time", None)
        made.append(int(flow.create_template(body)["ID"]))
        made.append(int(flow.clone_template(number, clone, recursive)["ID"]))
        raise OneError("[one.template.clone] NAME is already taken by TEMPLATE 7.")

    monkeypatch.setattr(mine._flow, "clone_template", lose)
    result = execute(mine, False)
    left = cloud.ok("one_service_template_info", name=name)["service_templates"]
    assert made[0] < made[1] and [one["id"] for one in left] == [made[1]] == [result["service_template"]["id"]]


@pytest.mark.parametrize("mark", [None, "race"])
def test_services(cloud: Cloud, mark: str | None) -> None:
    for _round in range(ROUNDS):
        name = cloud.federation(cloud.name(), gate=False, nodes=1)
        results = at_once(cloud, "one_service", {"name": name, "template": name, "mark": mark, "permissions": "640"})
        left = cloud.ok("one_service_info", name=name)["services"]
        assert len(left) == 1 and left[0]["state"] == "RUNNING" and left[0]["permissions"] == "640"
        assert {result["service"]["id"] for result in results} == {left[0]["id"]}
        assert all(len(result["hosts"]) == 2 for result in results)
        assert len([result for result in results if result.get("warnings")]) == 1
        assert sorted(cloud.vms_of_services(name)) == sorted(vm["id"] for vm in left[0]["vms"])


def test_services_without_waiting(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False, nodes=1)
    results = at_once(cloud, "one_service", {"name": name, "template": name, "wait": False})
    cloud.wait(lambda: len(cloud.ok("one_service_info", name=name)["services"]) == 1, "the end of the duplicate")
    assert len({result["service"]["id"] for result in results}) == 1


def test_removals(cloud: Cloud) -> None:
    for _round in range(3):
        name = cloud.federation(cloud.name(), gate=False, nodes=1)
        cloud.ok("one_service", name=name, template=name)
        assert [result["service"] for result in at_once(cloud, "one_service", {"name": name, "state": "absent"})] == [
            {}, {},
        ]  # fmt: skip
        at_once(cloud, "one_service_template", {"name": name, "state": "absent"})
        assert cloud.ok("one_service_info", name=name)["services"] == []
        assert cloud.ok("one_service_template_info", name=name)["service_templates"] == []


def test_what_was_there_before_is_no_rival(cloud: Cloud) -> None:
    """A template of the same name and user, but of another federation, is not given way to."""
    name = cloud.name("race")
    theirs = cloud.ok("one_service_template", name=name, template={"roles": []}, mark="theirs")["service_template"]
    other = cloud.user("rival")
    number = int(cloud.flow_of(other).create_template({"name": name, "roles": []})["ID"])
    mine = cloud.ok("one_service_template", name=name, template={"roles": []}, owner="rival", id=number)
    assert mine["service_template"]["id"] == number != theirs["id"]
