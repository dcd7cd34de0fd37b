# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every example of the documentation, and the inventories that come with the collection, on a cloud."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from inventory_cloud import NAME, InventoryCloud, load_plugin, nic

PLUGIN = importlib.import_module("ansible_collections.opennebula.flower.plugins.inventory.opennebula")
DOCUMENTATION = yaml.safe_load(PLUGIN.DOCUMENTATION)
EXAMPLES = [document for document in yaml.safe_load_all(PLUGIN.EXAMPLES) if document]
SHIPPED = sorted((Path(PLUGIN.__file__).resolve().parents[2] / "inventories").glob("*/opennebula.yml"))
# What each example finds among the VMs of `world`.
FOUND = [
    {"mnist-head-0", "mnist-tail-1"},
    {"mnist-head-0", "mnist-tail-1", "web", "storage", "odd"},
    {"web", "off"},
    {"mnist-head-0", "mnist-tail-1", "web", "storage", "odd", "bare"},
]


@pytest.fixture
def world(cloud: InventoryCloud, monkeypatch: pytest.MonkeyPatch) -> InventoryCloud:
    six = {"IP6_GLOBAL": "2001:db8::5", "NIC_ID": "1"}
    nics = [nic("10.0.0.5"), nic("192.0.2.5", "public", **six)]
    first, second = cloud.vm("v0"), cloud.vm("v1")
    cloud.service("mnist", {"head": [first], "tail": [second]}, mark="mnist")
    cloud.vm("web", nics=nics, LABELS="web", STAGE="test", SITE="eu", SSH_PORT="2222")
    cloud.vm("off", nics=nics, LABELS="web/old", STAGE="production", state="poweroff")
    cloud.vm("odd", nics=nics, LABELS="web", STAGE="other")
    cloud.vm("storage", LABELS="storage", aliases=[nic("198.51.100.7", NIC_ID="9", PARENT="NIC0", EXTERNAL="YES")])
    cloud.vm("bare", nics=[])
    for name, value in (
        ("ONE_URL", cloud.settings.api_url), ("ONE_USERNAME", cloud.settings.username),
        ("ONE_PASSWORD", cloud.settings.password), ("ONEFLOW_URL", cloud.settings.oneflow_url),
    ):  # fmt: skip
        monkeypatch.setenv(name, value)
    return cloud


@pytest.mark.parametrize(("number", "found"), list(enumerate(FOUND)))
def test_the_example_finds_what_it_says(world: InventoryCloud, tmp_path: Path, number: int, found: set[str]) -> None:
    assert len(EXAMPLES) == len(FOUND)
    example = dict(EXAMPLES[number])
    assert example.pop("plugin") == NAME
    # In the tests' own process collections are not installed the way Ansible does it: no plugins by their full names.
    if "cache_connection" in example:
        example.update(cache_connection=str(tmp_path / "cache"), cache_plugin="jsonfile")
    example.update({name: value for name, value in world.api.items() if name in example})
    result = world.parse(path=world.source(example))
    assert set(result.hosts) == found
    if number == 1:
        assert result.hosts["web"]["ansible_port"] == 2222 and result.groups["site_eu"] == ["web"]
        assert result.groups["big_disks"] == ["storage"] and len(result.groups["site_none"]) == 4
    if number == 2:
        assert {host["ansible_host"] for host in result.hosts.values()} == {"2001:db8::5"}
        assert result.groups["state_poweroff"] == ["off"] and result.groups["label_web"] == ["off", "web"]
    if number == 3:
        assert result.hosts["storage"]["ansible_host"] == "198.51.100.7"
        assert "ansible_host" not in result.hosts["bare"]


@pytest.mark.parametrize("number", range(len(FOUND)))
def test_ansible_inventory_takes_the_example(world: InventoryCloud, tmp_path: Path, number: int) -> None:
    example = {key: value for key, value in EXAMPLES[number].items() if key != "plugin"}
    if "cache_connection" in example:
        example["cache_connection"] = str(tmp_path / "cache")
    assert set(world.listed(**example).hosts) == FOUND[number]


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.parent.name)
def test_the_inventories_that_come_along(world: InventoryCloud, tmp_path: Path, path: Path) -> None:
    options: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert options.pop("plugin") == NAME
    # Only where the cloud is differs here.
    found = world.parse(path=world.source({**options, **world.api}))
    assert set(found.hosts) == FOUND[0]


def test_every_option_is_documented_and_no_choice_is_made_up() -> None:
    package = "ansible_collections.opennebula.flower.plugins.module_utils.one.inventory"
    hosts = importlib.import_module(f"{package}.cloud_hosts")
    names = importlib.import_module(f"{package}.names")
    options = DOCUMENTATION["options"]
    assert set(options["group_by"]["choices"]) == set(hosts.GROUPINGS)
    # Each of them names a VM differently, so none falls through to another.
    members = [hosts.Member({"id": 7, "name": "web"}, "tail", 3, "mnist")]
    found = {one: names.names_of(one, members, lambda member: "10.0.0.5")[7] for one in options["hostname"]["choices"]}
    assert found == {"role": "mnist-tail-7", "vm": "web", "address": "10.0.0.5", "id": "one-7"}
    assert all(option["description"] for option in options.values())
    assert load_plugin().NAME == NAME
