# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A push deployment of three VMs, and a second run that has nothing to do."""

from __future__ import annotations

from .figures import Figure
from .place import Place

VERIFIED = "All SuperNodes are online"


def deploy(place: Place, repeat: int) -> list[Figure]:
    """Teardown, then single_site with image and wheelhouse cached, until the verification has seen all nodes online."""
    place.deploy_once()
    seconds: list[float] = []
    tasks: list[float] = []
    note = ""
    for _turn in range(repeat):
        place.playbook("teardown")
        run = place.playbook("single_site")
        seconds.append(run.at(VERIFIED))
        counts = {host: recap["ok"] for host, recap in run.recap.items()}
        tasks.append(max(counts.values()))
        note = ", ".join(f"{host} {count}" for host, count in sorted(counts.items()))
    return [
        Figure("deploy: 3 VMs until all nodes are online", "s", tuple(seconds), 120, "image and wheelhouse cached"),
        Figure("deploy: tasks of the busiest host", "", tuple(tasks), 25, note),
    ]


def noop(place: Place, repeat: int) -> list[Figure]:
    """single_site on what stands already."""
    place.deploy_once()
    seconds: list[float] = []
    writes: list[float] = []
    reads: list[float] = []
    changed: list[float] = []
    for _turn in range(repeat):
        before = place.calls()
        run = place.playbook("single_site")
        after = place.calls()
        seconds.append(run.seconds)
        writes.append(after["writes"] - before["writes"])
        reads.append(after["total"] - before["total"] - writes[-1])
        changed.append(sum(host["changed"] for host in run.recap.values()))
    return [
        Figure("second single_site", "s", tuple(seconds), 40),
        Figure("second single_site: API writes", "", tuple(writes), 0, "XML-RPC and OneFlow; OneGate is the VMs' own"),
        Figure("second single_site: changed tasks", "", tuple(changed), 0),
        Figure("second single_site: API reads", "", tuple(reads)),
    ]
