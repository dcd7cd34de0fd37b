# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module one_service_template on the sandbox cloud: merging, removing, cloning, giving away, deleting with more."""

from __future__ import annotations

from typing import Any

import pytest
from flow_cloud import Cloud

MODULE = "one_service_template"


def role(cloud: Cloud, name: str = "web", **more: Any) -> dict[str, Any]:
    number = cloud.vm_template(cloud.name("vm"))
    return {"name": name, "template_id": number, "cardinality": 1, "min_vms": 1, "max_vms": 3, **more}


def made(cloud: Cloud, **more: Any) -> dict[str, Any]:
    """A service template with two roles, a network and a user input."""
    name = cloud.name("t")
    contents = {"MEMORY": "96", "CONTEXT": {"FOO": "a", "BAR": "b"}, "NIC": [{"NETWORK_ID": "$Private"}]}
    template = {
        "description": "old", "deployment": "straight", "shutdown_action": "terminate-hard",
        "networks": {"Private": "M|network|net||id:0"}, "user_inputs": {"A": "O|text|a||x"},
        "roles": [role(cloud, template_contents=contents), role(cloud, "db", parents=["web"])],
    }  # fmt: skip
    found: dict[str, Any] = cloud.ok(MODULE, name=name, template=template, **more)["service_template"]
    return found


# -- update ------------------------------------------------------------------------------------------------------------


def test_merge_keeps_what_is_not_mentioned(cloud: Cloud) -> None:
    old = made(cloud, mark="fed")
    changes = {
        "description": "new",
        "networks": {"Public": {"id": "private", "description": "p"}},
        "roles": [
            {"name": "web", "max_vms": 9, "template_contents": {"CONTEXT": {"FOO": "c"}, "CPU": 0.5}},
            {"name": "cache", "template_id": 0, "cardinality": 1},
        ],
    }
    cloud.ok(MODULE, check=True, id=old["id"], update="merge", template=changes)
    result = cloud.ok(MODULE, id=old["id"], update="merge", template=changes)
    body = result["service_template"]["template"]
    assert body["description"] == "new" and body["shutdown_action"] == "terminate-hard"
    assert body["deployment"] == "straight" and body["flower_federation"] == "fed"
    assert body["networks"] == {"Private": "M|network|net||id:0", "Public": "M|network|p||id:0"}
    assert body["user_inputs"] == {"A": "O|text|a||x"}
    web, db, cache = body["roles"]
    assert (web["max_vms"], web["min_vms"], web["cardinality"]) == (9, 1, 1)
    assert web["template_contents"] == {
        "MEMORY": "96", "CPU": "0.5", "CONTEXT": {"FOO": "c", "BAR": "b"}, "NIC": [{"NETWORK_ID": "$Private"}],
    }  # fmt: skip
    assert db == old["template"]["roles"][1] and cache["type"] == "vm"
    again, writes = cloud.writes(MODULE, id=old["id"], update="merge", template=changes)
    assert not again["changed"] and writes == 0


def test_merge_in_the_keys_of_6_x(cloud: Cloud) -> None:
    old = made(cloud)
    changes = {
        "custom_attrs": {"B": "O|text|b||y"},
        "roles": [{"name": "web", "vm_template_contents": 'MEMORY="128"'}],
    }
    body = cloud.converge(MODULE, id=old["id"], update="merge", template=changes)["service_template"]["template"]
    assert body["user_inputs"] == {"A": "O|text|a||x", "B": "O|text|b||y"}
    assert body["roles"][0]["template_id"] == old["template"]["roles"][0]["template_id"]
    assert body["roles"][0]["template_contents"]["MEMORY"] == "128"


def test_the_order_of_roles_and_what_the_server_fills_in_make_no_difference(cloud: Cloud) -> None:
    old = made(cloud)
    body = old["template"]
    asked = {key: value for key, value in body.items() if key not in ("registration_time", "name")}
    asked["roles"] = [{"template_contents": {}, **item} for item in reversed(body["roles"])]
    asked["networks"] = {"Private": "M | network | net | | id:private"}
    result, writes = cloud.writes(MODULE, id=old["id"], template=asked)
    assert not result["changed"] and writes == 0


