# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The quick start without OneFlow: single VMs, the SuperLink's address and the partitions given."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from .conftest import PLAIN_IMAGE, ROOT, Walk, federation


@pytest.fixture(scope="module")
def walk(sandbox: Walk) -> Iterator[Walk]:
    """A federation of three VMs on a cloud whose OneFlow is not told."""
    with federation(
        "plain", federation_delivery="push", federation_image_path=PLAIN_IMAGE, federation_oneflow_url=""
    ) as made:
        try:
            yield made
        finally:
            made.playbook("teardown")


def test_vms_without_a_service_make_a_federation(walk: Walk) -> None:
    assert walk.playbook("plain_vms").code == 0
    assert [len(walk.by_role(role)) for role in ("superlink", "supernode")] == [1, 2]


@pytest.mark.full
def test_second_run_changes_nothing_and_writes_nothing(walk: Walk) -> None:
    before = walk.calls()["writes"]
    result = walk.playbook("plain_vms")
    assert result.code == 0
    assert result.changed == 0
    assert walk.calls()["writes"] == before


def test_it_trains_on_the_partitions_that_were_given(walk: Walk) -> None:
    assert walk.playbook(str(ROOT / "demos/sklearn/prepare.yml")).code == 0
    reports = str(walk.folder / "report")
    assert walk.playbook("train", app=str(ROOT / "demos/sklearn"), train_report_dir=reports).code == 0
    run = json.loads((walk.folder / "report/run.json").read_text(encoding="utf-8"))
    assert run["status"] == "finished:completed"
    assert [entry["results"] for entry in run["rounds"] if entry["round"]] == [2, 2, 2]


@pytest.mark.full
def test_verify_names_a_node_whose_registration_was_taken_back(walk: Walk) -> None:
    node = walk.members()[0]
    command = f"/opt/flower/venv/bin/flower-ops member remove --site {node['site']} --name {node['name']}"
    walk.ssh(walk.superlink(), command)
    result = walk.playbook("verify")
    assert result.code != 0
    assert f"Not registered with the SuperLink: {node['name']}" in result.output
    walk.wait("Flower to refuse the node", lambda: len(walk.online()) == 1, 90)


def test_teardown_leaves_nothing(walk: Walk) -> None:
    assert walk.playbook("teardown").code == 0
    assert walk.playbook("teardown").changed == 0
