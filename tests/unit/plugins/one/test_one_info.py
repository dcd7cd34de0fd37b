# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The info modules: filters, number of calls, pages."""

from __future__ import annotations

from ansible_collections.opennebula.flower.plugins.module_utils.one.pools import read_pool
from ansible_collections.opennebula.flower.plugins.module_utils.one.xml import number


def test_one_object_by_id_is_one_call(cloud, image, vm_template) -> None:
    for module, key in (("one_image_info", "images"), ("one_template_info", "templates"), ("one_host_info", "hosts"),
                        ("one_vnet_info", "vnets")):  # fmt: skip
        result = cloud.run(module, id=0)
        assert [found["id"] for found in result[key]] == [0], result
        assert cloud.calls.total == 1 and cloud.calls.writes == 0


def test_filters(cloud, name) -> None:
    cloud.run("one_template", name=f"{name}-1", template={"CPU": 1}, labels=["x", "y"], mark="fed-info")
    cloud.run("one_template", name=f"{name}-2", template={"CPU": 1}, labels=["x"])

    def names(**filters) -> list[str]:
        return [one["name"] for one in cloud.run("one_template_info", **filters)["templates"]]

    assert names(name=f"{name}-*") == [f"{name}-1", f"{name}-2"]
    assert names(name=f"{name}-*", labels=["y"]) == [f"{name}-1"]
    assert names(mark="fed-info") == [f"{name}-1"]
    assert names(name=f"{name}-*", owner="alice") == []
    assert names(ids=[]) == [] and names(ids=[9999]) == []
    assert cloud.run("one_image_info", datastore="nope")["images"] == []


def test_networks_count_their_addresses(cloud, name, vm_template) -> None:
    before = cloud.run("one_vnet_info", name="private")["vnets"][0]
    assert before["state"] == "READY" and before["size"] == before["free"] + before["used"]
    assert cloud.run("one_vm", name=name, template=vm_template).ok
    after = cloud.run("one_vnet_info", name="private")["vnets"][0]
    assert after["used"] == before["used"] + 1
    assert after["address_ranges"][0]["ip"]


def test_hosts_tell_their_capacity(cloud) -> None:
    host = cloud.run("one_host_info", name="sandbox")["hosts"][0]
    assert host["state"] == "MONITORED" and host["memory"]["total"] > 0 and host["cluster"]["name"] == "default"
    assert cloud.run("one_host_info", name="nope")["hosts"] == []


def test_pools_are_read_in_pages(cloud, name) -> None:
    for index in range(5):
        cloud.admin.call("one.template.allocate", {"NAME": f"{name}-{index}"})
    everything = read_pool(cloud.admin, "one.templatepool.info", "VMTEMPLATE")
    cloud.calls.reset()
    paged = read_pool(cloud.admin, "one.templatepool.info", "VMTEMPLATE", page=2)
    assert [number(body, "ID") for body in paged] == [number(body, "ID") for body in everything]
    assert cloud.calls.total == len(everything) // 2 + 1


def test_modules_end_with_a_sentence_when_the_cloud_is_down(cloud) -> None:
    dead = {**cloud.api, "api_url": "http://127.0.0.1:1/RPC2"}
    for module in ("one_image_info", "one_template_info", "one_vm_info", "one_host_info", "one_vnet_info"):
        result = cloud.run(module, api=dead)
        assert not result.ok and "cannot connect" in result["msg"] and "check api_url" in result["msg"]