@pytest.mark.parametrize(
    ("paths", "gone"),
    [
        (["description"], lambda body: body["description"] == ""),
        (["shutdown_action", "nothing", "roles.nobody.max_vms"], lambda body: "shutdown_action" not in body),
        (["networks.Private"], lambda body: "Private" not in body.get("networks", {})),
        (["roles.db"], lambda body: [item["name"] for item in body["roles"]] == ["web"]),
        (["roles.web.max_vms"], lambda body: "max_vms" not in body["roles"][0]),
        (["roles.web.template_contents.CONTEXT.FOO"],
         lambda body: body["roles"][0]["template_contents"]["CONTEXT"] == {"BAR": "b"}),
    ],
)  # fmt: skip
def test_remove_attributes(cloud: Cloud, paths: list[str], gone: Any) -> None:
    old = made(cloud)
    result = cloud.converge(MODULE, id=old["id"], remove_attributes=paths)
    assert result["changed"] and gone(result["service_template"]["template"])


def test_what_a_service_template_needs_cannot_be_removed(cloud: Cloud) -> None:
    old = made(cloud)
    for path in ("roles", "name", "flower_federation", "registration_time"):
        assert f"{path} cannot be removed" in cloud.fails(MODULE, id=old["id"], remove_attributes=[path])


def test_names_inside_oneflows_own_text(cloud: Cloud) -> None:
    name = cloud.name("t")
    networks = {
        "A": "M|network|net||id:private", "B": "O|network|net| |id:0", "C": {"id": "private"},
        "D": {"reserve_from": "private"}, "E": "M|network|net||", "F": "M|network|net||template_id:3",
    }  # fmt: skip
    vm_template = cloud.vm_template(f"{name}-vm")
    roles = [{"name": "a", "template_id": f"{name}-vm"}]
    result = cloud.ok(MODULE, name=name, template={"networks": networks, "roles": roles})
    body = result["service_template"]["template"]
    assert body["networks"] == {
        "A": "M|network|net||id:0", "B": "O|network|net| |id:0", "C": "M|network|C||id:0",
        "D": "M|network|D||reserve_from:0", "E": "M|network|net||", "F": "M|network|net||template_id:3",
    }  # fmt: skip
    assert body["roles"][0]["template_id"] == vm_template
    old_keys = {"networks": networks, "roles": [{"name": "a", "vm_template": f"{name}-vm"}]}
    assert not cloud.ok(MODULE, name=name, template=old_keys)["changed"]
    wrong = {"networks": {"A": "M|network|net||id:nowhere"}, "roles": []}
    assert "virtual network nowhere does not exist" in cloud.fails(MODULE, name=name, template=wrong)


# -- copies ------------------------------------------------------------------------------------------------------------


def test_clone(cloud: Cloud) -> None:
    old = made(cloud, mark="theirs")
    name = cloud.name("t")
    result = cloud.converge(MODULE, name=name, clone_from=old["name"], mark="ours", template={"description": "copy"})
    new = result["service_template"]
    assert result["steps"] == [f"clone service template {old['name']} (id {old['id']}) to {name}"]
    assert new["id"] != old["id"] and new["mark"] == "ours" and new["name"] == new["template"]["name"] == name
    assert new["template"]["description"] == "copy"
    assert new["template"]["roles"] == old["template"]["roles"]
    by_id = cloud.converge(MODULE, name=cloud.name("t"), clone_from=str(old["id"]))["service_template"]
    assert by_id["mark"] == "theirs" and by_id["template"]["roles"] == old["template"]["roles"]


