# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Check mode of a whole play on an empty cloud: what earlier tasks would make is not there when later ones look."""

from __future__ import annotations

from typing import Any

from flow_cloud import Cloud

MODULE = "one_service_template"


def predicted(cloud: Cloud, module: str, *missing: str, **params: Any) -> dict[str, Any]:
    """The result of check mode, which warns of what is missing; the real run fails for the first of it."""
    result, writes = cloud.writes(module, check=True, **params)
    assert result["changed"] and writes == 0
    for what in missing:
        sentence = f"{what} does not exist yet: the real run fails unless an earlier task makes it"
        assert str(result["warnings"]).count(sentence) == 1, result["warnings"]
    cloud.sandbox.calls.reset()
    assert "does not exist" in cloud.fails(module, **params)
    assert cloud.sandbox.calls.writes == 0
    return result


def test_a_service_template_of_a_vm_template_and_a_network_to_come(cloud: Cloud) -> None:
    name = cloud.name("t")
    roles = [{"name": role, "template": f"{name}-vm", "cardinality": 1} for role in ("web", "db")]
    template = {"networks": {"Private": f"{name}-net"}, "roles": roles}
    missing = (f"VM template {name}-vm", f"virtual network {name}-net")
    result = predicted(cloud, MODULE, *missing, name=name, template=template)
    assert result["steps"] == [f"create service template {name}"]
    after = result["diff"]["after"]["template"]
    assert after["roles"]["web"]["template_id"] == f"{name}-vm"
    assert after["networks"]["Private"] == f"M|network|Private||id:{name}-net"
    assert result["service_template"]["id"] is None


def test_a_change_to_a_vm_template_to_come(cloud: Cloud) -> None:
    name = cloud.name("t")
    role = {"name": "web", "template_id": cloud.vm_template(f"{name}-vm")}
    cloud.ok(MODULE, name=name, template={"roles": [role]})
    part = {"roles": [{"name": "web", "template": f"{name}-new"}]}
    result = predicted(cloud, MODULE, f"VM template {name}-new", name=name, update="merge", template=part)
    assert result["diff"]["after"]["template"]["roles"]["web"]["template_id"] == f"{name}-new"


def test_a_clone_of_a_service_template_to_come(cloud: Cloud) -> None:
    name = cloud.name("t")
    for part in (None, {"description": "x"}, {"roles": [{"name": "web", "cardinality": 3, "parents": ["db"]}]}):
        given = {} if part is None else {"template": part}
        missing = f"service template {name}-source"
        result = predicted(cloud, MODULE, missing, name=name, clone_from=f"{name}-source", **given)
        assert result["steps"] == [f"clone service template {name}-source to {name}"]
        assert result["diff"]["after"]["name"] == name


def test_a_service_from_a_service_template_to_come(cloud: Cloud) -> None:
    name = cloud.name()
    missing = (f"service template {name}-t", f"virtual network {name}-net", f"VM template {name}-vm")
    result = predicted(
        cloud, "one_service", *missing, name=name, template=f"{name}-t",
        networks_values={"Private": f"{name}-net"}, user_inputs_values={"ROUNDS": 3}, wait_roles=["other"],
        roles=[
            {"name": "web", "cardinality": 3, "elasticity_policies": [
                {"type": "CHANGE", "adjust": 1, "expression": "CPU > 80"},
            ]},
            {"name": "db", "state": "poweroff"},
            {"name": "old", "state": "absent"},
            {"name": "more", "definition": {"template": f"{name}-vm", "cardinality": 1}},
        ],
    )  # fmt: skip
    assert result["steps"][0] == f"start service {name} from service template {name}-t"
    assert f"add role more to service {name}" in result["steps"]
    assert result["diff"]["after"]["roles"]["web"]["cardinality"] == 3
    assert result["service"]["roles"]["more"]["template_id"] == f"{name}-vm"
    assert result["hosts"] == []


def test_ids_and_users_that_are_not_there_still_fail(cloud: Cloud) -> None:
    name = cloud.name("t")
    number = cloud.vm_template(f"{name}-vm")
    template = {"roles": [{"name": "web", "template_id": number}]}
    assert "user nobody-here does not exist" in cloud.fails(
        MODULE, check=True, name=name, template=template, owner="nobody-here"
    )
    assert "does not exist" in cloud.fails(MODULE, check=True, name=name, clone_from="99999")
    assert cloud.fails("one_service", check=True, name=name, template="99999")
