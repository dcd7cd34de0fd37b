# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The walk on plain images, which the playbooks configure over SSH. The tests build on each other, in order."""

from __future__ import annotations

import hashlib
import json
import shlex
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import HOME, PLAIN_IMAGE, ROOT, Walk, federation

FLEET_PORT = 9092


@pytest.fixture(scope="module")
def walk(sandbox: Walk) -> Iterator[Walk]:
    """A federation of plain VMs."""
    with federation("test", federation_delivery="push", federation_image_path=PLAIN_IMAGE) as made:
        yield made


def partition(values: dict[str, Any]) -> int:
    return int(values["one_attributes"]["FL_PARTITION_ID"])


def test_single_site_deploys_from_a_plain_image(walk: Walk) -> None:
    result = walk.playbook("single_site")
    assert result.code == 0
    assert len(walk.online()) == 2


PROBE = """
import socket, ssl
for trusting in (ssl.create_default_context(cafile="/opt/flower/certs/ca.crt"), ssl.create_default_context()):
    trusting.set_alpn_protocols(["h2"])
    with socket.create_connection((%r, %d), timeout=10) as plain:
        try:
            print(trusting.wrap_socket(plain, server_hostname=%r).version())
        except ssl.SSLCertVerificationError:
            print("refused")
"""


def test_fleet_api_speaks_tls_with_the_federations_ca(walk: Walk) -> None:
    """To the federation's VMs, and to nobody else."""
    superlink, node = walk.superlink(), next(iter(walk.by_role("supernode").values()))["ansible_host"]
    probe = shlex.quote(PROBE % (superlink, FLEET_PORT, superlink))
    version, other = walk.ssh(node, f"/opt/flower/venv/bin/python -c {probe}").split()
    assert version in ("TLSv1.2", "TLSv1.3") and other == "refused"


@pytest.mark.parametrize("port", [9091, FLEET_PORT, 9093, 9097])
def test_no_api_is_reachable_from_outside(walk: Walk, port: int) -> None:
    superlink = next(iter(walk.by_role("superlink").values()))
    with pytest.raises(OSError):
        socket.create_connection((superlink["ansible_host"], port), timeout=3)


def test_second_run_changes_nothing_and_writes_nothing(walk: Walk) -> None:
    before = walk.calls()["writes"]
    result = walk.playbook("single_site")
    assert result.code == 0
    assert result.changed == 0
    # What runs inside the VMs, the registrar among it, may write through OneGate; the playbook may not write at all.
    assert walk.calls()["writes"] == before


@pytest.mark.full
def test_check_mode_predicts_no_change(walk: Walk) -> None:
    result = walk.playbook("single_site", "--check", "--diff")
    assert result.code == 0
    assert result.changed == 0


@pytest.mark.full
def test_another_version_than_what_runs_is_refused_before_a_change(walk: Walk) -> None:
    before = walk.calls()["writes"]
    result = walk.playbook("single_site", federation_flower_version="1.41.0")
    assert result.code != 0
    assert "runs another Flower version than 1.41.0" in result.output
    assert walk.calls()["writes"] == before
    assert len(walk.online()) == 2


@pytest.mark.full
def test_inventory_plugin_and_add_host_agree(walk: Walk) -> None:
    listing = walk.folder / "list_hosts.yml"
    listing.write_text(
        "- import_playbook: opennebula.flower.verify\n"
        "- hosts: localhost\n  gather_facts: false\n  tasks:\n"
        "    - ansible.builtin.copy:\n"
        "        content: \"{{ groups | to_json }}\"\n"
        f"        dest: {walk.folder}/groups.json\n        mode: '0600'\n",
        encoding="utf-8",
    )
    # Without the plugin's file every host comes from add_host; with it they would merge into one.
    plugin = walk.folder / "inventory/opennebula.yml"
    hidden = walk.folder / "opennebula.yml"
    hosts = walk.hosts()
    plugin.rename(hidden)
    try:
        assert walk.playbook(str(listing)).code == 0
    finally:
        hidden.rename(plugin)
    groups = json.loads((walk.folder / "groups.json").read_text(encoding="utf-8"))
    assert set(groups["opennebula"]) == set(hosts)
    assert set(groups["supernode"]) == set(walk.by_role("supernode"))
    assert set(groups["federation_test"]) == set(hosts)


def place_shards(walk: Walk) -> None:
    assert walk.playbook(str(ROOT / "demos/sklearn/prepare.yml")).code == 0