def test_clone_with_vm_templates(cloud: Cloud) -> None:
    old = made(cloud)
    name = cloud.name("t")
    result = cloud.converge(MODULE, name=name, clone_from=old["name"], clone_type="templates", mark="ours")
    new = result["service_template"]
    assert new["name"] == new["template"]["name"] == name and new["mark"] == "ours"
    numbers = [[item["template_id"] for item in one["template"]["roles"]] for one in (old, new)]
    assert not set(numbers[0]) & set(numbers[1])
    found = cloud.ok("one_template_info", ids=numbers[1])["templates"]
    assert all(one["name"].endswith(f"-{name}") for one in found) and len(found) == 2


def test_a_clone_that_fails_leaves_nothing(cloud: Cloud) -> None:
    name = cloud.name("t")
    bad = cloud.ok(MODULE, name=cloud.name("t"), template={"roles": [{"name": "a", "template_id": 99999}]})
    number = bad["service_template"]["id"]
    assert "99999" in cloud.fails(MODULE, name=name, clone_from=str(number), clone_type="templates")
    assert cloud.ok("one_service_template_info", name=name)["service_templates"] == []
    assert "(clone_from) does not exist" in cloud.fails(MODULE, name=name, clone_from="nobody")


# -- owner, group, permissions -----------------------------------------------------------------------------------------


def test_owner_and_group_keep_each_other(cloud: Cloud) -> None:
    """OneFlow takes a missing group for group 0, so both ids are always sent."""
    cloud.user("ann")
    old = made(cloud)
    moved = cloud.converge(MODULE, id=old["id"], group="users")
    assert moved["service_template"]["group"]["name"] == "users"
    assert moved["service_template"]["owner"]["name"] == "oneadmin"
    given = cloud.converge(MODULE, id=old["id"], owner="ann")["service_template"]
    assert (given["owner"]["name"], given["group"]["name"]) == ("ann", "users")
    both = cloud.converge(MODULE, id=old["id"], owner="oneadmin", group="oneadmin", permissions="644")
    assert len(both["steps"]) == 2
    assert both["diff"]["before"]["owner"] == "ann" and both["diff"]["after"]["owner"] == "oneadmin"
    assert "user nobody does not exist" in cloud.fails(MODULE, id=old["id"], owner="nobody")


def test_owner_at_creation(cloud: Cloud) -> None:
    cloud.user("ann")
    name = cloud.name("t")
    result = cloud.converge(MODULE, name=name, template={"roles": []}, owner="ann", group="users", permissions="640")
    new = result["service_template"]
    assert (new["owner"]["name"], new["group"]["name"], new["permissions"]) == ("ann", "users", "640")


def test_another_owners_template_is_used_and_not_doubled(cloud: Cloud) -> None:
    ann, ben = cloud.user("ann"), cloud.user("ben")
    name = cloud.name("t")
    first = cloud.ok(MODULE, name=name, template={"roles": []}, permissions="666", **ann)["service_template"]
    again = cloud.ok(MODULE, name=name, template={"roles": []}, **ben)
    assert not again["changed"] and again["service_template"]["id"] == first["id"]
    own = cloud.ok(MODULE, name=name, template={"roles": []}, owner="ben", **ben)
    assert own["changed"] and own["service_template"]["id"] != first["id"]
    text = cloud.fails(MODULE, name=name, permissions="600")
    assert f"id {first['id']} of ann" in text and "of ben" in text and "give the id, or the owner" in text
    assert cloud.ok(MODULE, name=name, owner="ann", state="absent")["changed"]
    assert cloud.ok(MODULE, name=name)["service_template"]["owner"]["name"] == "ben"
    assert not cloud.ok(MODULE, name=name, owner="ann", state="absent")["changed"]
    assert not cloud.ok(MODULE, name=name, owner=str(cloud.user_id("ben")), template={"roles": []})["changed"]


