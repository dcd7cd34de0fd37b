# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which VMs become hosts: states and filters, one by one and together."""

from __future__ import annotations

from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.one.core.filters import has_label
from inventory_cloud import InventoryCloud


def names(cloud: InventoryCloud, **options: Any) -> set[str]:
    return set(cloud.parse(**{"hostname": "vm", **options}).hosts)


@pytest.fixture
def filled(cloud: InventoryCloud) -> InventoryCloud:
    oned = cloud.sandbox.oned
    admin = oned.session_for(0)
    group = oned.call(admin, "one.group.allocate", "lab")
    user = oned.call(admin, "one.user.allocate", "ann", "secret-of-ann", "", [group])
    cloud.vm("plain")
    cloud.vm("dash", LABELS="my-label, other", SITE="a", STAGE="test")
    cloud.vm("deep", LABELS="web/front/eu,db", SITE="b", owner=(user, group))
    cloud.vm("wide", LABELS="website", SITE="7", FLAG="YES", owner=(user, 0), host="other-host")
    return cloud


def test_states(cloud: InventoryCloud) -> None:
    for state in ("running", "poweroff", "suspended", "booting", "backup", "backup_off"):
        cloud.vm(state, state=state)
    # A backup at night takes no host out of the inventory.
    assert names(cloud) == {"running", "backup"}
    assert names(cloud, states=["poweroff", "suspended"]) == {"poweroff", "suspended", "backup_off"}
    assert len(names(cloud, states=["all"])) == 6


def test_d29_labels_match_as_they_are_written(filled: InventoryCloud) -> None:
    assert names(filled, labels=["my-label"]) == {"dash"}
    assert names(filled, labels=["my_label"]) == set()
    assert names(filled, labels=["other", "db"]) == {"dash", "deep"}
    assert names(filled, labels=["other", "my-label"], match_labels="all") == {"dash"}
    assert names(filled, labels=["other", "db"], match_labels="all") == set()


def test_a_label_finds_what_is_below_it(filled: InventoryCloud) -> None:
    for label in ("web", "web/front", "web/front/eu", "/web/front/"):
        assert names(filled, labels=[label]) == {"deep"}, label
    assert names(filled, labels=["web/back"]) == names(filled, labels=["front"]) == set()
    assert has_label(["a/b"], "a") and not has_label(["ab"], "a") and not has_label([], "a")


def test_owners_groups_hosts_clusters_by_name_or_id(filled: InventoryCloud) -> None:
    vm = next(vm for vm in filled.sandbox.oned.pools["vm"].values() if vm.name == "deep")
    assert names(filled, owners=["ann"]) == names(filled, owners=[vm.uid]) == {"deep", "wide"}
    assert names(filled, user_groups=["lab"]) == names(filled, user_groups=[vm.gid]) == {"deep"}
    assert names(filled, owners=["ann"], user_groups=["oneadmin"]) == {"wide"}
    assert names(filled, on_hosts=["other-host"]) == {"wide"}
    filled.vm("waits", state="poweroff", host=None)
    assert len(names(filled, clusters=["default"], states=["all"])) == 4
    assert len(names(filled, clusters=[0], states=["all"])) == 4
    assert names(filled, clusters=["elsewhere", 12]) == set()


def test_attributes(filled: InventoryCloud) -> None:
    assert names(filled, attributes={"SITE": ["a", "b"]}) == {"dash", "deep"}
    assert names(filled, attributes={"site": 7}) == names(filled, attributes={"FLAG": True}) == {"wide"}
    assert names(filled, attributes={"SITE": ["a", "b"], "STAGE": "test"}) == {"dash"}
    assert names(filled, attributes={"SITE": None}) == {"dash", "deep", "wide"}
    assert names(filled, attributes={"SITE": "A"}) == set()


def test_names_are_shell_patterns(filled: InventoryCloud) -> None:
    assert names(filled, names=["d*", "plain"]) == {"dash", "deep", "plain"}
    assert names(filled, names=["D*"]) == set()


def test_every_filter_has_to_hold(filled: InventoryCloud) -> None:
    assert names(filled, labels=["website", "db"], owners=["ann"], attributes={"SITE": [7, "a"]}) == {"wide"}


def test_services_roles_and_federations(cloud: InventoryCloud) -> None:
    first, second, third = (cloud.vm(f"vm{number}") for number in range(3))
    cloud.vm("alone")
    cloud.vm("marked", FLOWER_FEDERATION="fed", FLOWER_ROLE="tail")
    one = cloud.service("one", {"head": [first], "tail": [second]}, mark="fed")
    cloud.service("two", {"head": [third]})
    hosts = {"one-head-0", "one-tail-1"}
    assert names(cloud, hostname="role", services=["one"]) == hosts == names(cloud, hostname="role", services=[one])
    assert names(cloud, federations=["fed"]) == {"vm0", "vm1", "marked"}
    assert names(cloud, federations=["fed"], include_standalone=False) == {"vm0", "vm1"}
    assert names(cloud, roles=["tail"]) == {"vm1", "marked"}
    assert names(cloud, roles=["head"], services=["two", "none"]) == {"vm2"}
    assert names(cloud, include_standalone=False) == {"vm0", "vm1", "vm2"}
    assert len(names(cloud)) == 5


def test_the_vms_of_one_service_are_read_by_their_ids(cloud: InventoryCloud) -> None:
    chosen, other = cloud.vm("a"), cloud.vm("b")
    cloud.service("one", {"head": [chosen]})
    cloud.service("two", {"head": [other]})
    cloud.sandbox.calls.reset()
    assert names(cloud, services=["one"]) == {"a"}
    assert cloud.sandbox.calls.by_method == {"GET /service": 1, "one.vmpool.infoset": 1}
    cloud.sandbox.calls.reset()
    assert names(cloud, services=["none"]) == set()
    assert cloud.sandbox.calls.total == 1
