# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Traps of OpenNebula itself that a client has to know. Each test fails if ours walked into the trap."""

from __future__ import annotations

import json
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one import errors
from ansible_collections.opennebula.flower.plugins.module_utils.one.api import oneflow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.oneflow import OneFlow
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.settings import Settings
from ansible_collections.opennebula.flower.plugins.module_utils.one.core import pools
from proof_cloud import ProofCloud


def stored(cloud: ProofCloud, name: str) -> dict[str, Any]:
    """The service template of that name, as OneFlow keeps it."""
    (found,) = [document for document in cloud.flow.templates() if document["NAME"] == name]
    return found


def test_t1_a_change_that_oneflow_only_pretends_to_make_is_a_failure(cloud: ProofCloud) -> None:
    """OneFlow answers 204 to chmod, rename and chown of a service template although it did nothing.

    Ours reads back: what this user may not change ends in a failure that names what it still is.
    """
    bob, name = cloud.user("bob-t1"), cloud.service_template()
    cloud.ok("one_service_template", name=name, permissions="604")
    number = int(stored(cloud, name)["ID"])
    OneFlow(Settings.from_params(bob)).template_action(number, "chmod", {"octet": "666"})
    assert "stayed 604 instead of 666" in cloud.fails("one_service_template", api=bob, name=name, permissions="666")
    assert f"is still named {name}" in cloud.fails("one_service_template", api=bob, id=number, new_name=f"{name}-x")
    assert stored(cloud, name)["NAME"] == name


def test_t2_a_new_owner_does_not_move_a_service_template_to_group_0(cloud: ProofCloud) -> None:
    """OneFlow takes a missing group for group 0, so giving away a service template moves it to the administrators.

    Ours always sends both ids.
    """
    cloud.user("alice-t2")
    name = cloud.service_template()
    cloud.ok("one_service_template", name=name, group="users")
    given = cloud.ok("one_service_template", name=name, owner="alice-t2")["service_template"]
    assert (given["owner"]["name"], given["group"]["name"]) == ("alice-t2", "users")


def test_t3_both_dialects_of_service_templates_are_idempotent(cloud: ProofCloud) -> None:
    """OneFlow 7 rewrites what it is sent: keys of 6.x become those of 7.x, defaults appear, text becomes numbers.

    Ours compares after doing the same: the second run writes nothing, in either dialect and across them.
    """
    number = cloud.id_of_template(cloud.vm_template())
    old = {"roles": [{"name": "a", "cardinality": "2", "vm_template": number, "vm_template_contents": 'MEMORY="65"'}]}
    new = {
        "roles": [{
            "name": "a", "type": "vm", "cardinality": 2, "template_id": str(number),
            "template_contents": {"MEMORY": 65},
        }],
    }  # fmt: skip
    name = cloud.name("svt")
    assert cloud.ok("one_service_template", name=name, template=old)["changed"]
    for content in (old, new, {**new, "description": "", "deployment": "none"}):
        result = cloud.ok("one_service_template", name=name, template=content)
        assert not result["changed"] and cloud.calls.writes == 0


def test_t4_replacing_a_service_template_keeps_its_mark_and_age(cloud: ProofCloud) -> None:
    """PUT replaces everything but the time of registration: what is not sent is gone.

    Ours sends the whole body: a rename keeps the roles, and new content keeps the ownership mark.
    """
    name, number = cloud.name("svt"), cloud.id_of_template(cloud.vm_template())
    roles = [{"name": "a", "template_id": number, "cardinality": 1}]
    content = {"description": "one", "roles": roles}
    cloud.ok("one_service_template", name=name, template=content, mark="t4")
    before = stored(cloud, name)["TEMPLATE"]["BODY"]
    cloud.ok("one_service_template", name=name, new_name=f"{name}-new", mark="t4")
    cloud.ok("one_service_template", name=f"{name}-new", template={**content, "description": "two"}, mark="t4")
    after = stored(cloud, f"{name}-new")["TEMPLATE"]["BODY"]
    assert after["description"] == "two" and after["flower_federation"] == "t4"
    assert after["roles"] == before["roles"] and after["registration_time"] == before["registration_time"]


def test_t5_what_a_living_service_cannot_change_is_not_sent(cloud: ProofCloud) -> None:
    """PUT of a service refuses the values of user inputs, networks and more as unchangeable.

    Ours never sends them for a living service: it says so in a warning and writes nothing.
    """
    template = cloud.service_template(user_inputs={"ROUNDS": "M|number|rounds||"})
    cloud.ok("one_service", name=template, template=template, user_inputs_values={"ROUNDS": 5})
    result = cloud.ok("one_service", name=template, template=template, user_inputs_values={"ROUNDS": 6})
    assert not result["changed"] and cloud.calls.writes == 0
    assert "other values of ROUNDS" in str(result["warnings"])
    assert result["service"]["user_inputs_values"]["ROUNDS"] == "5"


