# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What twenty nodes cost the control machine, against two: calls and seconds, on a cloud of records."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path

from federation_cloud import PlayedAgents, federation_cloud

from .figures import Figure

#: Asked again and again while a service comes up; how often depends on how long that takes.
POLLS = ("GET /service/:id", "one.vmpool.infoset")
#: What the VMs themselves ask of OneGate.
OF_VMS = ("PUT /vm",)
SIZES = (2, 20)


def nodes(folder: Path, _logs: Path, times: int) -> list[Figure]:
    """First deployments by appliance of 2 and of 20 SuperNodes, each pair on a new cloud."""
    calls: dict[int, list[float]] = {size: [] for size in SIZES}
    polls: dict[int, list[float]] = {size: [] for size in SIZES}
    seconds: dict[int, list[float]] = {size: [] for size in SIZES}
    for turn in range(times):
        for size in SIZES:
            place = folder / f"{turn}-{size}"
            place.mkdir()
            with federation_cloud(place) as cloud, PlayedAgents(cloud):
                cloud.sandbox.calls.reset()
                started = time.monotonic()
                cloud.deployed("bench", federation_supernodes=size, federation_supernodes_max=max(SIZES))
                seconds[size].append(time.monotonic() - started)
                made: Mapping[str, int] = dict(cloud.sandbox.calls.by_method)
            polled = sum(made.get(name, 0) for name in POLLS)
            polls[size].append(polled)
            calls[size].append(sum(made.values()) - polled - sum(made.get(name, 0) for name in OF_VMS))
    few, many = (tuple(calls[size]) for size in SIZES)
    return [
        Figure("deployment of 2 nodes: calls without polls", "", few),
        Figure("deployment of 20 nodes: calls without polls", "", many, min(few), "goal: as many as for 2 nodes"),
        *(Figure(f"deployment of {size} nodes: polls", "", tuple(polls[size])) for size in SIZES),
        *(Figure(f"deployment of {size} nodes", "s", tuple(seconds[size])) for size in SIZES),
    ]
