# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""VMs that configure themselves: nothing logs in to make the federation, and it mends itself. In order.

Boots of an appliance are what costs time: four here by default, and two in molecule/appliance. More of them are `full`.
"""

from __future__ import annotations

import json
import shlex
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import HOME, ROOT, Walk, federation, one_sandbox, scale_behind_our_back, vm_action

# Another authority signs the server's certificate, as if somebody had put himself in its place.
SWAP = """
from pathlib import Path
from flower_ops.pki import tls
ca_key, ca = tls.new_ca("wrong")
key, certificate = tls.new_server_cert(ca_key, ca, "wrong", ["DNS:localhost", "IP:127.0.0.1"])
Path("/opt/flower/certs/server.key").write_bytes(key)
Path("/opt/flower/certs/server.pem").write_bytes(certificate)
"""


@pytest.fixture(scope="module")
def walk(sandbox: Walk) -> Iterator[Walk]:
    """A federation of VMs from the appliance image, which is baked first if it is not there."""
    assert sandbox.playbook("appliance_image").code == 0
    with federation("appliance", federation_supernodes_max=4) as made:
        try:
            yield made
        finally:
            one_sandbox("fault", "clear", f"--home={HOME}")
            made.playbook("teardown")


def whole(walk: Walk, nodes: int, seconds: float = 150) -> list[dict[str, Any]]:
    """Wait until exactly so many SuperNodes are members, all of them online and with partitions of their own."""

    def check() -> list[dict[str, Any]]:
        members = walk.members()
        good = [node for node in members if node["status"] == "online"]
        return members if len(good) == len(members) == nodes else []

    members: list[dict[str, Any]] = walk.wait(f"a federation of {nodes} SuperNodes online", check, seconds)
    assert len({node["partition_id"] for node in members}) == nodes
    return members


def partitions(walk: Walk) -> dict[int, str]:
    return {vm: values["FL_PARTITION_ID"] for vm, values in walk.attributes().items() if "FL_PARTITION_ID" in values}


def vm_of(walk: Walk, role: str) -> int:
    """Id of the youngest VM of a role."""
    return max(int(values["one_vm_id"]) for values in walk.by_role(role).values())


def address(walk: Walk, vm: int) -> str:
    return next(str(values["ansible_host"]) for values in walk.hosts().values() if int(values["one_vm_id"]) == vm)


def boot_id(walk: Walk, vm: int) -> str:
    """When systemd of a VM started, by the machine's clock."""
    return walk.ssh(address(walk, vm), "systemctl show --property=UserspaceTimestampMonotonic").strip()


def reboot(walk: Walk, *vms: int) -> None:
    """Reboot VMs through OpenNebula and wait until each has booted anew."""
    before = {vm: boot_id(walk, vm) for vm in vms}
    for vm in vms:
        vm_action("reboot", vm)
    for vm in vms:
        walk.wait(f"VM {vm} to boot again", lambda vm=vm: boot_id(walk, vm) != before[vm], 90)


def events(walk: Walk) -> dict[int, str]:
    """What each VM said last of what happened to it, with the time."""
    return {vm: values.get("FL_EVENT", "") for vm, values in walk.attributes().items()}


def says_something_new(walk: Walk, before: dict[int, str], *vms: int) -> None:
    """Wait until each of these VMs has told an event since then."""

    def check() -> bool:
        now = events(walk)
        return all(now[vm] and now[vm] != before.get(vm, "") for vm in vms)

    walk.wait(f"an event of each of the VMs {vms}", check, 120)


def train(walk: Walk, results: int) -> None:
    """Three rounds, with the results of all nodes in each."""
    assert walk.playbook(str(ROOT / "demos/sklearn/prepare.yml")).code == 0
    trained = walk.playbook("train", app=str(ROOT / "demos/sklearn"), train_report_dir=str(walk.folder / "report"))
    assert trained.code == 0
    run = json.loads((walk.folder / "report/run.json").read_text(encoding="utf-8"))
    assert run["status"] == "finished:completed"
    assert [entry["results"] for entry in run["rounds"] if entry["round"]] == [results] * 3


def test_the_vms_configure_themselves(walk: Walk) -> None:
    result = walk.playbook("single_site")
    assert result.code == 0
    assert not [host for host, counts in result.recap.items() if host != "localhost" and counts["changed"]]
    assert len(whole(walk, 2, seconds=10)) == 2
    for values in walk.attributes().values():
        assert values["READY"] == "YES"
        assert "FL_ERROR" not in values


def test_second_run_changes_nothing_and_writes_nothing(walk: Walk) -> None:
    before = walk.calls()["writes"]
    result = walk.playbook("single_site")
    assert result.code == 0
    assert result.changed == 0
    assert walk.calls()["writes"] == before


def test_nobody_else_reaches_the_services(walk: Walk) -> None:
    """This machine is in the network of the VMs and no member of the federation."""
    for vm in walk.attributes():
        for port in (9091, 9092, 9093, 9094, 9097, 9098):
            with pytest.raises(OSError):
                socket.create_connection((address(walk, vm), port), timeout=1)


def test_no_secret_leaves_a_vm(walk: Walk) -> None:
    published = json.dumps(walk.attributes())
    assert "PRIVATE KEY" not in published
    for vm in walk.attributes():
        found = walk.ssh(address(walk, vm), "find /opt/flower/certs /etc/flower-ops -name '*.key' -printf '%m %p\\n'")
        assert found.strip()
        assert not [line for line in found.splitlines() if not line.startswith("600 ")]
        told = "journalctl --boot --no-pager --output cat; cat /proc/*/cmdline | tr '\\0' ' '"
        said = walk.ssh(address(walk, vm), told)
        assert "PRIVATE KEY" not in said


