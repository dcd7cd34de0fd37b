# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module one_service: bounds, cooldown and policies of roles, of services that live and of new ones."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.document.document import body_of
from flow_cloud import Cloud

MODULE = "one_service"
GROW = {"type": "CHANGE", "adjust": 1, "expression": "CPU > 80", "period": 30, "period_number": 3}
NIGHT = {"type": "CARDINALITY", "adjust": 1, "recurrence": "0 3 * * *"}


@pytest.fixture
def service(cloud: Cloud) -> dict[str, Any]:
    """A running service of one superlink and two supernodes, of which there may be one to four."""
    name = cloud.federation(cloud.name(), gate=False)
    found: dict[str, Any] = cloud.ok(MODULE, name=name, template=name)["service"]
    return found


def supernode(cloud: Cloud, service: dict[str, Any]) -> dict[str, Any]:
    """The role as OneFlow has it, without what it notes in a policy whenever it looks at it."""
    roles = body_of(cloud.flow.service(service["id"]))["roles"]
    found = next(dict(role) for role in roles if role["name"] == "supernode")
    for policy in [*(found.get("elasticity_policies") or []), *(found.get("scheduled_policies") or [])]:
        for note in ("last_eval", "true_evals", "expression_evaluated"):
            policy.pop(note, None)
    return found


@pytest.mark.parametrize(
    "wanted",
    [
        {"min_vms": 0}, {"max_vms": 8}, {"cooldown": 7}, {"elasticity_policies": [GROW]},
        {"scheduled_policies": [NIGHT]},
        {"min_vms": 2, "max_vms": 2, "cooldown": 0, "elasticity_policies": [GROW], "scheduled_policies": [NIGHT]},
    ],
)  # fmt: skip
def test_settings_of_a_living_role(cloud: Cloud, service: dict[str, Any], wanted: dict[str, Any]) -> None:
    before = supernode(cloud, service)
    wish = {"name": service["name"], "roles": [{"name": "supernode", **wanted}]}
    result = cloud.converge(MODULE, **wish)
    names = [key for key in wanted if before.get(key) != wanted[key]]
    assert result["steps"] == [f"set {', '.join(names)} of role supernode of service {service['name']}"]
    assert result["diff"]["after"]["roles"]["supernode"].items() >= wanted.items()
    after = supernode(cloud, service)
    assert {key: after[key] for key in wanted} == wanted
    # Nothing else was touched: the VMs, the state, the rest of the role.
    assert {key: value for key, value in after.items() if key not in wanted} == {
        key: value for key, value in before.items() if key not in wanted
    }
    assert result["service"]["roles"]["supernode"]["vms"] == service["roles"]["supernode"]["vms"]


def test_a_change_takes_three_calls(cloud: Cloud, service: dict[str, Any]) -> None:
    cloud.sandbox.calls.reset()
    cloud.ok(MODULE, id=service["id"], roles=[{"name": "supernode", "max_vms": 5}, {"name": "superlink", "max_vms": 2}])
    assert cloud.sandbox.calls.by_method["PUT /service/:id"] == 1
    assert sum(count for call, count in cloud.sandbox.calls.by_method.items() if call != "one.vmpool.infoset") == 3


def test_policies_are_replaced_and_taken_away(cloud: Cloud, service: dict[str, Any]) -> None:
    def wish(*policies: dict[str, Any]) -> dict[str, Any]:
        return {"name": service["name"], "roles": [{"name": "supernode", "elasticity_policies": list(policies)}]}

    cloud.converge(MODULE, **wish(GROW))
    # What OneFlow notes in a policy is no difference.
    cloud.flow.replace_service(service["id"], _noted(body_of(cloud.flow.service(service["id"]))))
    assert not cloud.ok(MODULE, **wish(GROW))["changed"]
    assert not cloud.ok(MODULE, **wish({**GROW, "adjust": "1", "period": "30"}))["changed"]
    both = cloud.converge(MODULE, **wish({**GROW, "adjust": -1, "expression": "CPU < 5"}, GROW))
    assert [policy["adjust"] for policy in both["service"]["roles"]["supernode"]["elasticity_policies"]] == [-1, 1]
    assert cloud.converge(MODULE, **wish(GROW, {**GROW, "adjust": -1, "expression": "CPU < 5"}))["changed"]
    assert cloud.converge(MODULE, **wish())["changed"]
    assert supernode(cloud, service)["elasticity_policies"] == []