def train(walk: Walk, report: str) -> dict[str, Any]:
    result = walk.playbook("train", app=str(ROOT / "demos/sklearn"), train_report_dir=str(walk.folder / report))
    assert result.code == 0
    assert "round 3/3" in result.output
    return dict(json.loads((walk.folder / report / "run.json").read_text(encoding="utf-8")))


def test_two_nodes_train_three_rounds(walk: Walk) -> None:
    place_shards(walk)
    run = train(walk, "first")
    assert run["status"] == "finished:completed"
    assert [entry["round"] for entry in run["rounds"] if entry["round"]] == [1, 2, 3]
    assert all(entry["results"] == 2 for entry in run["rounds"] if entry["round"])
    assert run["rounds"][-1]["central"]["accuracy"] >= 0.90
    report = (walk.folder / "first" / "index.html").read_text(encoding="utf-8")
    assert "<svg" in report and "http://" not in report.replace("http://www.w3.org", "")
    assert list((walk.folder / "first").glob("**/*.npz"))


def test_a_run_that_fails_in_the_serverapp_is_told_with_its_reason(walk: Walk) -> None:
    app = str(ROOT / "tests/e2e/apps/broken")
    result = walk.playbook("train", app=app, train_report_dir=str(walk.folder / "broken"))
    assert result.code != 0
    assert "finished:failed" in result.output
    assert "there is no validation data on this SuperLink" in result.output


@pytest.mark.full
def test_a_run_that_takes_too_long_is_stopped(walk: Walk) -> None:
    result = walk.playbook(
        "train", app=str(ROOT / "demos/sklearn"), train_timeout=4, train_report_dir=str(walk.folder / "late")
    )
    assert result.code != 0
    assert "had not finished after 4 s" in result.output
    assert "finished:stopped" in result.output


def test_scale_up_adds_a_node_that_trains_with_its_own_partition(walk: Walk) -> None:
    assert walk.playbook("scale", federation_supernodes=3).code == 0
    nodes = walk.by_role("supernode")
    assert sorted(partition(values) for values in nodes.values()) == [0, 1, 2]
    place_shards(walk)
    run = train(walk, "second")
    assert run["status"] == "finished:completed"
    assert all(entry["results"] == 3 for entry in run["rounds"] if entry["round"])


def test_each_vm_holds_only_its_own_shard(walk: Walk) -> None:
    made = walk.folder / "shards"
    subprocess.run(
        ["python3", str(ROOT / "demos/sklearn/make_shards.py"), "--out", str(made), "--shards", "3"], check=True
    )
    digests = {hashlib.sha256(path.read_bytes()).hexdigest(): path.name for path in sorted(made.glob("shard*"))}
    assert len(digests) == 3
    for values in walk.by_role("supernode").values():
        found = walk.ssh(values["ansible_host"], "find /opt/flower/data -type f -exec sha256sum {} +").split()
        held = [digests[word] for word in found if word in digests]
        assert len(held) == 1, f"{values['one_vm_name']} holds {held}"
        assert str(partition(values)) in held[0]
    superlink = next(iter(walk.by_role("superlink").values()))
    everything = walk.ssh(superlink["ansible_host"], "find /opt/flower -xdev -type f -size -2M -exec sha256sum {} +")
    assert not [name for digest, name in digests.items() if digest in everything]


def test_scale_down_removes_a_node_and_frees_its_partition(walk: Walk) -> None:
    before = {values["one_vm_id"]: partition(values) for values in walk.by_role("supernode").values()}
    result = walk.playbook("scale", federation_supernodes=2)
    assert result.code == 0
    after = {values["one_vm_id"]: partition(values) for values in walk.by_role("supernode").values()}
    # OneFlow removes the oldest VM; the others keep what they have.
    assert after == {vm: number for vm, number in before.items() if vm != min(before)}
    known = walk.members()
    assert sorted(node["partition_id"] for node in known) == sorted(after.values())
    assert all(node["status"] == "online" for node in known)


@pytest.mark.full
def test_no_secret_in_verbose_output(walk: Walk) -> None:
    result = walk.playbook("verify", "-vvv")
    assert result.code == 0
    password = (HOME / "one_auth").read_text(encoding="utf-8").strip().partition(":")[2]
    assert password not in result.output
    assert "PRIVATE KEY" not in result.output


def test_teardown_leaves_nothing(walk: Walk) -> None:
    assert walk.playbook("teardown").code == 0
    assert walk.playbook("teardown").changed == 0
    assert not walk.hosts()
