# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Rounds, bytes, memory, aggregation and recovery, on federations of plain processes on this machine."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import mean, median
from typing import Any

from flower_ops import profiles
from lanes.environments import FLOWER_OPS, environment
from lanes.federation import Federation
from lanes.supervised import Supervised

from ..figures import Figure
from ..play import BenchError
from .memory import Peak
from .relay import Relay

APP = Path(__file__).parent / "app"
#: Of a run whose bytes or memory are measured, and of one whose time is: of ours the first is the shortest, and of bare
#: Flower one takes 9 s and the next 12 s, so that few rounds would tell of chance.
ROUNDS, TIMED_ROUNDS = 3, 6
#: Megabytes: of a model whose bytes are counted, and of one whose memory is.
LINK_MB, MEMORY_MB = 5.0, 20.0
WAYS: dict[str, dict[str, Any]] = {
    "bare": {"way": "bare"},
    # As bare Flower does it: a second message for evaluation, and looks every 3 s.
    "whole": {"fraction_evaluate": 1.0, "poll_interval": 3.0},
    "fast": {},
}


@contextmanager
def federation(folder: Path, nodes: int, **more: Any) -> Iterator[Federation]:
    """One that stands; ended whatever happens."""
    made = Federation(folder, profiles.DEFAULT, nodes, **more)
    try:
        made.start()
        yield made
    finally:
        made.stop()


def run(lane: Federation, nodes: int, megabytes: float = 1.0, rounds: int = ROUNDS, **config: Any) -> list[float]:
    """Train; the seconds of each round."""
    sizes = {f"min_{kind}_clients": nodes for kind in ("available", "fit", "evaluate")}
    found = lane.train(app=APP, megabytes=megabytes, num_server_rounds=rounds, **sizes, **config)
    if found["status"] != "finished:completed" or found["degraded"]:
        raise BenchError(f"A run with {nodes} nodes ended {found['status']}: {found['reason']}")
    place = next(file["path"] for file in found["files"] if file["name"] == "ends.json")
    ends = json.loads(Path(place).read_text(encoding="utf-8"))
    return [after - before for before, after in zip(ends, ends[1:], strict=False)]


def rounds(folder: Path, nodes: int, pairs: int) -> list[Figure]:
    """Seconds of a round in each way, and their ratios; in turn, the order reversed every second time."""
    seconds: dict[str, list[float]] = {way: [] for way in WAYS}
    with federation(folder, nodes) as lane:
        run(lane, nodes)
        for turn in range(pairs):
            for way in list(WAYS)[:: -1 if turn % 2 else 1]:
                seconds[way].append(mean(run(lane, nodes, rounds=TIMED_ROUNDS, **WAYS[way])))

    def ratio(way: str) -> tuple[float, ...]:
        return tuple(mine / other for mine, other in zip(seconds[way], seconds["bare"], strict=True))

    what = f"a round with {nodes} nodes"
    note = f"mean of {TIMED_ROUNDS} rounds; a 1 MB model that learns nothing"
    return [
        Figure(f"{what}: bare Flower", "s", tuple(seconds["bare"])),
        Figure(f"{what}: ours, fast", "s", tuple(seconds["fast"])),
        Figure(f"{what}: ours, fast / bare Flower", "", ratio("fast"), 0.45, note),
        Figure(f"{what}: ours, evaluation at the nodes / bare Flower", "", ratio("whole"), 1.05),
    ]


def link(folder: Path, times: int) -> list[Figure]:
    """Bytes between nodes and SuperLink, against the model once there and once back."""
    relays: list[Relay] = []

    def through(address: str) -> str:
        relays.append(Relay(address))
        return relays[0].address

    found = []
    try:
        with federation(folder, 2, link=through) as lane:
            run(lane, 2, LINK_MB)
            for _time in range(times):
                before = relays[0].bytes
                run(lane, 2, LINK_MB)
                found.append((relays[0].bytes - before) / (ROUNDS * 2) / (2 * LINK_MB * 1e6))
    finally:
        for relay in relays:
            relay.close()
    note = f"payload of TCP, TLS included, over a run of {ROUNDS} rounds; {LINK_MB:g} MB model"
    return [Figure("bytes per round and node / (2 x model)", "", tuple(found), 1.03, note)]


def memory(folder: Path, times: int) -> list[Figure]:
    """What SuperLink and ServerApp have in memory at the worst moment."""
    nodes, found, ours = 4, [], []
    with federation(folder, nodes) as lane:
        for _time in range(times):
            for way, values in (("bare", found), ("fast", ours)):
                with Peak(lane.superlink.family) as peak:
                    run(lane, nodes, MEMORY_MB, **WAYS[way])
                values.append(peak.bytes / (nodes * MEMORY_MB * 1e6))
    what = "server's peak memory / (nodes x model)"
    note = f"{nodes} nodes, {MEMORY_MB:g} MB model; SuperLink with all that it starts"
    return [Figure(f"{what}: ours", "", tuple(ours), None, note), Figure(f"{what}: bare Flower", "", tuple(found))]


def aggregation(times: int) -> Figure:
    """The weighted mean of a round, against plain NumPy."""
    python = environment(profiles.DEFAULT) / "bin/python"
    done = subprocess.run(
        [python, Path(__file__).parent / "aggregation.py", str(10 * times)],
        env={**os.environ, "PYTHONPATH": str(FLOWER_OPS), "FLWR_TELEMETRY_ENABLED": "0"},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    ratios = tuple(ours / plain for ours, plain in json.loads(done.stdout))
    note = "10 nodes, 20 MB of float32; ours from message to message, screening included; NumPy's from array to array"
    return Figure("FedAvg's mean / plain NumPy", "", ratios, 1.3, note)


def recovery(folder: Path, times: int) -> Figure:
    """From kill -9 of the SuperLink to the next checkpoint, in rounds."""
    found = []
    for number in range(times):
        lane = Federation(folder / str(number), profiles.DEFAULT)
        try:
            stage = Supervised(lane)
            name = stage.ask(APP, **{"num-server-rounds": 6})
            stage.reach(name, 3)
            written = stage.written(name)
            usual = median(written[one] - written[one - 1] for one in written if one - 1 in written)
            reached, killed = max(written), time.time()
            stage.kill_superlink()
            stage.reach(name, reached + 1)
            found.append((stage.written(name)[reached + 1] - killed) / usual)
        finally:
            lane.stop()
    return Figure("crash of the SuperLink to the next aggregate", "rounds", tuple(found), 10)


#: What can be measured alone, by name.
PIECES: dict[str, Callable[[Path, int], list[Figure]]] = {
    "round-2": lambda folder, pairs: rounds(folder, 2, pairs),
    "round-10": lambda folder, pairs: rounds(folder, 10, max(1, pairs * 2 // 3)),
    "link": link,
    "memory": lambda folder, pairs: memory(folder, max(1, pairs * 2 // 3)),
    "aggregation": lambda folder, pairs: [aggregation(pairs)],
    "recovery": lambda folder, pairs: [recovery(folder, pairs)],
}
