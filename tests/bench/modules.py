# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The same task by two collections, one right after the other: seconds and calls per task, ours against theirs.

Every round runs `ping`, then each task by both, then `ping` again. What a task costs more than a ping of the same round
is the work of the module; the rest, starting a process on the host, is Ansible's own.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any

from .dummy import DummyCloud, dummy_cloud
from .figures import Figure
from .peers import PEER, peer_version
from .place import TALLY_S
from .play import BenchError, play

GOAL = 0.7
OURS, THEIRS, PING = "ours", PEER, "ping"
SIDES = (OURS, THEIRS)
OBJECTS = 10
TEMPLATE = """\
CPU = "0.1"
VCPU = "1"
MEMORY = "64"
LABELS = "bench,web"
NIC = [ NETWORK = "private" ]
CONTEXT = [ NETWORK = "YES", TOKEN = "YES", SSH_PUBLIC_KEY = "$USER[SSH_PUBLIC_KEY]", START_SCRIPT = "echo ready" ]
"""
IMAGE = 'SIZE = 1\nTYPE = "DATABLOCK"\nPERSISTENT = "YES"'
ATTRIBUTES = {
    "CPU": "0.1", "VCPU": "1", "MEMORY": "64", "LABELS": "bench,web", "NIC": [{"NETWORK": "private"}],
    "CONTEXT": {
        "NETWORK": "YES", "TOKEN": "YES", "SSH_PUBLIC_KEY": "$USER[SSH_PUBLIC_KEY]", "START_SCRIPT": "echo ready",
    },
}  # fmt: skip


@dataclass(frozen=True)
class Pair:
    """One thing to do, said to both. changes: what `changed` must be; {round} in a value becomes the round's number."""

    name: str
    module: str
    ours: dict[str, Any]
    theirs: dict[str, Any]
    changes: bool = False
    goal: float | None = GOAL

    def task(self, side: str, turn: str) -> dict[str, Any]:
        """The task in a playbook; its name says whose and which it is."""
        collection, arguments = ("opennebula.flower", self.ours) if side == OURS else (PEER, self.theirs)
        return {
            "name": f"{side}|{self.name}|{turn}",
            f"{collection}.{self.module}": json.loads(json.dumps(arguments).replace("{round}", turn)),
        }


PAIRS = (
    Pair(
        "one_template, no change", "one_template",
        {"name": "template-3", "template": ATTRIBUTES},
        {"name": "template-3", "template": TEMPLATE},
    ),
    Pair(
        "one_image, no change", "one_image",
        {"name": "image-3", "size": 1, "persistent": True},
        {"name": "image-3", "create": True, "datastore_id": 1, "template": IMAGE},
    ),
    Pair(
        "one_service, no change", "one_service",
        {"name": "service-3", "template": "web"},
        {"service_name": "service-3", "template_name": "web", "unique": True, "wait": True},
    ),
    Pair(
        "one_vm, no change", "one_vm",
        {"name": "node-0003", "template": "template-3", "attributes": {"STAGE": "bench"}},
        {"template_name": "template-3", "exact_count": 1, "count_attributes": {"name": "node-0003"},
         "attributes": {"name": "node-0003", "STAGE": "bench"}},
    ),
    Pair(
        "one_template, create", "one_template",
        {"name": "own-{round}", "template": ATTRIBUTES}, {"name": "peer-{round}", "template": TEMPLATE},
        changes=True, goal=None,
    ),
    Pair(
        "one_template, update", "one_template",
        {"name": "template-4", "template": {"STAGE": "{round}"}},
        {"name": "template-5", "template": f'{TEMPLATE}STAGE = "{{round}}"'},
        changes=True, goal=None,
    ),
)  # fmt: skip


@dataclass
class Measured:
    """Seconds by (side, pair) in the order of the rounds, seconds of the pings of every round, calls of one task."""

    seconds: dict[tuple[str, str], list[float]] = field(default_factory=dict)
    pings: list[float] = field(default_factory=list)
    calls: dict[tuple[str, str], dict[str, int]] = field(default_factory=dict)

    def net(self, side: str, pair: str) -> tuple[float, ...]:
        """Seconds above a ping of the same round; on a busy machine one of them may come out below nothing."""
        return tuple(whole - ping for whole, ping in zip(self.seconds[side, pair], self.pings, strict=True))


