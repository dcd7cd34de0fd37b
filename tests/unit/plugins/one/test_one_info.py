# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The info modules: filters, number of calls, pages, states nobody knows yet."""

from __future__ import annotations

from typing import Any
from unittest import mock

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.objects import VM_TEMPLATE
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.pools import read_pool
from ansible_collections.opennebula.flower.plugins.module_utils.one.data.xml import number, to_dict
from ansible_collections.opennebula.flower.plugins.module_utils.one.info import objects as info
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.hosts import represent_host
from ansible_collections.opennebula.flower.plugins.module_utils.one.info.vnets import represent_vnet

POOLS = (
    ("one_image_info", "images"), ("one_template_info", "templates"), ("one_host_info", "hosts"),
    ("one_vnet_info", "vnets"),
)  # fmt: skip


@pytest.mark.parametrize(("module", "key"), POOLS)
def test_one_object_by_id_is_one_call(cloud, image, vm_template, module, key) -> None:
    result = cloud.run(module, id=0)
    assert [found["id"] for found in result[key]] == [0], result
    assert cloud.calls.total == 1 and cloud.calls.writes == 0


@pytest.mark.parametrize(("module", "key"), POOLS)
def test_several_ids_are_one_call_and_missing_ones_are_left_out(cloud, image, vm_template, module, key) -> None:
    result = cloud.run(module, ids=[0, 499, 0])
    assert [found["id"] for found in result[key]] == [0], result
    assert cloud.calls.total == 1
    assert cloud.run(module, ids=[99999])[key] == [] and cloud.calls.total == 1
    assert cloud.run(module, ids=[])[key] == [] and cloud.calls.total == 0


@pytest.mark.parametrize(("module", "key"), POOLS)
def test_check_mode_reads_the_same(cloud, image, vm_template, module, key) -> None:
    # VMs of earlier tests on their way out change what a host tells: two equal readings beside it decide.
    for _turn in range(50):
        before, checked, after = (cloud.run(module, check=check, id=0)[key] for check in (False, True, False))
        if before == after:
            break
    assert checked == before == after
    assert not cloud.run(module, check=True)["changed"]


def test_filters(cloud, name) -> None:
    cloud.run("one_template", name=f"{name}-1", template={"CPU": 1}, labels=["x/deep", "y"], mark="fed-info")
    cloud.run("one_template", name=f"{name}-2", template={"CPU": 1}, labels=["x", "xx"])
    cloud.run("one_template", name=f"{name}[3]", template={"CPU": 1})

    def names(**filters) -> list[str]:
        filters.setdefault("name", f"{name}-*")
        return [one["name"] for one in cloud.run("one_template_info", **filters)["templates"]]

    both = [f"{name}-1", f"{name}-2"]
    assert names() == both and cloud.calls.total == 1
    assert names(name=f"{name}[3]") == [f"{name}[3]"]
    assert names(labels=["y"]) == both[:1]
    assert names(labels=["x"]) == both, "a label stands for those below it"
    assert names(labels=["x/deep"]) == both[:1] and names(labels=["x", "y"]) == both[:1]
    assert names(labels=["deep"]) == [] and names(labels=["X"]) == []
    assert names(mark="fed-info") == both[:1]
    assert names(owner="alice") == [] and names(owner="oneadmin") == both and names(owner="0") == both
    assert names(group="oneadmin") == both and names(group="users") == []


def test_filters_of_images(cloud, name) -> None:
    for suffix, options in (("os", {"type": "OS"}), ("data", {"persistent": True}), ("off", {"enabled": False})):
        assert cloud.run("one_image", name=f"{name}-{suffix}", size=1, **options).ok

    def found(**filters) -> list[str]:
        result = cloud.run("one_image_info", name=f"{name}-*", **filters)
        assert cloud.calls.total == 1
        return [one["name"].rpartition("-")[2] for one in result["images"]]

    assert found() == ["os", "data", "off"]
    assert found(type="OS") == ["os"] and found(type="DATABLOCK") == ["data", "off"]
    assert found(persistent=True) == ["data"] and found(persistent=False) == ["os", "off"]
    assert found(states=["disabled"]) == ["off"] and found(state="READY") == ["os", "data"]
    assert found(datastore="default") == found(datastore="1") == ["os", "data", "off"] and found(datastore="x") == []


