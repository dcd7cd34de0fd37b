# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A privacy audit of real federations: an honest app, and apps that leak in every way an audit has to see."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from .conftest import NETWORK, PLAIN_IMAGE, ROOT, Result, Walk, docker, federation

pytestmark = pytest.mark.full
LEAKY = str(ROOT / "tests/e2e/apps/leaky")


@pytest.fixture(scope="module")
def walk(sandbox: Walk) -> Iterator[Walk]:
    """Two nodes on plain VMs, each with a shard of its own."""
    with federation("private", federation_delivery="push", federation_image_path=PLAIN_IMAGE) as made:
        try:
            assert made.playbook("single_site").code == 0
            assert made.playbook(str(ROOT / "demos/sklearn/prepare.yml")).code == 0
            yield made
        finally:
            made.playbook("teardown")


def audit(walk: Walk, name: str, app: str, **config: Any) -> tuple[Result, dict[str, Any]]:
    """One audit and its figures."""
    folder = walk.folder / name
    result = walk.playbook(
        "privacy_audit",
        app=app,
        privacy_audit_report_dir=str(folder),
        privacy_audit_run_config={"num-server-rounds": 1, **config},
    )
    assert nothing_left(walk)
    return result, json.loads((folder / "audit.json").read_text(encoding="utf-8"))


def nothing_left(walk: Walk) -> bool:
    """Neither files nor units of an audit on any VM, and all SuperNodes are back."""
    look = "ls -d /var/lib/flower-audit /tmp/flower-audit-control-* 2>/dev/null; systemctl is-active flower-audit; true"
    return {walk.ssh(one["ansible_host"], look).strip() for one in walk.hosts().values()} == {"inactive"}


def kinds(figures: dict[str, Any]) -> set[str]:
    return {one["kind"] for one in figures["failures"]}


def said(figures: dict[str, Any]) -> str:
    return " ".join(one["text"] for one in figures["failures"])


def test_no_sample_of_the_demo_leaves_its_node(walk: Walk) -> None:
    result, figures = audit(walk, "honest", str(ROOT / "demos/sklearn"), model="digits")
    assert result.code == 0, said(figures)
    assert figures["verdict"] == "clean"
    for node in figures["nodes"]:
        assert node["looked_for"] > 0.9 * node["samples"] > 300
        assert node["encrypted"] and node["handshakes"] >= 1 and node["messages"] > 10000
        assert 0 < node["surplus"] < node["surplus_allowed"]
    page = (walk.folder / "honest/index.html").read_text(encoding="utf-8")
    assert "No sample left its node" in page and "SSH from the control machine" in page


@pytest.mark.parametrize("leak", ["metrics", "array"])
def test_samples_in_a_reply_are_found_on_the_superlink(walk: Walk, leak: str) -> None:
    result, figures = audit(walk, leak, LEAKY, leak=leak)
    assert result.code != 0 and kinds(figures) == {"leak"}, said(figures)
    nodes = {one["name"] for one in figures["nodes"]}
    assert {one["node"] for one in figures["failures"] if one["node"]} == nodes
    # The single sample comes first: what has leaked once is found by every later audit.
    for name in nodes:
        assert f"of {name} (file 1: " in said(figures)
        assert leak == "array" or f"1 sample of {name} (file 1: 1) as" in said(figures)
    assert "as 64-bit floats, divided by the greatest" in said(figures)
    assert "lie on the SuperLink in /opt/flower/state/state.db" in said(figures)
    assert "Samples left their node." in result.output
    if leak == "array":
        assert "Replies of the nodes weigh" in said(figures)


def test_the_same_app_without_a_leak_is_clean_but_for_what_lies_there(walk: Walk) -> None:
    """The log of the database still holds what the runs before it left: an audit tells, and says how old it is."""
    _result, figures = audit(walk, "after", LEAKY, leak="none")
    assert "weigh" not in said(figures) and "none of its peers" not in said(figures)
    assert kinds(figures) <= {"leak"}


def test_bytes_to_a_stranger_are_told_by_address_and_what_they_are(walk: Walk) -> None:
    gateway = docker("network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}", NETWORK)
    with socket.create_server((gateway, 0)) as stranger:
        address = f"{gateway}:{stranger.getsockname()[1]}"
        result, figures = audit(walk, "stranger", LEAKY, leak="stranger", stranger=address)
    assert result.code != 0
    port = address.rpartition(":")[2]
    assert f"{gateway} port {port}/tcp, which is none of its peers" in said(figures)
    assert f"left it without encryption, to {gateway} port {port}/tcp" in said(figures)


def test_canaries_stand_in_for_data_that_all_nodes_have(walk: Walk) -> None:
    for one in walk.by_role("supernode").values():
        walk.ssh(one["ansible_host"], "mv /opt/flower/data/shard.npz /run/shard.npz")
    folder = walk.folder / "canary"
    result = walk.playbook(
        "privacy_audit",
        app=LEAKY,
        privacy_audit_canary="digits",
        privacy_audit_run_config={"leak": "metrics"},
        privacy_audit_report_dir=str(folder),
    )
    figures = json.loads((folder / "audit.json").read_text(encoding="utf-8"))
    assert result.code != 0 and {node["samples"] for node in figures["nodes"]} == {120}
    assert "1 sample of" in said(figures)
    for one in walk.by_role("supernode").values():
        assert walk.ssh(one["ansible_host"], "ls /opt/flower/data").strip() == ""
