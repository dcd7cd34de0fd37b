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
from .figures import Figure, number
from .peers import PEER, peer_version
from .place import TALLY_S
from .play import BenchError, play

GOAL = 0.5
SIZES = (500, 5000)
OURS = "ours"
# By side, for every turn: seconds of a listing of an empty cloud, seconds of one with VMs.
Measured = dict[str, list[tuple[float, float]]]
# What gives the same hosts, with the same addresses, from both.
SOURCES = {
    OURS: "plugin: opennebula.flower.opennebula\nhostname: vm\ngroup_by: [label]\n",
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
    """Run the comparison on two clouds of its own, one of them without a VM, and return its figures."""
    figures = []
    # Ended in the opposite order, with everything in them.
    with (
        dummy_cloud(folder / "empty", logs / "empty-cloud.log") as empty,
        dummy_cloud(folder / "full", logs / "cloud.log") as full,
    ):
        template = int(full.call("one.template.allocate", VM))
        for size in SIZES:
            full.vms(size, template)
            figures += figures_of(size, measure(empty, full, folder, logs, size, times))
            figures += calls(full, folder, logs, size)
    return figures


def measure(empty: DummyCloud, full: DummyCloud, folder: Path, logs: Path, size: int, times: int) -> Measured:
    """Seconds of every listing by side, the sides in turn; the very first of each, which fills caches, is left out."""
    seconds: Measured = {side: [] for side in SOURCES}
    for turn in range(times + 1):
        for side in SOURCES if turn % 2 else [*SOURCES][::-1]:
            # Close together, so that both meet the same load of the machine.
            pair = listing(empty, folder, logs, side, 0), listing(full, folder, logs, side, size)
            if turn:
                seconds[side].append(pair)
    return seconds


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


def figures_of(size: int, measured: Measured) -> list[Figure]:
    """Whole seconds and those above an empty inventory, with their ratios turn by turn."""
    empty = {side: tuple(none for none, _some in pairs) for side, pairs in measured.items()}
    whole = {side: tuple(some for _none, some in pairs) for side, pairs in measured.items()}
    nets = {side: tuple(max(some - none, 0.001) for none, some in pairs) for side, pairs in measured.items()}
    start = f"of the whole, {number(median(empty[OURS]))} s are the start of ansible-inventory and an empty answer"
    figures = []
    for what, values, note in (("whole", whole, start), ("net of an empty one", nets, "")):
        for side in SOURCES:
            told = f"{PEER} {peer_version()}" if side == PEER else note
            figures.append(Figure(f"inventory, {size} VMs, {what}: {side}", "s", values[side], note=told))
        ratios = tuple(own / peer for own, peer in zip(values[OURS], values[PEER], strict=True))
        figures.append(Figure(f"inventory, {size} VMs, {what}: ratio", "", ratios, GOAL))
    return figures
