# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Groups and variables: those of the plugin, those of the user's expressions."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from ansible.errors import AnsibleError
from ansible_collections.opennebula.flower.plugins.module_utils.one.api.connection import Connection
from ansible_collections.opennebula.flower.plugins.module_utils.one.errors import OneAuthorizationError
from inventory_cloud import InventoryCloud, nic

POISON = "{{ lookup('ansible.builtin.pipe', 'touch FILE') }}"


def test_groups_of_every_kind(cloud: InventoryCloud) -> None:
    first = cloud.vm("a", LABELS="web/front,my-label", nics=[nic("10.0.0.1"), nic("192.0.2.1", "public", NIC_ID="1")])
    second = cloud.vm("b", state="poweroff", host=None, FLOWER_ROLE="tail", FLOWER_FEDERATION="other fed")
    cloud.service("my service", {"head": [first]})
    kinds = ["role", "federation", "service", "label", "owner", "group", "host", "cluster", "state", "network"]
    found = cloud.parse(hostname="id", states=["all"], group_by=kinds)
    one, two = f"one-{first}", f"one-{second}"
    assert {name: hosts for name, hosts in found.groups.items() if name != "ungrouped"} == {
        "opennebula": [one, two], "head": [one], "tail": [two], "federation_my_service": [one],
        "federation_other_fed": [two], "service_my_service": [one], "label_web": [one], "label_web_front": [one],
        "label_my_label": [one], "owner_oneadmin": [one, two], "group_oneadmin": [one, two], "host_sandbox": [one],
        "cluster_default": [one], "state_running": [one], "state_poweroff": [two], "network_private": [one, two],
        "network_public": [one],
    }  # fmt: skip
    assert set(cloud.parse(group_by=[]).groups) == {"opennebula"}


def test_only_names_of_clusters_take_a_request_more(cloud: InventoryCloud) -> None:
    cloud.vm("a")
    for options, calls in (
        ({}, 2), ({"group_by": ["host"]}, 2), ({"clusters": [0]}, 2), ({"group_by": ["cluster"]}, 3),
        ({"clusters": ["default"]}, 3), ({"variables": ["cluster"]}, 3),
    ):  # fmt: skip
        cloud.sandbox.calls.reset()
        assert set(cloud.parse(**options).hosts) == {"a"}
        assert cloud.sandbox.calls.total == calls, options


def test_variables(cloud: InventoryCloud) -> None:
    number = cloud.vm("a", LABELS="x/y, z", SITE="s", VECTOR={"KEY": "1", "API_TOKEN": "hush"}, nics=[nic("10.0.0.1")])
    own = {
        "ansible_host": "10.0.0.1", "one_vm_id": number, "one_vm_name": "a",
        "one_attributes": {"LABELS": "x/y, z", "SITE": "s", "VECTOR": {"KEY": "1", "API_TOKEN": "********"}},
    }  # fmt: skip
    assert cloud.parse().hosts["a"] == own
    more = ["state", "labels", "owner", "group", "host", "cluster"]
    assert cloud.parse(variables=more).hosts["a"] == {
        **own, "one_state": "RUNNING", "one_labels": ["x/y", "z"], "one_owner": "oneadmin", "one_group": "oneadmin",
        "one_host": "sandbox", "one_cluster": "default",
    }  # fmt: skip


def test_an_attribute_that_is_there_twice_is_a_list(cloud: InventoryCloud) -> None:
    cloud.vm("a", SCHED_ACTION=[{"TIME": "1"}, {"TIME": "2"}, {"TIME": "3"}], TAG=["x", "y"], EMPTY="")
    assert cloud.parse(attributes={"TAG": "y"}).hosts["a"]["one_attributes"] == {
        "SCHED_ACTION": [{"TIME": "1"}, {"TIME": "2"}, {"TIME": "3"}], "TAG": ["x", "y"], "EMPTY": "",
    }  # fmt: skip