def modules(folder: Path, logs: Path, rounds: int) -> list[Figure]:
    """Run the comparison on a cloud of its own, and return its figures."""
    with dummy_cloud(folder, logs / "cloud.log") as cloud:
        prepare(cloud)
        times = folder / "times.jsonl"
        playbook = folder / "modules.json"
        playbook.write_text(json.dumps(play_of(PAIRS, rounds)), encoding="utf-8")
        environment = {
            **cloud.environment, "BENCH_TIMES": str(times), "BENCH_CALLS": str(cloud.home / "calls.json"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
            "ANSIBLE_CALLBACKS_ENABLED": "bench_times",
        }  # fmt: skip
        command = ["ansible-playbook", "-i", "localhost,", "-c", "local",
                   "-e", f"ansible_python_interpreter={sys.executable}", str(playbook)]  # fmt: skip
        play(command, folder, logs / "modules.log", environment)
        return figures_of(read(times.read_text(encoding="utf-8").splitlines(), PAIRS), PAIRS)


def prepare(cloud: DummyCloud) -> None:
    """Ten of each object, so that a pool is more than the one that is asked for."""
    for number in range(OBJECTS):
        cloud.call("one.template.allocate", f'NAME = "template-{number}"\n{TEMPLATE}')
        cloud.call("one.image.allocate", f'NAME = "image-{number}"\n{IMAGE}', 1)
    for number in range(OBJECTS):
        cloud.call("one.template.instantiate", 3, f"node-{number:04}", False, 'STAGE = "bench"', False)
    role = {"name": "web", "type": "vm", "template_id": 1, "cardinality": 2}
    made = cloud.flow("/service_template", {"name": "web", "deployment": "none", "roles": [role]})
    for number in range(OBJECTS // 2):
        cloud.flow(f"/service_template/{made['DOCUMENT']['ID']}/action",
                   {"action": {"perform": "instantiate", "params": {"merge_template": {"name": f"service-{number}"}}}},
                   )  # fmt: skip

    def settled() -> bool:
        services = cloud.flow("/service")["DOCUMENT_POOL"]["DOCUMENT"]
        images = cloud.call("one.imagepool.info", -2, -1, -1)
        return images.count("<STATE>1</STATE>") == OBJECTS and all(
            int(service["TEMPLATE"]["BODY"]["state"]) == 2 for service in services
        )

    cloud.until(settled, "its images are READY and its services are RUNNING")


def play_of(pairs: Sequence[Pair], rounds: int) -> list[dict[str, Any]]:
    """The playbook. At first each task once, between pauses in which the sandbox tells its counts; caches warm up."""
    tasks: list[dict[str, Any]] = []
    pause = {"ansible.builtin.pause": {"seconds": TALLY_S}}
    ping: dict[str, Any] = {"name": PING, "ansible.builtin.ping": {}}
    for pair in pairs:
        for side in SIDES:
            tasks += [{**pause, "name": "before"}, pair.task(side, "0"), {**pause, "name": f"calls|{side}|{pair.name}"}]
    for turn in range(1, rounds + 1):
        tasks.append(ping)
        for index, pair in enumerate(pairs):
            # Who goes first alternates, in case being first is worth something.
            for side in SIDES if (turn + index) % 2 else SIDES[::-1]:
                tasks.append(pair.task(side, str(turn)))
            if index == len(pairs) // 2:
                tasks.append(ping)
        tasks.append({**ping, "name": f"{PING}|last"})
    return [{"name": "Compare", "hosts": "all", "gather_facts": False, "tasks": tasks}]


def read(lines: Sequence[str], pairs: Sequence[Pair]) -> Measured:
    """What the callback wrote. BenchError where a task did not do what the comparison is about."""
    measured = Measured()
    pings: list[float] = []
    before: dict[str, int] = {}
    expected = {pair.name: pair.changes for pair in pairs}
    for entry in map(json.loads, lines):
        name, by_method = str(entry["task"]), dict(entry["calls"].get("by_method", {}))
        first, _bar, rest = name.partition("|")
        if name == "before":
            before = by_method
        elif first == "calls":
            side, _bar, pair = rest.partition("|")
            measured.calls[side, pair] = {
                method: count - before.get(method, 0)
                for method, count in by_method.items()
                if count > before.get(method, 0)
            }
        elif first == PING:
            pings.append(float(entry["seconds"]))
            if rest == "last":
                measured.pings.append(median(pings))
                pings = []
        else:
            pair, _bar, turn = rest.rpartition("|")
            if entry["changed"] != expected[pair]:
                raise BenchError(f"{first} in '{pair}' said changed={entry['changed']}, which is not what is compared")
            if turn != "0":
                measured.seconds.setdefault((first, pair), []).append(float(entry["seconds"]))
    return measured


def figures_of(measured: Measured, pairs: Sequence[Pair]) -> list[Figure]:
    """Whole and net seconds, their ratio round by round, and calls."""
    figures = [Figure("modules: ping, whole task", "s", tuple(measured.pings), note=f"{PEER} {peer_version()}")]
    for pair in pairs:
        nets = {side: measured.net(side, pair.name) for side in SIDES}
        for side in SIDES:
            whole = tuple(measured.seconds[side, pair.name])
            figures += [
                Figure(f"{pair.name}, whole task: {side}", "s", whole),
                Figure(f"{pair.name}, net of ping: {side}", "s", nets[side]),
            ]
        # Of the medians: a round in which the machine had other work to do says nothing.
        ratio = median(nets[OURS]) / max(median(nets[THEIRS]), 0.001)
        figures.append(Figure(f"{pair.name}, net of ping: ratio", "", (ratio,), pair.goal))
        for side in SIDES:
            calls = measured.calls[side, pair.name]
            said = ", ".join(f"{count} {method}" for method, count in calls.items())
            figures.append(Figure(f"{pair.name}, calls per task: {side}", "", (sum(calls.values()),), note=said))
    return figures