def test_t6_a_wrong_password_and_a_missing_right_are_told_apart(cloud: ProofCloud) -> None:
    """OneFlow's numbers are swapped: 401 for a missing right, 403 for a user whom oned does not know; 500 for the rest.

    Ours goes by number and words, so the advice fits.
    """
    bob, name = cloud.user("bob-t6"), cloud.service_template()
    number = int(stored(cloud, name)["ID"])
    wrong = cloud.run("one_service_template", api={**bob, "api_password": "wrong-word"}, id=number)
    assert wrong["error"]["kind"] == "authentication" and "api_password" in wrong["msg"]
    refused = cloud.run("one_service_template", api=bob, id=number)
    assert refused["error"]["kind"] == "authorization" and "api_password" not in refused["msg"]
    assert cloud.run("one_service", id=987654, state="recovered")["error"]["kind"] == "not_found"
    kinds = {403: "authentication", 404: "not_found", 405: "action", 500: "error"}
    for status, kind in kinds.items():
        assert oneflow._failure("GET /x", "http://c", status, "some words").kind == kind


def test_t7_names_are_unique_where_the_cloud_says_so_and_refused_where_not(cloud: ProofCloud) -> None:
    """Images and VM templates are unique by owner and name, VMs and services are not unique by name at all.

    Ours refuses a name that means several, lists id and owner of each, and writes nothing; `owner` or `id` decide.
    """
    alice, name = cloud.user("alice-t7"), cloud.name("t7")
    for module, content in (("one_image", {"size": 1}), ("one_template", {"template": {"CPU": 1, "MEMORY": 64}})):
        cloud.ok(module, name=name, **content)
        cloud.ok(module, api=alice, name=name, owner="alice-t7", **content)
        sentence = cloud.fails(module, name=name, labels=["x"])
        assert "is not unique" in sentence and "of oneadmin" in sentence and "of alice-t7" in sentence
        assert cloud.calls.writes == 0
        assert cloud.ok(module, name=name, owner="alice-t7", labels=["x"])["changed"]
    number = cloud.id_of_template(cloud.vm_template())
    ids = [int(cloud.admin.call("one.template.instantiate", number, name, False, "", False)) for _turn in range(2)]
    sentence = cloud.fails("one_vm", name=name)
    assert all(f"id {vm_id} of oneadmin" in sentence for vm_id in ids) and cloud.calls.writes == 0
    template = cloud.service_template()
    documents = [cloud.flow.instantiate(int(stored(cloud, template)["ID"]), {"name": name})["ID"] for _turn in range(2)]
    sentence = cloud.fails("one_service", name=name, state="absent")
    assert all(f"id {document} of oneadmin" in sentence for document in documents) and cloud.calls.writes == 0


@pytest.mark.parametrize("nodes", [1, 12])
def test_t8_the_vms_of_a_service_take_one_call(cloud: ProofCloud, nodes: int) -> None:
    """oned reads any number of VMs by their ids in one call.

    Ours uses it: a run on a service takes two requests, whatever the number of its VMs.
    """
    name = cloud.service(nodes=nodes)
    result = cloud.ok("one_service", name=name)
    assert len(result["service"]["vms"]) == nodes + 1 and len(result["hosts"]) == nodes + 1
    assert dict(cloud.calls.by_method) == {"GET /service": 1, "one.vmpool.infoset": 1}


def test_t9_pools_are_read_in_pages(cloud: ProofCloud) -> None:
    """Pools take a range; a negative end is a number of objects from an offset, a positive one an id.

    Ours reads pages without gaps and without repetition, whatever the size of the page.
    """
    for _turn in range(5):
        cloud.vm_template()
    whole = pools.read_pool(cloud.admin, "one.templatepool.info", "VMTEMPLATE")
    for page in (2, 3, len(whole), len(whole) + 1):
        cloud.calls.reset()
        parts = pools.read_pool(cloud.admin, "one.templatepool.info", "VMTEMPLATE", page=page)
        assert json.dumps(parts) == json.dumps(whole)
        assert cloud.calls.total == len(whole) // page + 1


def test_t1_the_error_families_cover_what_oneflow_says() -> None:
    """What OneFlow does say, is a failure of its own kind and never a success."""
    assert issubclass(errors.OneAuthorizationError, errors.OneError)
    assert oneflow._failure("POST /x", "http://c", 401, "Not authorized to perform MANAGE").kind == "authorization"