def test_clusters_that_the_user_may_not_list_are_told_by_their_ids(
    cloud: InventoryCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.vm("a")
    call = Connection.call

    def refuse(self: Connection, method: str, *arguments: Any) -> Any:
        if method == "one.clusterpool.info":
            raise OneAuthorizationError("Not authorized")
        return call(self, method, *arguments)

    monkeypatch.setattr(Connection, "call", refuse)
    assert cloud.parse(variables=["cluster"], clusters=[0]).hosts["a"]["one_cluster"] == "0"


def test_expressions_know_every_variable(cloud: InventoryCloud) -> None:
    cloud.vm("a", LABELS="web,db", SSH_PORT="2222", SITE="eu")
    cloud.vm("b")
    found = cloud.parse(
        compose={"ansible_port": "one_attributes.SSH_PORT | int", "where": "one_host"},
        groups={"databases": "'db' in one_labels"},
        keyed_groups=[
            {"key": "one_labels", "prefix": "", "separator": ""},
            {"key": "one_attributes.SITE", "prefix": "site", "default_value": "none", "parent_group": "sites"},
        ],
    )
    assert found.hosts["a"]["ansible_port"] == 2222 and found.hosts["a"]["where"] == "sandbox"
    assert "ansible_port" not in found.hosts["b"] and "one_host" not in found.hosts["a"]
    assert found.groups["databases"] == found.groups["web"] == found.groups["db"] == found.groups["site_eu"] == ["a"]


def test_strict_expressions_fail(cloud: InventoryCloud) -> None:
    cloud.vm("a")
    with pytest.raises(AnsibleError, match="Could not set port for host a"):
        cloud.parse(strict=True, compose={"port": "one_attributes.SSH_PORT"})


def test_what_a_vm_writes_is_never_a_template(cloud: InventoryCloud, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    poison = POISON.replace("FILE", str(mark))
    cloud.vm(poison, SITE=poison, LABELS=poison)
    options = {
        "hostname": "id", "compose": {"site": "one_attributes.SITE", "label": "one_labels[0]"}, "cache": True,
        "cache_plugin": "jsonfile", "cache_connection": str(tmp_path / "cache"),
    }  # fmt: skip
    for _turn in ("fresh", "cached"):
        host = cloud.parse(**options).hosts["one-0"]
        assert host["site"] == host["one_attributes"]["SITE"] == host["one_vm_name"] == poison
        (listed,) = cloud.listed(**options).hosts.values()
        assert listed["site"] == listed["one_attributes"]["SITE"] == poison and poison.startswith(listed["label"])
    assert not mark.exists()


def test_before_ansible_core_2_19_values_are_marked(cloud: InventoryCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    class Marked(str):
        """What wrap_var made of text then."""

    def mark(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: mark(part) for key, part in value.items()}
        if isinstance(value, list):
            return [mark(part) for part in value]
        return Marked(value) if isinstance(value, str) else value

    module = importlib.import_module("ansible_collections.opennebula.flower.plugins.inventory.opennebula")
    monkeypatch.setattr(module, "_UNMARKED_IS_SAFE", False)
    monkeypatch.setattr(module, "wrap_var", mark)
    known: list[dict[str, Any]] = []
    monkeypatch.setattr(
        module.InventoryModule, "_set_composite_vars", lambda self, compose, names, host, strict: known.append(names)
    )
    cloud.vm("a", SITE="x")
    host = cloud.parse(compose={"b": "c"}).hosts["a"]
    assert isinstance(host["one_vm_name"], Marked) and isinstance(host["one_attributes"]["SITE"], Marked)
    assert isinstance(known[0]["one_host"], Marked)


def test_a_cloud_without_oneflow(cloud: InventoryCloud) -> None:
    first, second = cloud.vm("a", FLOWER_FEDERATION="fed"), cloud.vm("b")
    cloud.vm("alone")
    service = cloud.service("named", {"head": [first], "tail": [second]})
    cloud.sandbox.calls.reset()
    found = cloud.parse(use_oneflow=False, oneflow_url="http://127.0.0.1:1", group_by=["role", "federation", "service"])
    assert cloud.sandbox.calls.by_method == {"one.vmpool.infoextended": 1}
    assert set(found.hosts) == {f"service-{service}-head-{first}", f"service-{service}-tail-{second}", "alone"}
    assert set(found.groups) == {"head", "tail", "federation_fed", f"service_{service}", "opennebula"}
    assert "one_service_name" not in found.hosts[f"service-{service}-head-{first}"]
    assert len(cloud.parse(use_oneflow=False, services=[service], roles=["tail"]).hosts) == 1
    assert len(cloud.parse(use_oneflow=False, include_standalone=False).hosts) == 2