def test_it_trains(walk: Walk) -> None:
    train(walk, results=2)


def test_a_scale_behind_our_back_brings_a_node_that_joins_by_itself(walk: Walk) -> None:
    service = next(iter(walk.hosts().values()))["one_service_id"]
    before = partitions(walk)
    scale_behind_our_back(service, "supernode", 3)
    whole(walk, 3)
    after = partitions(walk)
    assert {vm: number for vm, number in after.items() if vm in before} == before
    assert sorted(after.values()) == ["0", "1", "2"]


def test_a_node_whose_key_was_revoked_comes_back_with_a_new_one(walk: Walk) -> None:
    node = next(node for node in walk.members() if node["vm_id"] == str(vm_of(walk, "supernode")))
    old, said = walk.attributes()[int(node["vm_id"])]["FL_NODE_PUBKEY"], events(walk)
    walk.ssh(walk.superlink(), f"/opt/flower/venv/bin/flower-ops member remove --site local --name {node['name']}")
    back = whole(walk, 3, seconds=240)
    assert next(item for item in back if item["vm_id"] == node["vm_id"])["partition_id"] == node["partition_id"]
    assert walk.attributes()[int(node["vm_id"])]["FL_NODE_PUBKEY"] != old
    # It tells once its agent has ended, which is a moment after Flower has it again.
    says_something_new(walk, said, int(node["vm_id"]))


@pytest.mark.full
def test_a_swapped_certificate_is_repaired_and_nobody_is_lost(walk: Walk) -> None:
    command = f"/opt/flower/venv/bin/python -c {shlex.quote(SWAP)} && systemctl restart flower-superlink"
    before = events(walk)
    walk.ssh(walk.superlink(), command)
    whole(walk, 3, seconds=240)
    says_something_new(walk, before, vm_of(walk, "superlink"))
    assert walk.playbook("verify", federation_supernodes=3).code == 0


@pytest.mark.full
def test_a_node_that_was_rebooted_keeps_its_identity(walk: Walk) -> None:
    vm = vm_of(walk, "supernode")
    before, said = walk.members(), events(walk)
    reboot(walk, vm)
    assert whole(walk, 3) == before
    says_something_new(walk, said, vm)


@pytest.mark.full
def test_certificates_and_keys_are_replaced_while_the_federation_stays_up(walk: Walk) -> None:
    before = walk.attributes()
    result = walk.playbook("rotate", rotate_what=["server", "ca", "node_keys"], rotate_min_age=0)
    assert result.code == 0
    assert "PRIVATE KEY" not in result.output
    after = walk.attributes()
    nodes = [vm for vm, values in before.items() if "FL_NODE_PUBKEY" in values]
    assert not [vm for vm in nodes if after[vm]["FL_NODE_PUBKEY"] == before[vm]["FL_NODE_PUBKEY"]]
    superlink = vm_of(walk, "superlink")
    assert after[superlink]["FL_CA_CERT"] != before[superlink]["FL_CA_CERT"]
    whole(walk, 3)


@pytest.mark.full
def test_the_whole_federation_is_back_after_a_reboot_of_every_vm(walk: Walk) -> None:
    before, said = {node["name"]: node["partition_id"] for node in walk.members()}, events(walk)
    reboot(walk, *said)
    after = whole(walk, 3, seconds=300)
    assert {node["name"]: node["partition_id"] for node in after} == before
    says_something_new(walk, said, *said)
    # Flower calls a node online for a minute after its last word, also one that is on its way up; the agents know.
    assert walk.playbook("verify").code == 0
    train(walk, results=3)


@pytest.mark.full
def test_a_node_boots_though_onegate_is_down_for_a_minute(walk: Walk) -> None:
    vm, said = vm_of(walk, "supernode"), events(walk)
    one_sandbox("fault", "add", "--call", "*", "--on", "onegate", "--do", "http", "--code", "503", f"--home={HOME}")
    try:
        reboot(walk, vm)
        time.sleep(60)
        assert "waiting: OneGate" in walk.ssh(address(walk, vm), "journalctl --boot --unit flower-boot --output cat")
    finally:
        one_sandbox("fault", "clear", f"--home={HOME}")
    whole(walk, 3, seconds=240)
    says_something_new(walk, said, vm)


@pytest.mark.full
def test_nodes_wait_for_a_superlink_that_is_late(walk: Walk) -> None:
    superlink, node, said = vm_of(walk, "superlink"), vm_of(walk, "supernode"), events(walk)
    vm_action("poweroff", superlink)
    reboot(walk, node)
    time.sleep(45)
    vm_action("resume", superlink)
    whole(walk, 3, seconds=300)
    says_something_new(walk, said, superlink, node)


@pytest.mark.full
def test_a_superlink_that_is_born_again_elsewhere_is_followed(walk: Walk) -> None:
    before, said = {node["name"]: node["partition_id"] for node in walk.members()}, events(walk)
    old, gone = walk.superlink(), vm_of(walk, "superlink")
    vm_action("terminate-hard", gone)
    walk.wait("the SuperLink to be gone", lambda: not walk.by_role("superlink"), 60)
    assert walk.playbook("single_site", federation_supernodes=3).code == 0
    assert walk.superlink() != old
    after = whole(walk, 3, seconds=300)
    assert {node["name"]: node["partition_id"] for node in after} == before
    says_something_new(walk, said, *(vm for vm in said if vm != gone))


def test_teardown_leaves_nothing(walk: Walk) -> None:
    assert walk.playbook("teardown").code == 0
    assert walk.playbook("teardown").changed == 0
    assert not walk.hosts()
