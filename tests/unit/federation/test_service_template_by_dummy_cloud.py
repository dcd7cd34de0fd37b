# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person in Sunstone gets of the service template; how changed values and images reach what is made later."""

from __future__ import annotations

from federation_cloud import FederationCloud, PlayedAgents

LEVEL = "ONEAPP_FL_LOG_LEVEL"


def test_values_of_the_inventory_reach_templates_and_vms_and_those_that_run_keep_theirs(cloud: FederationCloud) -> None:
    with PlayedAgents(cloud):
        cloud.deployed("inputs", federation_variables={LEVEL: "WARNING"})
        template = cloud.template("inputs")
        assert template["user_inputs"][LEVEL].endswith("|DEBUG,INFO,WARNING,ERROR|WARNING")
        assert template["user_inputs"]["ONEAPP_FLOWER_VERSION"].endswith("|1.34.0|1.34.0")
        assert not [name for name in template["user_inputs"] if "KEYFILE" in name]
        contexts = {vm["attributes"]["ROLE_NAME"]: cloud.context(vm["id"]) for vm in cloud.vms("inputs")}
        assert {role: context["ONEAPP_FL_ROLE"] for role, context in contexts.items()} == {
            "superlink": "superlink", "supernode": "supernode",
        }  # fmt: skip
        assert {context[LEVEL] for context in contexts.values()} == {"WARNING"}
        assert all(context["SSH_PUBLIC_KEY"].startswith("ssh-ed25519") for context in contexts.values())

        # As Sunstone does it: another service from the same template, with another value.
        values = {name: text.split("|")[4] for name, text in template["user_inputs"].items()}
        cloud.flow.instantiate(
            cloud.template_id("inputs"), {"name": "by-hand", "user_inputs_values": {**values, LEVEL: "ERROR"}}
        )
        cloud.wait(lambda: cloud.service("by-hand")["state"] == "RUNNING", "the service by hand runs")
        assert {cloud.context(vm["id"])[LEVEL] for vm in cloud.vms("by-hand")} == {"ERROR"}

        # New values and a new image: templates have them, VMs that run do not, and the play says so.
        before = {vm["id"]: cloud.context(vm["id"]) for vm in cloud.vms("inputs")}
        cloud.image("flower-2.tar")
        changed = cloud.deployed("inputs", federation_variables={LEVEL: "ERROR"})
    assert cloud.template("inputs")["user_inputs"][LEVEL].endswith("|ERROR")
    assert {vm["id"]: cloud.context(vm["id"]) for vm in cloud.vms("inputs")} == before
    assert f"was started with other values of {LEVEL}" in changed.output
    assert "The image inputs-flower-2 is for VMs that are made from now on" in changed.output.replace("\n", " ")
    assert cloud.names("image", "inputs") == ["inputs-flower-1", "inputs-flower-2"]
    assert {disk["IMAGE"] for disk in cloud.disks("inputs-supernode")} == {"inputs-flower-2"}

    # A service that somebody else started uses the image: it is not taken from under its VMs.
    refused = cloud.play("teardown", "inputs")
    assert refused.code != 0 and "image inputs-flower-1 (id 0) is in use by 3 VM(s)" in refused.output
    cloud.flow.delete_service(cloud.service("by-hand")["id"])
    cloud.wait(lambda: not cloud.services(), "the service by hand goes")
    assert cloud.play("teardown", "inputs").code == 0
    assert cloud.names("image", "inputs") == cloud.names("template", "inputs") == []
