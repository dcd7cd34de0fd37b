# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of VMs: the number of requests, and none of them lost between two pages."""

from __future__ import annotations

import math
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.one.inventory.read import read_everything
from inventory_cloud import InventoryCloud

VMS = 5000
PAGE = 500


def attributes(index: int) -> dict[str, Any]:
    return {"LABELS": "web,db/main" if index % 2 else "web", "SITE": f"s{index % 7}", "READY": "YES"}


def test_five_thousand_vms_take_a_request_for_every_500(cloud: InventoryCloud) -> None:
    numbers = cloud.vms(VMS, attributes)
    cloud.service("big", {"head": numbers[:1], "tail": numbers[1:1200]})
    cloud.sandbox.calls.reset()
    found = cloud.parse(group_by=["role", "service", "label", "owner", "host"])
    assert cloud.sandbox.calls.total <= 1 + math.ceil(VMS / PAGE) + 1
    assert len(found.hosts) == VMS == len(found.groups["opennebula"])
    assert len(found.groups["tail"]) == 1199 and len(found.groups["label_db_main"]) == VMS / 2
    cloud.sandbox.calls.reset()
    found = cloud.parse(include_standalone=False)
    assert len(found.hosts) == 1200
    assert cloud.sandbox.calls.by_method["one.vmpool.infoset"] == math.ceil(1200 / PAGE)
    assert cloud.sandbox.calls.total == 1 + math.ceil(1200 / PAGE)


class Shrinking:
    """A connection to a cloud in which VMs go while its pool is read page by page."""

    def __init__(self, count: int, gone: list[int]) -> None:
        self.ids = list(range(count))[::-1]
        self.gone = gone

    def call(self, method: str, who: int, offset: int, size: int, state: int, search: str) -> str:
        page = self.ids[offset : offset - size]
        self.ids = [number for number in self.ids if number not in self.gone]
        return "<VM_POOL>" + "".join(f"<VM><ID>{number}</ID><NAME>x</NAME></VM>" for number in page) + "</VM_POOL>"


def test_no_vm_is_lost_when_others_go_between_two_pages() -> None:
    found = {vm["id"] for vm in read_everything(Shrinking(1200, gone=[1199, 1190, 1000]))}  # type: ignore[arg-type]
    assert found >= set(range(1000)) and len(found) == 1200


def test_vms_that_are_done_or_not_to_be_seen_are_no_hosts(cloud: InventoryCloud) -> None:
    gone, stays = cloud.vm("gone"), cloud.vm("stays")
    cloud.service("one", {"head": [gone, stays, 77]})
    vm = cloud.sandbox.oned.get("vm", gone)
    vm.data.update(state=6, lcm=0)
    cloud.sandbox.oned.touch(vm)
    for options in ({"services": ["one"]}, {}):
        assert set(cloud.parse(states=["all"], **options).hosts) == {f"one-head-{stays}"}
