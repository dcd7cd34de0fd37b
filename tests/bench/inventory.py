# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Two inventory plugins read the same cloud: `ansible-inventory --list`, ours against theirs, with ever more VMs."""

from __future__ import annotations

import json
import time
from pathlib import Path
from statistics import median

from .dummy import DummyCloud, dummy_cloud
from .figures import Figure
from .peers import PEER, peer_version
from .place import TALLY_S
from .play import BenchError, play

GOAL = 0.5
SIZES = (500, 5000)
OURS = "ours"
# What gives the same hosts, with the same addresses, from both.
SOURCES = {
    OURS: "plugin: opennebula.flower.opennebula\ninclude_standalone: true\nhostname: vm\n",
    PEER: f"plugin: {PEER}.opennebula\nhostname: v4_first_ip\n",
}
VM = """\
NAME = "node"
CPU = "0.1"
VCPU = "1"
MEMORY = "64"
LABELS = "bench,web"
STAGE = "production"
OWNER_MAIL = "somebody@example.org"
NIC = [ NETWORK = "private" ]
GRAPHICS = [ TYPE = "VNC", LISTEN = "0.0.0.0" ]
OS = [ ARCH = "x86_64", BOOT = "" ]
CONTEXT = [ NETWORK = "YES", TOKEN = "YES", SSH_PUBLIC_KEY = "$USER[SSH_PUBLIC_KEY]", START_SCRIPT = "echo ready" ]
"""


def inventory(folder: Path, logs: Path, times: int) -> list[Figure]:
    """Run the comparison on a cloud of its own, and return its figures."""
    figures = []
    with dummy_cloud(folder, logs / "cloud.log") as cloud:
        template = int(cloud.call("one.template.allocate", VM))
        empty = measure(cloud, folder, logs, 0, times)
        for side, seconds in empty.items():
            note = f"{PEER} {peer_version()}" if side == PEER else ""
            figures.append(Figure(f"inventory, no VM: {side}", "s", seconds, note=note))
        for size in SIZES:
            cloud.vms(size, template)
            figures += figures_of(size, measure(cloud, folder, logs, size, times), empty)
            figures += calls(cloud, folder, logs, size)
    return figures


def measure(cloud: DummyCloud, folder: Path, logs: Path, size: int, times: int) -> dict[str, tuple[float, ...]]:
    """Seconds of every listing by side, the sides in turn; the very first of each, which fills caches, is left out."""
    seconds: dict[str, list[float]] = {side: [] for side in SOURCES}
    for turn in range(times + 1):
        for side in SOURCES if turn % 2 else [*SOURCES][::-1]:
            took = listing(cloud, folder, logs, side, size)
            if turn:
                seconds[side].append(took)
    return {side: tuple(values) for side, values in seconds.items()}


def listing(cloud: DummyCloud, folder: Path, logs: Path, side: str, size: int) -> float:
    """Seconds of one `ansible-inventory --list`. BenchError unless it lists `size` hosts with an address."""
    source, target = folder / f"{side}.opennebula.yml", folder / f"{side}.json"
    source.write_text(SOURCES[side], encoding="utf-8")
    command = ["ansible-inventory", "-i", str(source), "--list", "--output", str(target)]
    started = time.monotonic()
    environment = {**cloud.environment, "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true"}
    play(command, folder, logs / f"{side}-{size}.log", environment)
    took = time.monotonic() - started
    hosts = json.loads(target.read_text(encoding="utf-8"))["_meta"]["hostvars"].values()
    addressed = sum("ansible_host" in variables for variables in hosts)
    if addressed != size:
        raise BenchError(f"the inventory of {side} lists {addressed} hosts with an address, not {size}")
    return took


def calls(cloud: DummyCloud, folder: Path, logs: Path, size: int) -> list[Figure]:
    """Calls of one listing by side."""
    figures = []
    for side in SOURCES:
        before = tally(cloud)
        listing(cloud, folder, logs, side, size)
        figures.append(Figure(f"inventory, {size} VMs, calls: {side}", "", (tally(cloud) - before,)))
    return figures


def tally(cloud: DummyCloud) -> int:
    """All calls so far."""
    time.sleep(TALLY_S)
    return int(json.loads((cloud.home / "calls.json").read_text(encoding="utf-8"))["total"])


def figures_of(
    size: int, seconds: dict[str, tuple[float, ...]], empty: dict[str, tuple[float, ...]]
) -> list[Figure]:
    """Whole seconds and those above an empty inventory, with their ratios turn by turn."""
    nets = {side: tuple(max(one - median(empty[side]), 0.001) for one in seconds[side]) for side in SOURCES}
    figures = []
    for what, values in (("whole", seconds), ("net of an empty one", nets)):
        figures += [Figure(f"inventory, {size} VMs, {what}: {side}", "s", values[side]) for side in SOURCES]
        ratios = tuple(own / peer for own, peer in zip(values[OURS], values[PEER], strict=True))
        figures.append(Figure(f"inventory, {size} VMs, {what}: ratio", "", ratios, GOAL))
    return figures
