# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Thousands of VMs: the number of requests, and none of them lost between two pages."""

from __future__ import annotations

import math
from typing import Any

import pytest
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
