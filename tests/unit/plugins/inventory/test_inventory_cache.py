# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The cache: what it saves, when it is read anew, and that no secret gets into it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from inventory_cloud import InventoryCloud


@pytest.fixture
def cached(cloud: InventoryCloud, tmp_path: Path) -> dict[str, Any]:
    """Options of a cache in files, for a cloud of a service and a VM without one."""
    number = cloud.vm("a", API_TOKEN="hush-hush", VECTOR={"PASSWORD": "hush-hush"}, LABELS="x")
    cloud.service("one", {"head": [number]}, mark="fed")
    cloud.vm("alone", LABELS="y")
    return {"cache": True, "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache")}


def calls(cloud: InventoryCloud, **options: Any) -> int:
    cloud.sandbox.calls.reset()
    cloud.parse(**options)
    return int(cloud.sandbox.calls.total)


def test_it_saves_every_request(cloud: InventoryCloud, cached: dict[str, Any]) -> None:
    first = cloud.parse(**cached)
    cloud.sandbox.calls.reset()
    again = cloud.parse(**cached)
    assert (again.hosts, again.groups) == (first.hosts, first.groups) and len(first.hosts) == 2
    assert cloud.sandbox.calls.total == 0
    # What is chosen of the answer is another matter.
    assert calls(cloud, **cached, labels=["x"], hostname="id", group_by=["label"], federations=["fed"]) == 0


def test_no_secret_in_it(cloud: InventoryCloud, cached: dict[str, Any]) -> None:
    cloud.parse(**cached)
    files = list(Path(cached["cache_connection"]).iterdir())
    written = "".join(path.read_text(encoding="utf-8") for path in files)
    assert "alone" in written and "hush" not in written and cloud.settings.password not in written


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"include_standalone": False}, {}),
        ({"services": ["one"]}, {"services": ["one", "two"]}),
        ({"services": ["one"], "federations": ["x"]}, {"services": ["one"]}),
        ({}, {"use_oneflow": False}),
        ({}, {"group_by": ["cluster"]}),
    ],
)
def test_another_question_is_asked_anew(
    cloud: InventoryCloud, cached: dict[str, Any], first: dict[str, Any], then: dict[str, Any]
) -> None:
    cloud.parse(**cached, **first)
    expected = cloud.parse(**then).hosts
    cloud.sandbox.calls.reset()
    assert cloud.parse(**cached, **then).hosts == expected
    assert cloud.sandbox.calls.total > 0
    assert calls(cloud, **cached, **then) == 0


def test_another_user_is_not_answered_from_it(cloud: InventoryCloud, cached: dict[str, Any]) -> None:
    oned = cloud.sandbox.oned
    oned.call(oned.session_for(0), "one.user.allocate", "ann", "secret-of-ann", "")
    assert len(cloud.parse(**cached).hosts) == 2
    path = cloud.source({**cloud.api, **cached, "api_username": "ann", "api_password": "secret-of-ann"})
    assert cloud.parse(path=path).hosts == {}


def test_refresh_and_expiry(cloud: InventoryCloud, cached: dict[str, Any]) -> None:
    cloud.parse(**cached)
    cloud.vm("late")
    assert len(cloud.parse(**cached).hosts) == 2
    # What --flush-cache and meta: refresh_inventory do.
    path = cloud.source({**cloud.api, **cached})
    assert len(cloud.parse(path=path, refresh=True).hosts) == 3
    assert len(cloud.parse(path=path).hosts) == 3
    cloud.vm("later")
    for file in Path(cached["cache_connection"]).iterdir():
        os.utime(file, (1, 1))
    assert len(cloud.parse(**cached, cache_timeout=60).hosts) == 4


def test_what_others_wrote_there_is_not_read(cloud: InventoryCloud, cached: dict[str, Any]) -> None:
    cloud.parse(**cached)
    for content in ("[]", "{}", '{"query": {}}', "null", "no json"):
        for file in Path(cached["cache_connection"]).iterdir():
            file.write_text(content, encoding="utf-8")
        assert len(cloud.parse(**cached).hosts) == 2, content


def test_processes_share_it_and_can_flush_it(cloud: InventoryCloud, cached: dict[str, Any]) -> None:
    options = {**cached, "cache_plugin": "ansible.builtin.jsonfile"}
    first = cloud.listed(**options)
    cloud.sandbox.calls.reset()
    assert cloud.listed(**options).hosts == first.hosts and cloud.sandbox.calls.total == 0
    assert len(cloud.listed("--flush-cache", **options).hosts) == 2 and cloud.sandbox.calls.total == 2
