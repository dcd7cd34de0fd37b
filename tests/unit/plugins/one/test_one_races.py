# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two runs at once: one object is left, and both end well."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.api import connection

ROUNDS = 6

CASES: list[tuple[str, str, str, dict[str, Any]]] = [
    ("one_template", "template", "one_template_info", {"template": {"CPU": 1, "MEMORY": 64}, "permissions": "640"}),
    ("one_image", "image", "one_image_info", {"size": 1, "persistent": True, "lock": "manage"}),
]


@pytest.mark.parametrize(("module", "key", "info", "params"), CASES)
def test_two_runs_create_one_object(cloud, pair, name, module, key, info, params) -> None:
    for number in range(ROUNDS):
        wanted = {**cloud.api, **params, "name": f"{name}-{number}"}
        first, second = pair.run(module, wanted)
        assert first.ok and second.ok, (first, second)
        assert first[key]["id"] == second[key]["id"]
        assert first["changed"] or second["changed"]
        assert len(cloud.run(info, name=f"{name}-{number}")[f"{key}s"]) == 1
        again = cloud.run(module, **{key: value for key, value in wanted.items() if key not in cloud.api})
        assert again.ok and not again["changed"], again


@pytest.mark.parametrize(("module", "key", "info", "params"), CASES)
def test_two_runs_clone_one_object(cloud, pair, name, module, key, info, params) -> None:
    source = {field: value for field, value in params.items() if field != "lock"}
    assert cloud.run(module, name=name, **source).ok
    for number in range(2):
        results = pair.run(module, {**cloud.api, "name": f"{name}-{number}", "clone_from": name, "labels": ["x"]})
        assert all(result.ok for result in results), results
        assert len(cloud.run(info, name=f"{name}-{number}")[f"{key}s"]) == 1


@pytest.mark.parametrize(("module", "key", "info", "params"), CASES)
def test_two_runs_delete_one_object(cloud, pair, name, module, key, info, params) -> None:
    for number in range(ROUNDS):
        wanted = f"{name}-{number}"
        assert cloud.run(module, name=wanted, **params).ok
        results = pair.run(module, {**cloud.api, "name": wanted, "state": "absent", "lock": "none"})
        assert all(result.ok for result in results), results
        assert any(result["changed"] for result in results)
        assert cloud.run(info, name=wanted)[f"{key}s"] == []


@pytest.mark.parametrize(("module", "key", "info", "params"), CASES)
def test_the_slower_run_takes_the_object_of_the_other(cloud, name, monkeypatch, module, key, info, params) -> None:
    """The same, without chance: the other run comes exactly between our look and our write."""
    real = connection.Connection.call
    once = iter([True])

    def call(self: Any, method: str, *arguments: Any) -> Any:
        if method.endswith(".allocate") and next(once, False):
            assert cloud.run(module, name=name, **params)["changed"]
        return real(self, method, *arguments)

    monkeypatch.setattr(connection.Connection, "call", call)
    result = cloud.run(module, name=name, **params)
    assert result.ok and not result["changed"] and result["steps"] == [], result
    assert result["diff"] == {"before": {}, "after": {}}
    assert result[key]["name"] == name


@pytest.mark.parametrize(("module", "key", "info", "params"), CASES)
def test_the_slower_deletion_changed_nothing(cloud, name, monkeypatch, module, key, info, params) -> None:
    plain = {field: value for field, value in params.items() if field != "lock"}
    assert cloud.run(module, name=name, **plain).ok
    real = connection.Connection.call
    once = iter([True])

    def call(self: Any, method: str, *arguments: Any) -> Any:
        if method.endswith(".delete") and next(once, False):
            assert cloud.run(module, name=name, state="absent")["changed"]
        return real(self, method, *arguments)

    monkeypatch.setattr(connection.Connection, "call", call)
    result = cloud.run(module, name=name, state="absent")
    assert result.ok and not result["changed"] and result["steps"] == [], result


def test_a_name_that_stays_taken_is_an_error_that_says_so(cloud, name) -> None:
    """An administrator who asks for alice's object makes it himself first, and has one of that name already."""
    cloud.user("alice")
    assert cloud.run("one_template", name=name, template={"CPU": 1}).ok
    result = cloud.run("one_template", name=name, owner="alice", template={"CPU": 1})
    assert not result.ok and "NAME is already taken" in result["msg"] and "choose another name" in result["msg"]
    assert result["error"]["kind"] == "taken" and cloud.calls.by_method["one.template.allocate"] == 2
