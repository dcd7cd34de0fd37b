# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How many requests it takes: by id one, by name one for every 500, a service's VMs one."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from proof_cloud import ProofCloud, plant_zeros, running

BY_ID = {
    "one_image": "one.image.info",
    "one_template": "one.template.info",
    "one_vm": "one.vmpool.infoset",
    "one_service_template": "GET /service_template/:id",
    "one_image_info": "one.image.info",
    "one_template_info": "one.template.info",
    "one_vm_info": "one.vmpool.infoset",
    "one_service_template_info": "GET /service_template/:id",
}


@pytest.mark.parametrize("module", BY_ID)
def test_by_id_it_takes_one_request(cloud: ProofCloud, module: str) -> None:
    state = {"state": "present"} if module == "one_vm" else {}
    cloud.ok(module, id=0, **state)
    assert dict(cloud.calls.by_method) == {BY_ID[module]: 1}, module


def test_several_vms_by_id_take_one_request(cloud: ProofCloud) -> None:
    name = cloud.name("set")
    vms = cloud.ok("one_vm", name=name, count=7, template=cloud.vm_template())["vms"]
    assert len(cloud.ok("one_vm_info", ids=[vm["id"] for vm in vms])["vms"]) == 7
    assert dict(cloud.calls.by_method) == {"one.vmpool.infoset": 1}


def test_the_vms_of_a_service_take_one_request_whatever_their_number(cloud: ProofCloud) -> None:
    name = cloud.service(nodes=9)
    for module in ("one_service", "one_service_info"):
        cloud.ok(module, name=name)
        assert cloud.calls.by_method["one.vmpool.infoset"] <= 1, (module, cloud.calls.by_method)
        assert cloud.calls.total <= 2 and cloud.calls.writes == 0, (module, cloud.calls.by_method)


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ProofCloud]:
    """A cloud with 1001 VM templates, and as many VMs that wait on hold."""
    with running(tmp_path_factory.mktemp("large")) as started:
        plant_zeros(started)
        for number in range(1000):
            started.admin.call("one.template.allocate", {"NAME": f"many-{number}", "CPU": "0.1", "MEMORY": "64"})
            started.admin.call("one.template.instantiate", 1, f"many-{number}", True, "", False)
        yield started


@pytest.mark.parametrize(
    ("module", "pool", "more"),
    [
        ("one_template", "one.templatepool.info", {}),
        ("one_template_info", "one.templatepool.info", {}),
        ("one_vm", "one.vmpool.info", {"one.vmpool.infoset": 1}),
        ("one_vm_info", "one.vmpool.info", {"one.vmpool.infoset": 1}),
    ],
)
def test_by_name_it_takes_one_request_for_every_500(
    large: ProofCloud, module: str, pool: str, more: dict[str, int]
) -> None:
    """1001 objects are three pages, wherever in them the name stands."""
    state = {"state": "present"} if module == "one_vm" else {}
    for name in ("many-0", "many-500", "many-999"):
        large.ok(module, name=name, **state)
        assert dict(large.calls.by_method) == {pool: 3, **more}, module


def test_many_details_are_read_in_pages_of_500(large: ProofCloud) -> None:
    vms = large.ok("one_vm_info", name="many-*")["vms"]
    assert len(vms) == 1000
    assert dict(large.calls.by_method) == {"one.vmpool.info": 3, "one.vmpool.infoset": 2}
