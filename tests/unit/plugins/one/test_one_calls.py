# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many calls one_image and one_template make for what, counted by the sandbox."""

from __future__ import annotations

from typing import Any

import pytest

TEMPLATE = {"CPU": 1, "MEMORY": 64, "DISK": [{"IMAGE": "x"}], "NIC": [{"NETWORK": "a"}, {"NETWORK": "b"}]}
KINDS: list[tuple[str, str, dict[str, Any]]] = [
    ("one_template", "template", {"template": TEMPLATE}),
    ("one_image", "image", {"size": 1}),
]


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
def test_reading_costs_one_call(cloud, name, module, key, params) -> None:
    number = cloud.run(module, name=name, **params)[key]["id"]
    for found in ({"name": name}, {"id": number}, {"name": name, "state": "present", **params}):
        result = cloud.run(module, **found)
        assert result.ok and not result["changed"] and cloud.calls.total == 1, cloud.calls.by_method


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
def test_creation_costs_three(cloud, name, module, key, params) -> None:
    assert cloud.run(module, name=name, **params, labels=["a"], mark="fed").without_polls <= 3
    # Permissions have a call of their own.
    assert cloud.run(module, name=f"{name}-2", **params, permissions="640").without_polls <= 4


UPDATES: list[dict[str, Any]] = [
    {"labels": ["a", "b"]},
    {"permissions": "644"},
    {"remove_attributes": ["LABELS"]},
    {"new_name": "renamed-{name}"},
    {"owner": "0"},
    {"group": "1"},
    {"lock": "admin"},
]
IMAGE_UPDATES: list[dict[str, Any]] = [
    {"attributes": {"A": "1"}},
    {"type": "OS"},
    {"persistent": True},
    {"enabled": False},
]


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
def test_each_change_costs_three(cloud, name, module, key, params) -> None:
    number = cloud.run(module, name=name, **params, labels=["x"])[key]["id"]
    changes = UPDATES + (IMAGE_UPDATES if module == "one_image" else [{"template": {"CPU": 2}}])
    for change in changes:
        wanted = {k: v.format(name=name) if isinstance(v, str) else v for k, v in change.items()}
        result = cloud.run(module, id=number, **wanted)
        assert result.ok and cloud.calls.total <= 3, (change, cloud.calls.by_method)


@pytest.mark.parametrize(("module", "key", "params"), KINDS)
def test_names_of_owner_and_group_cost_one_look_each(cloud, name, module, key, params) -> None:
    cloud.user("alice")
    number = cloud.run(module, name=name, **params)[key]["id"]
    result = cloud.run(module, id=number, owner="alice", group="users")
    assert result.ok and cloud.calls.total == 5, cloud.calls.by_method
    again = cloud.run(module, id=number, owner="alice", group="users")
    assert not again["changed"] and cloud.calls.total == 1


def test_a_name_costs_one_call_for_each_500_objects(empty_cloud) -> None:
    oned = empty_cloud.sandbox.oned
    with oned.transaction():
        for number in range(501):
            oned.call(oned.session_for(0), "one.template.allocate", f"NAME=many-{number}")
    result = empty_cloud.run("one_template", name="many-0")
    assert result.ok and result["template"]["name"] == "many-0"
    assert empty_cloud.calls.by_method == {"one.templatepool.info": 2}
    by_id = empty_cloud.run("one_template", id=result["template"]["id"])
    assert by_id.ok and empty_cloud.calls.total == 1
    again = empty_cloud.converge("one_template", name="many-500", template={"CPU": 1})
    assert again["template"]["attributes"] == {"CPU": "1"}


def test_deletion_costs_two_for_a_template(cloud, name) -> None:
    assert cloud.run("one_template", name=name, template=TEMPLATE).ok
    assert cloud.run("one_template", name=name, state="absent")["changed"] and cloud.calls.total == 2
    assert not cloud.run("one_template", name=name, state="absent")["changed"] and cloud.calls.total == 1
