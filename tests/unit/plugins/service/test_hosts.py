# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Names, groups and variables of hosts."""

from __future__ import annotations

from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.one.service.hosts import (
    address_of,
    group_name,
    host_name,
    service_hosts,
    settled_state,
)


def vm(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "id": number,
        "name": f"vm{number}",
        "state": "RUNNING",
        "nics": [
            {"network": "public", "network_id": 1, "ip": f"192.0.2.{number}"},
            {"network": "private", "network_id": 0, "ip": f"10.0.0.{number}"},
        ],
        "attributes": {"READY": "YES", "API_TOKEN": "abc"},
        **changes,
    }


SERVICE = {"id": 7, "name": "my fed", "mark": "site-1", "roles": {"superlink": {"vms": [5]}, "2nd": {"vms": [12, 9]}}}


def test_hosts_of_a_service() -> None:
    hosts = service_hosts(SERVICE, [vm(5), vm(9), vm(12), vm(30)], network="private")
    assert [host["name"] for host in hosts] == ["my-fed-superlink-5", "my-fed-2nd-9", "my-fed-2nd-12"]
    assert hosts[0]["groups"] == ["superlink", "federation_site_1", "opennebula"]
    assert hosts[1]["groups"] == ["_2nd", "federation_site_1", "opennebula"]
    assert hosts[0]["vars"] == {
        "ansible_host": "10.0.0.5",
        "one_vm_id": 5,
        "one_vm_name": "vm5",
        "one_role": "superlink",
        "one_service_id": 7,
        "one_service_name": "my fed",
        "one_attributes": {"READY": "YES", "API_TOKEN": "********"},
    }


def test_without_a_mark_the_name_makes_the_group() -> None:
    hosts = service_hosts({**SERVICE, "mark": None}, [vm(5)])
    assert hosts[0]["groups"][1] == "federation_my_fed"
    assert hosts[0]["vars"]["ansible_host"] == "192.0.2.5"


def test_only_machines_that_can_be_reached_are_hosts() -> None:
    machines = [vm(5, state="POWEROFF"), vm(9, nics=[]), vm(12, state="SHUTDOWN")]
    assert service_hosts(SERVICE, machines) == []
    assert len(service_hosts(SERVICE, machines, states=("running", "poweroff"))) == 1
    assert service_hosts(SERVICE, [vm(5)], network="elsewhere") == []


def test_a_network_is_chosen_by_name_or_id_and_ipv6_will_do() -> None:
    assert address_of(vm(1), "private") == address_of(vm(1), 0) == address_of(vm(1), "0") == "10.0.0.1"
    six = {"network": "n", "network_id": 3, "ip": None, "ip6": "2001:db8::1"}
    assert address_of(vm(1, nics=[six])) == "2001:db8::1"
    assert address_of(vm(1, nics=[])) is None


def test_what_a_vm_is_while_the_cloud_works_on_it() -> None:
    expected = {
        "RUNNING": "running", "BACKUP": "running", "HOTPLUG_NIC": "running", "MIGRATE": "running",
        "DISK_SNAPSHOT": "running", "POWEROFF": "poweroff", "BACKUP_POWEROFF": "poweroff",
        "HOTPLUG_NIC_POWEROFF": "poweroff", "DISK_RESIZE_UNDEPLOYED": "undeployed",
        "DISK_SNAPSHOT_SUSPENDED": "suspended", "SHUTDOWN_POWEROFF": "shutdown_poweroff", "BOOT": "boot",
        "SAVE_MIGRATE": "save_migrate", "UNKNOWN": "unknown",
    }  # fmt: skip
    assert {state: settled_state(state) for state in expected} == expected
    assert len(service_hosts(SERVICE, [vm(5, state="BACKUP")])) == 1


def test_names_are_valid_for_ansible() -> None:
    assert group_name("federation_a b-c.d") == "federation_a_b_c_d"
    assert group_name("1st") == "_1st"
    assert host_name("a [1:3] b") == "a-1-3-b"
    assert host_name(":") == "vm"