def _noted(body: dict[str, Any]) -> dict[str, Any]:
    for role in body["roles"]:
        for policy in role.get("elasticity_policies") or []:
            policy.update(last_eval=1, true_evals=2, expression_evaluated="CPU[3] > 80")
    return body


@pytest.mark.parametrize(
    ("wanted", "steps"),
    [
        ({"max_vms": 6, "cardinality": 5}, ["set max_vms", "scale from 2 to 5"]),
        ({"min_vms": 3, "cardinality": 3}, ["scale from 2 to 3", "set min_vms"]),
        ({"min_vms": 5, "max_vms": 5, "cardinality": 5}, ["set max_vms", "scale from 2 to 5", "set min_vms"]),
        ({"max_vms": 1, "cardinality": 1}, ["scale from 2 to 1", "set max_vms"]),
        ({"min_vms": 0, "cardinality": 0}, ["set min_vms", "scale from 2 to 0"]),
    ],
)
def test_bounds_and_scaling_in_one_task(
    cloud: Cloud, service: dict[str, Any], wanted: dict[str, Any], steps: list[str]
) -> None:
    result = cloud.converge(MODULE, name=service["name"], roles=[{"name": "supernode", **wanted}])
    role = supernode(cloud, service)
    assert {key: role[key] for key in wanted} == wanted and len(role["nodes"]) == wanted["cardinality"]
    told = [step.replace(f" of role supernode of service {service['name']}", "") for step in result["steps"]]
    assert [step.replace(f" role supernode of service {service['name']}", "") for step in told] == steps


@pytest.mark.parametrize(
    ("wanted", "text"),
    [
        ({"max_vms": 1}, "would have 2 VMs, outside its bounds (1 to 1)"),
        ({"min_vms": 3}, "would have 2 VMs, outside its bounds (3 to 4)"),
        ({"max_vms": 3, "cardinality": 4}, "takes at most 3 VMs, not 4"),
        ({"cooldown": -1}, "cooldown cannot be -1"),
        ({"max_vms": 1, "cardinality": 3, "force": True}, "outside its bounds"),
    ],
)
def test_what_oneflow_would_refuse_is_refused_at_once(
    cloud: Cloud, service: dict[str, Any], wanted: dict[str, Any], text: str
) -> None:
    force = wanted.get("force", False)
    role = {"name": "supernode", **{key: value for key, value in wanted.items() if key != "force"}}
    for check in (True, False):
        assert text in cloud.fails(MODULE, check=check, name=service["name"], roles=[role], force=force)
    assert supernode(cloud, service)["max_vms"] == 4


def test_policies_need_bounds(cloud: Cloud) -> None:
    name = cloud.name()
    number = cloud.vm_template(f"{name}-vm")
    cloud.ok("one_service_template", name=name, template={
        "roles": [{"name": "node", "template_id": number, "cardinality": 1}],
    })  # fmt: skip
    wish: dict[str, Any] = {"name": name, "roles": [{"name": "node", "elasticity_policies": [GROW]}]}
    assert "give min_vms and max_vms" in cloud.fails(MODULE, template=name, **wish)
    cloud.ok(MODULE, name=name, template=name)
    assert "give min_vms and max_vms" in cloud.fails(MODULE, check=True, **wish)
    wish["roles"][0].update(min_vms=1, max_vms=2)
    assert cloud.converge(MODULE, **wish)["changed"]


