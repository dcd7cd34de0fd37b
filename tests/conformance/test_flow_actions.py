# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""OneFlow services: actions on the VMs of a role, and who owns a service."""

from __future__ import annotations

from typing import Any

import pytest

from .conformance_client import RUNNING, Cloud
from .test_flow_services import UP, nodes, role, template

# Scheduled actions are looked for now and then only.
SCHEDULED_WAIT = 120.0
SUSPENDED, STOPPED, POWEROFF, UNDEPLOYED = ("5", "0"), ("4", "0"), ("8", "0"), ("9", "0")


@pytest.mark.not_observed
@pytest.mark.parametrize(
    ("action", "state"),
    [("poweroff", POWEROFF), ("suspend", SUSPENDED), ("stop", STOPPED), ("undeploy", UNDEPLOYED), ("reboot", RUNNING)],
)
def test_actions_on_a_role(cloud: Cloud, ground: dict[str, Any], action: str, state: tuple[str, str]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    (vm,) = nodes(cloud.wait_service(service, UP))

    def perform(name: str) -> None:
        answer = cloud.perform(f"/service/{service}/role/web", name, {"period": 0, "number": 0})
        assert (answer.status, answer.text) == (204, "")

    perform(action)
    cloud.until(lambda: cloud.vm_state(vm) == state, f"VM {vm} in {state} after {action}", SCHEDULED_WAIT)
    perform("resume")
    cloud.until(lambda: cloud.vm_state(vm) == RUNNING, f"VM {vm} RUNNING again", SCHEDULED_WAIT)
    unknown = cloud.perform(f"/service/{service}/role/none", action, {"period": 0, "number": 0})
    assert unknown.status >= 400


@pytest.mark.not_observed
def test_owner_of_a_service(cloud: Cloud, ground: dict[str, Any]) -> None:
    service = cloud.service(template(cloud, role(ground)))
    (vm,) = nodes(cloud.wait_service(service, UP))
    assert cloud.perform(f"/service/{service}", "chown", {"owner_id": 0, "group_id": 1}).status == 204
    assert cloud.xml("one.document.info", service).findtext("GID") == "1"
    assert cloud.xml("one.vm.info", vm).findtext("GID") == "1"
    assert cloud.perform(f"/service/{service}", "chgrp", {"group_id": 0}).status == 204
    assert cloud.xml("one.document.info", service).findtext("GID") == "0"


@pytest.mark.not_observed
def test_a_service_with_a_network_of_its_own(cloud: Cloud, ground: dict[str, Any]) -> None:
    parent = ground["vnet"]

    def reservations() -> list[str | None]:
        networks = cloud.xml("one.vnpool.info", -2, -1, -1).findall("VNET")
        return [one.findtext("NAME") for one in networks if one.findtext("PARENT_NETWORK_ID") == str(parent)]

    contents = {"NIC": [{"NAME": "NIC_0", "NETWORK_ID": "$Private"}]}
    made = template(
        cloud, role(ground, template_contents=contents), networks={"Private": "M|network|net||reserve_from:"}
    )
    values = {"Private": {"reserve_from": str(parent), "extra": 'SIZE="2"'}}
    service = cloud.service(made, {"networks_values": [values]})
    (vm,) = nodes(cloud.wait_service(service, UP))
    name = f"Private-{service}"
    assert reservations() == [name]
    assert cloud.xml("one.vm.info", vm).findtext("TEMPLATE/NIC/NETWORK") == name
    assert cloud.flow("DELETE", f"/service/{service}").status == 204
    cloud.wait_gone(service)
    cloud.until(lambda: not reservations(), "network of the service gone")
