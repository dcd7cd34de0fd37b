# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A deployment of baked VMs that fails says why at once, and the corrected one follows; what is refused beforehand."""

from __future__ import annotations

import pytest
from federation_cloud import FederationCloud, PlayedAgents

BAD = {"READY": "NO", "FL_ERROR": "config_validation_failed", "FL_ERROR_TEXT": "ONEAPP_FL_X is wrong."}


def test_an_error_that_a_vm_reports_ends_the_wait_is_shown_and_is_repaired_by_the_next_run(
    cloud: FederationCloud,
) -> None:
    with PlayedAgents(cloud, {"supernode": BAD}):
        failed = cloud.play("single_site", "trouble", federation_wait_timeout=600)
    assert failed.code != 0
    messages = [line for line in failed.output.splitlines() if line.startswith("fatal: ")]
    assert len(messages) == 1
    assert "The federation 'trouble' did not come up: VM 1 (supernode_0_(service_1)) says FL_ERROR=" in messages[0]
    assert "config_validation_failed, FL_ERROR_TEXT=ONEAPP_FL_X is wrong; VM 2 (" in messages[0]
    assert "correct that and run the playbook again" in messages[0]
    table = [line.split() for line in failed.output.splitlines() if "supernode " in line and "RUNNING" in line]
    assert [row[1:5] for row in table] == [["supernode", "RUNNING", "NO", "config_validation_failed"]] * 2
    before = {vm["id"] for vm in cloud.vms("trouble")}

    with PlayedAgents(cloud, told=before):
        # Also with more partitions than the VMs that are given up were told.
        cloud.deployed("trouble", federation_supernodes_max=12)
    assert not before & {vm["id"] for vm in cloud.vms("trouble")}

    # Flower refuses no mixture of versions, so the playbook does, naming the VMs, before it writes anything.
    first = cloud.vms("trouble")[0]
    cloud.gate(first["id"]).put({"FL_VERSION": "1.25.0"})
    refused, writes = cloud.writes(lambda: cloud.play("single_site", "trouble"))
    assert refused.code != 0 and writes == 0
    assert f"VM {first['id']} ({first['name']}) says FL_VERSION=1.25.0" in refused.output
    assert "teardown.yml and deploy it again" in refused.output


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"federation_flower_version": "1.25.0"}, ["has Flower 1.34.0, but federation_flower_version is 1.25.0"]),
        ({"federation_framework": "pytorch"}, ["has sklearn, but federation_framework is pytorch"]),
        (
            {
                "federation_image_manifest": "/nowhere/appliance.json",
                "federation_superlink_secrets": {"ONEAPP_FL_SSL_KEYFILE": "x"},
                "federation_allow_upgrade": True,
            },
            [
                "There is no file /nowhere/appliance.json yet",
                "federation_superlink_secrets cannot reach a SuperLink that configures itself",
                "federation_allow_upgrade has no effect",
            ],
        ),
        (
            {"federation_delivery": "push", "federation_image_path": "/plain.tar",
             "federation_elasticity_policies": [{"type": "CHANGE", "adjust": 1, "expression": "CPU > 80"}]},
            ["with federation_delivery push nobody would configure them"],
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_before_anything_is_made(
    cloud: FederationCloud, values: dict[str, object], words: list[str]
) -> None:
    refused, writes = cloud.writes(lambda: cloud.play("single_site", "refused", **values))
    assert refused.code != 0 and writes == 0
    assert [word for word in words if word not in refused.output] == []
