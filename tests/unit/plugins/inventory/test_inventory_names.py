# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names of hosts: unique, and not dependent on what else is asked for."""

from __future__ import annotations

from inventory_cloud import InventoryCloud, nic


def test_d29_vms_of_one_name_are_hosts_of_their_own(cloud: InventoryCloud) -> None:
    first, second = cloud.vm("web"), cloud.vm("web")
    cloud.vm("db")
    found = cloud.parse()
    assert set(found.hosts) == {f"web-{first}", f"web-{second}", "db"}
    assert {found.hosts[f"web-{number}"]["one_vm_id"] for number in (first, second)} == {first, second}


def test_a_name_does_not_depend_on_filters_and_states(cloud: InventoryCloud) -> None:
    first = cloud.vm("web", LABELS="a")
    cloud.vm("web", state="poweroff")
    assert set(cloud.parse().hosts) == set(cloud.parse(labels=["a"]).hosts) == {f"web-{first}"}


def test_a_vm_may_be_named_like_another_with_its_id(cloud: InventoryCloud) -> None:
    for name in ("web", "web", "web-0", "web-1-1"):
        cloud.vm(name)
    found = cloud.parse()
    assert {name: host["one_vm_id"] for name, host in found.hosts.items()} == {
        "web-0-0": 0, "web-1": 1, "web-0": 2, "web-1-1": 3,
    }  # fmt: skip


def test_names_of_services_stay_whoever_else_is_called_so(cloud: InventoryCloud) -> None:
    number = cloud.vm("x_0_(service_1)")
    cloud.vm(f"one-head-{number}")
    cloud.service("one", {"head": [number]})
    found = cloud.parse()
    assert found.hosts[f"one-head-{number}"]["one_role"] == "head"
    assert found.hosts["one-head-0-1"]["one_vm_id"] == 1


def test_a_vm_cannot_pass_for_a_group_or_this_machine(cloud: InventoryCloud) -> None:
    for name in ("localhost", "all", "opennebula", "tail", "mine", "label_x"):
        cloud.vm(name, FLOWER_ROLE="tail", LABELS="x", SSH_PORT="1")
    found = cloud.parse(
        group_by=["role", "label"], groups={"mine": "true"}, compose={"ansible_port": "one_attributes.SSH_PORT"}
    )
    assert set(found.hosts) == {"localhost-0", "all-1", "opennebula-2", "tail-3", "mine-4", "label_x-5"}
    assert all(host["ansible_port"] == "1" for host in found.hosts.values())
    assert {len(found.groups[name]) for name in ("mine", "label_x", "tail", "opennebula")} == {6}


def test_a_vm_that_is_called_as_a_keyed_group_says_nothing_about_its_hosts(cloud: InventoryCloud) -> None:
    cloud.vm("good", SITE="eu", SSH_PORT="22")
    cloud.vm("site_eu", SITE="eu", SSH_PORT="666")
    keyed = [{"key": "one_attributes.SITE", "prefix": "site"}]
    found = cloud.parse(compose={"ansible_port": "one_attributes.SSH_PORT"}, keyed_groups=keyed)
    assert found.groups["site_eu"] == ["good"] and found.hosts["good"]["ansible_port"] == "22"
    assert "ansible_port" not in found.hosts["site_eu"] and "site_eu" in found.groups["opennebula"]
    assert found.said == ["opennebula: host site_eu has the name of a group; expressions leave it out"]


def test_strategies(cloud: InventoryCloud) -> None:
    number = cloud.vm("head_0_(service_0)", nics=[nic("10.0.0.9")])
    cloud.vm("my vm:[1]", nics=[nic("10.0.0.10")])
    cloud.vm("bare", nics=[])
    cloud.service("my fed", {"head": [number]})
    expected = {
        "role": {"my-fed-head-0", "my-vm-1", "bare"},
        "vm": {"head_0_-service_0", "my-vm-1", "bare"},
        "address": {"10.0.0.9", "10.0.0.10", "bare"},
        "id": {"one-0", "one-1", "one-2"},
    }
    for strategy, names in expected.items():
        assert set(cloud.parse(hostname=strategy, require_address=False).hosts) == names


def test_one_address_twice(cloud: InventoryCloud) -> None:
    for number in range(2):
        cloud.vm(f"vm{number}", nics=[nic("10.0.0.9")])
    assert set(cloud.parse(hostname="address").hosts) == {"10.0.0.9-0", "10.0.0.9-1"}