def test_a_policy_with_a_fault_is_told_in_oneflows_words(cloud: Cloud, service: dict[str, Any]) -> None:
    text = cloud.fails(MODULE, name=service["name"], roles=[
        {"name": "supernode", "elasticity_policies": [{**GROW, "expression": "CPU >"}]},
    ])  # fmt: skip
    assert "Role 'supernode', elasticity policy #0 'expression' parse error" in text
    assert "elasticity_policies" not in supernode(cloud, service)


def test_settings_from_the_start(cloud: Cloud) -> None:
    name = cloud.federation(cloud.name(), gate=False)
    wish: dict[str, Any] = {"name": name, "template": name, "roles": [
        {"name": "supernode", "cardinality": 5, "max_vms": 6, "cooldown": 3, "elasticity_policies": [GROW]},
    ]}  # fmt: skip
    result = cloud.converge(MODULE, **wish)
    assert len(result["steps"]) == 1
    role = result["service"]["roles"]["supernode"]
    assert (role["max_vms"], role["cooldown"], len(role["vms"])) == (6, 3, 5)
    assert "outside its bounds" in cloud.fails(MODULE, name=cloud.name(), template=name, roles=[
        {"name": "supernode", "max_vms": 1},
    ])  # fmt: skip


def test_policies_of_the_template_are_replaced(cloud: Cloud) -> None:
    """OneFlow joins the policies given at the start to those of the template; here they are the complete list."""
    name = cloud.name()
    number = cloud.vm_template(f"{name}-vm")
    role = {"name": "node", "template_id": number, "cardinality": 1, "min_vms": 1, "max_vms": 3}
    cloud.ok("one_service_template", name=name, template={"roles": [{**role, "elasticity_policies": [GROW]}]})
    other = {**GROW, "expression": "MEMORY > 50"}

    def start(*policies: dict[str, Any]) -> list[str]:
        wish = {"name": cloud.name(), "template": name, "roles": [{"name": "node", "elasticity_policies": policies}]}
        steps: list[str] = cloud.converge(MODULE, **wish)["steps"]
        return steps

    assert len(start(GROW)) == 1 and len(start(GROW, other)) == 1
    assert len(start(other)) == 2 and len(start()) == 2


def test_somebody_else_writes_in_between(
    cloud: Cloud, service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """OneFlow refuses a body whose fixed parts are old; it is read again then."""
    replace = type(cloud.flow).replace_service
    seen: list[int] = []

    def interrupted(flow: Any, number: int, body: dict[str, Any]) -> None:
        seen.append(len(body["log"]))
        if len(seen) == 1:
            cloud.flow.scale(number, "supernode", 3)
            cloud.in_state(service["name"], "RUNNING")
        replace(flow, number, body)

    monkeypatch.setattr(type(cloud.flow), "replace_service", interrupted)
    cloud.ok(MODULE, name=service["name"], roles=[{"name": "supernode", "max_vms": 9}])
    assert len(seen) == 2 and seen[1] > seen[0]
    role = supernode(cloud, service)
    assert (role["max_vms"], role["cardinality"], len(role["nodes"])) == (9, 3, 3)


def test_a_body_that_is_never_right_is_given_up(
    cloud: Cloud, service: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace = type(cloud.flow).replace_service
    tries: list[int] = []

    def spoiled(flow: Any, number: int, body: dict[str, Any]) -> None:
        tries.append(number)
        replace(flow, number, {**body, "start_time": 1})

    monkeypatch.setattr(type(cloud.flow), "replace_service", spoiled)
    text = cloud.fails(MODULE, name=service["name"], roles=[{"name": "supernode", "max_vms": 9}])
    assert "Immutable value: `service/start_time` can not be changed" in text and len(tries) == 5


def test_an_added_role_has_its_settings(cloud: Cloud, service: dict[str, Any]) -> None:
    number = service["roles"]["supernode"]["template_id"]
    result = cloud.converge(MODULE, name=service["name"], roles=[
        {"name": "more", "definition": {"template_id": number, "cardinality": 1}, "min_vms": 1, "max_vms": 2},
    ])  # fmt: skip
    assert (result["service"]["roles"]["more"]["min_vms"], result["service"]["roles"]["more"]["max_vms"]) == (1, 2)
