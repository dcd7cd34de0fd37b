# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Slips that OneFlow stores without a word, or answers with words of its own: refused before anything is written."""

from __future__ import annotations

import time
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.service_template.checks import KNOWN_KEYS
from flow_cloud import Cloud
from one_sandbox.flow.schema import VM_ROLE, VR_ROLE

MODULE = "one_service_template"


def refused(cloud: Cloud, module: str = MODULE, **params: Any) -> str:
    """The sentence of a refusal, the same in check mode and for real, without a write."""
    cloud.sandbox.calls.reset()
    sentence = cloud.fails(module, check=True, **params)
    assert cloud.fails(module, **params) == sentence
    assert cloud.sandbox.calls.writes == 0, cloud.sandbox.calls.by_method
    return sentence


def test_every_key_of_oneflow_is_known() -> None:
    assert set(VM_ROLE["properties"]) | set(VR_ROLE["properties"]) <= KNOWN_KEYS


@pytest.mark.parametrize(
    ("key", "meant"),
    [("cardinalty", "cardinality"), ("Cardinality", "cardinality"), ("min-vms", "min_vms"), ("parent", "parents"),
     ("elasticity_policy", "elasticity_policies"), ("vm_templates", "vm_template")],
)  # fmt: skip
def test_a_misspelt_key_of_a_role_is_refused(cloud: Cloud, key: str, meant: str) -> None:
    name = cloud.name("t")
    number = cloud.vm_template(f"{name}-vm")
    sentence = refused(cloud, name=name, template={"roles": [{"name": "web", "template_id": number, key: 1}]})
    assert sentence == (f"OneFlow does not know the key {key} of role web of service template {name}; write {meant}")


def test_a_foreign_key_of_a_role_is_kept_and_told(cloud: Cloud) -> None:
    name = cloud.name("t")
    role = {"name": "web", "template_id": cloud.vm_template(f"{name}-vm"), "colour": "red"}
    result = cloud.converge(MODULE, name=name, template={"team": "blue", "roles": [role]})
    told = f"OneFlow does not know the key colour of role web of service template {name}, and ignores it"
    assert told in str(result["warnings"])
    assert result["service_template"]["template"]["roles"][0]["colour"] == "red"
    assert result["service_template"]["template"]["team"] == "blue"


def test_the_keys_of_opennebula_6_and_of_sunstone_bring_no_warning(cloud: Cloud) -> None:
    name = cloud.name("t")
    role = {"name": "web", "vm_template": cloud.vm_template(f"{name}-vm"), "vm_template_contents": "MEMORY = 96"}
    result = cloud.converge(MODULE, name=name, template={"roles": [{**role, "vm_template_id_content": {}}]})
    assert "warnings" not in result


def test_parents_that_are_no_roles_are_refused(cloud: Cloud) -> None:
    name = cloud.name("t")
    number = cloud.vm_template(f"{name}-vm")
    roles = [{"name": "db", "template_id": number}, {"name": "web", "template_id": number, "parents": ["bd"]}]
    sentence = refused(cloud, name=name, template={"deployment": "straight", "roles": roles})
    assert sentence == (
        f"role web of service template {name} has the parent bd, which is no role of it; parents may name db"
    )
    roles[1]["parents"] = ["db"]
    cloud.converge(MODULE, name=name, template={"deployment": "straight", "roles": roles})
    assert "has the parent db, which is no role of it" in refused(cloud, name=name, remove_attributes=["roles.db"])


def test_a_role_without_vm_template_is_refused_with_the_way_out(cloud: Cloud) -> None:
    name = cloud.name("t")
    number = cloud.vm_template(f"{name}-vm")
    part = {"roles": [{"name": "web", "cardinality": 2}]}
    where = f"role web of service template {name} has no VM template"
    assert refused(cloud, name=name, template=part) == f"{where}; give template or template_id in it"
    cloud.converge(MODULE, name=name, template={"roles": [{"name": "web", "template_id": number}]})
    assert refused(cloud, name=name, template=part) == f"{where}; give the whole role, or set update to merge"
    merged = cloud.converge(MODULE, name=name, template=part, update="merge")
    assert merged["service_template"]["template"]["roles"][0]["cardinality"] == 2
    more = {"roles": [{"name": "db", "cardinality": 1}]}
    assert "role db of" in refused(cloud, name=name, template=more, update="merge")


def service(cloud: Cloud) -> str:
    """The name of a running service of one role, web."""
    name = cloud.name()
    role = {"name": "web", "template_id": cloud.vm_template(f"{name}-vm"), "cardinality": 1}
    cloud.ok(MODULE, name=name, template={"roles": [role]})
    cloud.ok("one_service", name=name, template=name)
    return name


def test_a_role_is_given_once(cloud: Cloud) -> None:
    roles = [{"name": "web", "cardinality": 1}, {"name": "web", "state": "running"}]
    assert refused(cloud, "one_service", name=cloud.name(), roles=roles) == (
        "roles names web more than once; say all about a role in one entry"
    )


def test_a_role_that_the_service_does_not_have(cloud: Cloud) -> None:
    name = service(cloud)
    roles = [{"name": "nope", "cardinality": 1}]
    assert refused(cloud, "one_service", name=name, roles=roles) == (
        f"service {name}: it has no role nope (it has web); check the name, or give definition"
    )
    sentence = refused(cloud, "one_service", name=cloud.name(), template=name, roles=roles)
    assert sentence.endswith("the template has no role nope (it has web); check the name, or give definition")
    roles[0]["definition"] = {"template": f"{name}-vm", "cardinalty": 1}
    assert "the key cardinalty of role nope of the definition; write cardinality" in refused(
        cloud, "one_service", name=name, roles=roles
    )


def test_a_role_that_was_stopped_on_purpose_names_the_way_out(cloud: Cloud) -> None:
    name = service(cloud)
    cloud.ok("one_service", name=name, roles=[{"name": "web", "state": "poweroff"}])
    deadline = time.monotonic() + 10
    while cloud.ok("one_service_info", name=name)["services"][0]["state"] != "WARNING":
        assert time.monotonic() < deadline
        time.sleep(0.1)
    for roles in ([], [{"name": "web", "cardinality": 2}]):
        sentence = cloud.fails("one_service", name=name, roles=roles)
        assert "WARNING" in sentence and "give roles[].state: running to start these VMs" in sentence
        assert "recovered" not in sentence
    result = cloud.ok("one_service", name=name, roles=[{"name": "web", "state": "running", "cardinality": 2}])
    assert len(result["service"]["roles"]["web"]["vms"]) == 2
