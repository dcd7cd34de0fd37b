# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Deployments of baked VMs, whose agents are played: what is made, what a second run writes, what a failure says."""

from __future__ import annotations

import pytest
from federation_cloud import FederationCloud, PlayedAgents


def test_vms_that_configure_themselves_are_waited_for_and_a_second_run_writes_nothing(cloud: FederationCloud) -> None:
    with PlayedAgents(cloud):
        first = cloud.deployed("plain")
        again, writes = cloud.writes(lambda: cloud.deployed("plain"))
    assert cloud.service("plain")["state"] == "RUNNING"
    assert [vm["attributes"]["READY"] for vm in cloud.vms("plain")] == ["YES"] * 3
    assert first.changed > 0
    # What the VMs themselves tell is no call of the playbook, and they had told it all before.
    assert (again.changed, writes) == (0, 0)
    for play in ("PLAY [The SuperLink]", "PLAY [The SuperNodes]"):
        assert "TASK" not in first.output.partition(play)[2].partition("PLAY [")[0]
    assert "WARNING" not in first.output


@pytest.mark.parametrize(
    ("playbook", "values"),
    [
        ("single_site", {}),
        ("plain_vms", {"federation_delivery": "push", "federation_image_path": "/nowhere/plain.tar"}),
    ],
)
def test_check_mode_on_an_empty_cloud_goes_to_its_end(
    cloud: FederationCloud, playbook: str, values: dict[str, str]
) -> None:
    played, writes = cloud.writes(lambda: cloud.play(playbook, "planned", "--check", "--diff", **values))
    assert played.code == 0 and writes == 0
    assert "planned-supernode" in played.output
    assert cloud.names("image", "planned") == cloud.names("template", "planned") == []