def test_an_image_tells_all_that_the_cloud_does(cloud, image) -> None:
    found = cloud.run("one_image_info", name=image)["images"][0]
    assert found["registered"] > 0 and found["clones"] == [] and found["snapshots"] == [] and found["lock"] == "none"
    body = to_dict(
        "<IMAGE><ID>3</ID><STATE>1</STATE><TYPE>0</TYPE><CLONES><ID>5</ID></CLONES><CLONING_ID>-1</CLONING_ID>"
        "<SNAPSHOTS><SNAPSHOT><ACTIVE>YES</ACTIVE><DATE>9</DATE><ID>0</ID><NAME>s</NAME><PARENT>-1</PARENT><SIZE>7"
        "</SIZE></SNAPSHOT></SNAPSHOTS><BACKUP_INCREMENTS><INCREMENT><DATE>8</DATE><ID>0</ID><PARENT_ID>-1</PARENT_ID>"
        "<SIZE>2</SIZE><SOURCE>a</SOURCE><TYPE>FULL</TYPE></INCREMENT></BACKUP_INCREMENTS>"
        "<BACKUP_DISK_IDS><ID>0</ID><ID>1</ID></BACKUP_DISK_IDS></IMAGE>"
    )
    told = info.represent_image(body)
    assert told["clones"] == [5] and told["cloned_from"] is None and told["backup_disks"] == [0, 1]
    assert told["snapshots"] == [{"id": 0, "name": "s", "date": 9, "size": 7, "parent": None, "active": True}]
    assert told["backup_increments"] == [
        {"id": 0, "type": "FULL", "date": 8, "size": 2, "source": "a", "parent": None}
    ]  # fmt: skip


def test_filters_of_vms(cloud, name, vm_template) -> None:
    assert cloud.run("one_vm", name=f"{name}-a", template=vm_template).ok
    cloud.calls.reset()
    read = cloud.run("one_vm_info", name=f"{name}-*", states=["running"], group="oneadmin")
    assert [one["name"] for one in read["vms"]] == [f"{name}-a"] and cloud.calls.total == 2
    assert cloud.run("one_vm_info", name=f"{name}-*", states=["POWEROFF"])["vms"] == []
    assert cloud.calls.total == 1, "whose short body does not fit is not asked for details"
    assert cloud.run("one_vm_info", name=f"{name}-*", group="users")["vms"] == []


def test_pools_are_read_in_pages(cloud, name) -> None:
    for index in range(5):
        cloud.admin.call("one.template.allocate", {"NAME": f"{name}-{index}"})
    everything = read_pool(cloud.admin, "one.templatepool.info", "VMTEMPLATE")
    cloud.calls.reset()
    paged = read_pool(cloud.admin, "one.templatepool.info", "VMTEMPLATE", page=2)
    assert [number(body, "ID") for body in paged] == [number(body, "ID") for body in everything]
    assert cloud.calls.total <= len(everything) // 2 + 2


def test_ids_far_apart_cost_the_newest_page_and_one_call_per_stretch(cloud, name) -> None:
    made = [cloud.admin.call("one.template.allocate", {"NAME": f"{name}-{index}"}) for index in range(9)]
    with mock.patch.object(info, "PAGE", 3):

        def found(*wanted: int) -> tuple[list[int], int]:
            cloud.calls.reset()
            bodies = info.read_ids(cloud.admin, VM_TEMPLATE, wanted)
            return sorted({number(body, "ID") for body in bodies} & set(wanted)), cloud.calls.total

        assert found(made[0], made[2]) == ([made[0], made[2]], 1)
        assert found(made[0], made[8]) == ([made[0], made[8]], 2)
        assert found(made[0], made[4], made[8]) == ([made[0], made[4], made[8]], 3)
        assert found(made[7], made[8] + 500) == ([made[7]], 1), "what is newer than the newest does not exist"


@pytest.mark.parametrize(("module", "key"), POOLS)
def test_states_that_nobody_knows_yet_have_a_name(module, key) -> None:
    body: dict[str, Any] = {"ID": "0", "NAME": "x", "STATE": "77", "TYPE": "1"}
    represent = {"one_image_info": info.represent_image, "one_host_info": represent_host,
                 "one_vnet_info": represent_vnet}.get(module)  # fmt: skip
    if represent is not None:
        assert represent(body)["state"] == "UNKNOWN(77)" and represent(body)["state_id"] == 77


def test_modules_end_with_a_sentence_when_the_cloud_is_down(cloud) -> None:
    dead = {**cloud.api, "api_url": "http://127.0.0.1:1/RPC2"}
    for module in ("one_image_info", "one_template_info", "one_vm_info", "one_host_info", "one_vnet_info"):
        result = cloud.run(module, api=dead)
        assert not result.ok and "check api_url" in result["msg"]
