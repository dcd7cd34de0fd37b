# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Twenty baked VMs cost the control machine as many calls as two: VMs are read in one call, whatever their number."""

from __future__ import annotations

from collections import Counter

import pytest
from federation_cloud import FederationCloud, PlayedAgents

#: Calls that are made again and again while a service comes up.
POLLS = {"GET /service/:id", "one.vmpool.infoset"}
OF_VMS = {"PUT /vm"}


def calls(cloud: FederationCloud, federation: str, **extra: int) -> Counter[str]:
    """What a first deployment asks of OpenNebula and OneFlow."""
    cloud.sandbox.calls.reset()
    cloud.deployed(federation, federation_supernodes_max=20, **extra)
    made = Counter(dict(cloud.sandbox.calls.by_method))
    # What VMs ask of OneGate is not the control machine's.
    return Counter({name: count for name, count in made.items() if name not in OF_VMS})


@pytest.mark.full
def test_a_deployment_of_twenty_nodes_makes_as_many_calls_as_one_of_two(cloud: FederationCloud) -> None:
    with PlayedAgents(cloud):
        few = calls(cloud, "few", federation_supernodes=2)
        many = calls(cloud, "many", federation_supernodes=20)
    assert len(cloud.vms("many", "supernode")) == 20
    assert sum(few.values()) > 10
    # The second federation of a cloud may even be told a name by an image of the first.
    assert {name: count for name, count in many.items() if name not in POLLS and count > few[name]} == {}