@pytest.mark.parametrize(
    ("params", "sentence"),
    [
        ({"permissions": "640"}, "the permissions of service template {} stayed 644 instead of 640"),
        ({"group": "oneadmin"}, "the group of service template {} stayed users instead of oneadmin"),
        ({"owner": "ben"}, "the owner of service template {} stayed ann instead of ben"),
        ({"new_name": "other"}, "service template {} is still named"),
    ],
)
def test_what_the_server_does_not_do_although_it_says_so(cloud: Cloud, params: dict[str, Any], sentence: str) -> None:
    """A user without the right gets the same 204 as everybody else."""
    ann, ben = cloud.user("ann"), cloud.user("ben")
    made_by_ann = cloud.ok(MODULE, name=cloud.name("t"), template={"roles": []}, permissions="644", **ann)
    number = made_by_ann["service_template"]["id"]
    # The numbers, because users may not look at the list of users.
    numbers = {"ben": str(cloud.user_id("ben")), "oneadmin": "0"}
    wanted = {key: numbers.get(value, value) for key, value in params.items()}
    for word, digits in numbers.items():
        sentence = sentence.replace(f"of {word}", f"of {digits}")
    assert sentence.format(number) in cloud.fails(MODULE, id=number, **wanted, **(ann if "owner" in params else ben))


# -- deletion ----------------------------------------------------------------------------------------------------------


def test_deletion_with_vm_templates(cloud: Cloud) -> None:
    old = made(cloud)
    numbers = sorted(item["template_id"] for item in old["template"]["roles"])
    result = cloud.converge(MODULE, name=old["name"], state="absent", delete_type="templates")
    listed = ", ".join(str(number) for number in numbers)
    assert result["steps"] == [f"delete service template {old['name']} (id {old['id']}) with its VM templates {listed}"]
    assert cloud.ok("one_template_info", ids=numbers)["templates"] == []


def test_deletion_spares_vm_templates_of_others(cloud: Cloud) -> None:
    old = made(cloud, mark="fed")
    where = {"name": old["name"], "mark": "fed", "state": "absent"}
    assert "it has no ownership mark" in cloud.fails(MODULE, delete_type="templates", **where)
    assert "does not look at the marks of images" in cloud.fails(MODULE, delete_type="all", **where)
    for item in old["template"]["roles"]:
        cloud.connection.call("one.template.update", item["template_id"], {"FLOWER_FEDERATION": "fed"}, 1)
    assert cloud.converge(MODULE, delete_type="templates", **where)["changed"]


def test_deletion_with_images(cloud: Cloud) -> None:
    image = cloud.ok("one_image", name=cloud.name("img"), size=1)["image"]["id"]
    number = cloud.vm_template(cloud.name("vm"), DISK=[{"IMAGE_ID": str(image)}])
    name = cloud.name("t")
    cloud.ok(MODULE, name=name, template={"roles": [{"name": "a", "template_id": number}]})
    assert cloud.converge(MODULE, name=name, state="absent", delete_type="all")["changed"]
    cloud.wait(lambda: cloud.ok("one_image_info", ids=[image])["images"] == [], "the end of the image")


# -- calls -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("params", "calls"),
    [
        ({}, 1),
        ({"template": {"roles": []}}, 1),
        ({"template": {"description": "new", "roles": []}}, 2),
        ({"permissions": "640"}, 3),
        ({"group": "1"}, 3),
        ({"state": "absent"}, 2),
    ],
)
def test_calls(cloud: Cloud, params: dict[str, Any], calls: int) -> None:
    name = cloud.name("t")
    cloud.sandbox.calls.reset()
    number = cloud.ok(MODULE, name=name, template={"roles": []})["service_template"]["id"]
    # A look at the pool, the creation, and a look whether another run was faster.
    assert cloud.sandbox.calls.total == 3
    assert "VM" not in str(cloud.sandbox.calls.by_method)
    cloud.sandbox.calls.reset()
    cloud.ok(MODULE, name=name, **params)
    assert cloud.sandbox.calls.total == calls, cloud.sandbox.calls.by_method
    if params.get("state") != "absent":
        cloud.sandbox.calls.reset()
        cloud.ok(MODULE, id=number)
        assert cloud.sandbox.calls.total == 1
