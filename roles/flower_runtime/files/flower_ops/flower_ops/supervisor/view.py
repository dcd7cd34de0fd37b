# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""How a training looks to whoever asks: its state, and its runs put together as if they were one.

Only files are read. The supervisor asks Flower; while a SuperLink is down, its trainings can be looked at all the same.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flower_ops.machine import foreign
from flower_ops.runs import record as records
from flower_ops.runs import status as run_status
from flower_ops.runs.errors import RunError
from flower_ops.runs.files import CHECKPOINT, files_of
from flower_ops.runs.news import until_news
from flower_ops.runs.record import Places
from flower_ops.runs.verdict import missing_results, succeeded
from flower_ops.supervisor.model import Asked, Memory, State
from flower_ops.supervisor.shelf import Shelf

#: Locked by the supervisor as long as it lives.
LOCK = "supervisor.lock"
#: Flower's words for the ends of a training, so that reports read runs and trainings alike.
_STATUS = {
    State.WAITING: "pending",
    State.RUNNING: "running",
    State.COMPLETED: "finished:completed",
    State.FAILED: "finished:failed",
    State.STOPPED: "finished:stopped",
}


def status(places: Places, name: str, wait: float = 0.0, seen: str | None = None) -> dict[str, Any]:
    """A training with its runs and rounds, and the latest run's own status as `run`.

    With `wait`, returns as soon as `progress` differs from `seen` or the training has ended, at latest after `wait`
    seconds.
    """
    asked = find(Shelf(places), name)
    found = until_news(
        # It may be asked for again, or withdrawn, while this waits.
        lambda: look(places, Shelf(places).one(asked.name)),
        lambda: _changes(places, asked),
        lambda one: one["finished"] or one["progress"] != (seen or ""),
        wait,
    )
    latest = _records(places, found["runs"][-1:])
    return {**found, "run": run_status.view(places, latest[0]) if latest else None}


def trainings(places: Places, name: str = "") -> list[dict[str, Any]]:
    """All that were asked for, newest first, or the one of a name; each with its runs and rounds."""
    shelf = Shelf(places)
    return [look(places, asked) for asked in ([find(shelf, name)] if name else reversed(shelf.all()))]


def look(places: Places, asked: Asked) -> dict[str, Any]:
    """Description, rounds and verdict of a training."""
    found = describe(places, asked)
    state = State(found["state"])
    runs = _records(places, found["runs"])
    last = runs[-1] if runs else {}
    merged = {**found, **_together(runs), "status": _STATUS[state], "app": last.get("app") or _app(asked)}
    short = missing_results(merged) if state is State.COMPLETED else None
    waiting = found["reason"] if state is State.WAITING else last.get("waiting")
    # Of a run whose record is lost, or whose log was not read to its end, nobody knows what it lacked.
    unsure = len(runs) < len(found["runs"]) or any(one.get("degraded") is None for one in runs)
    degraded = None if short is None and unsure and state is State.COMPLETED else short is not None
    merged.update(
        degraded=degraded,
        reason=short or found["reason"] or None,
        succeeded=succeeded({**merged, "degraded": degraded}),
        waiting=None if state.final else waiting,
        supervised=_supervised(places),
        **(files_of(Path(last["output_dir"]), places.user) if last else {"files": [], "files_left_out": []}),
    )
    ended = sum(1 for one in found["runs"] if one["ended"])
    current = run_status.progress(last) if last else ""
    merged["progress"] = f"{state.value} {ended}/{len(found['runs'])} {current} {waiting or ''}".strip()
    return merged


def describe(places: Places, asked: Asked) -> dict[str, Any]:
    """Name, state, reason, checkpoints and runs of a training."""
    memory = Shelf(places).recall(asked.name)
    memory = memory if memory.asked == asked.at else Memory(attempts=memory.attempts)
    runs = [
        {"run_id": one.run_id, "ended": one.cause or None, "reason": one.reason, "from_round": max(one.begun, 0)}
        for one in memory.attempts
    ]
    return {
        "training": asked.name,
        "origin": asked.origin,
        "state": memory.state.value,
        "finished": memory.state.final,
        "reason": memory.reason,
        "run_id": runs[-1]["run_id"] if runs else "",
        "runs": runs,
        "resumes": asked.resumes,
        "nodes": asked.nodes,
        "asked_at": records.timestamp(asked.at),
        "checkpoints": asked.place,
        "checkpoint_rounds": checkpoints(asked),
        "run_config": asked.run_config,
    }


def find(shelf: Shelf, name: str) -> Asked:
    """A training by its name, or by the beginning that it was given: the one under way, else the latest.

    RunError where there is none, or where several are under way.
    """
    alike = [one for one in shelf.all() if base(one) == name]
    going = [one for one in alike if is_open(shelf, one)]
    if len(going) > 1:
        names = ", ".join(one.name for one in going)
        raise RunError(f"Several trainings called {name} are under way: {names}; give the whole name of one.")
    return (going or alike)[-1] if alike else shelf.one(name)


def base(asked: Asked) -> str:
    """The name without the mark, as it was given."""
    return asked.name.removesuffix(f"-{asked.mark}")


def is_open(shelf: Shelf, asked: Asked) -> bool:
    """Whether a training is asked for and has not ended."""
    memory = shelf.recall(asked.name)
    return not asked.withdrawn and not (memory.state.final and memory.asked == asked.at)


def shortfall(places: Places, memory: Memory) -> str:
    """Which rounds of a training lack results, as far as its records tell, and why; empty when none does."""
    runs = _records(places, [{"run_id": one.run_id} for one in memory.attempts])
    return missing_results(_together(runs)) or ""


def checkpoints(asked: Asked) -> list[int]:
    """Rounds of the checkpoints that are there, in order."""
    try:
        names = [path.name for path in Path(asked.place).iterdir()] if asked.place else []
    except OSError:
        return []
    return sorted(int(found[1]) for name in names if (found := CHECKPOINT.fullmatch(name)))


def _together(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """What runs did, as one: a later run does again what was lost of the earlier ones, and its rounds count."""
    rounds: dict[int, dict[str, Any]] = {}
    for record in runs:
        new = {int(one["round"]): {**one, "run_id": record["run_id"]} for one in record["rounds"]}
        kept = {number: one for number, one in rounds.items() if number < min(new)} if new else rounds
        rounds = {**kept, **new}

    def last(key: str) -> Any:
        return next((one[key] for one in reversed(runs) if one.get(key) is not None), None)

    def total(key: str) -> Any:
        values = [one[key] for one in runs if one.get(key) is not None]
        return sum(values) if values else None

    return {
        "rounds": [rounds[number] for number in sorted(rounds)],
        "initial": last("initial"),
        "num_rounds": last("num_rounds"),
        "chosen": last("nodes"),
        "bytes_sent": total("bytes_sent"),
        "bytes_recv": total("bytes_recv"),
        "duration_s": total("duration_s"),
        "submitted_at": runs[0]["submitted_at"] if runs else None,
        "started_at": next((one["started_at"] for one in runs if one.get("started_at")), None),
        "finished_at": last("finished_at"),
        "versions": last("versions"),
        "output_dir": last("output_dir"),
        "log_tail": last("log_tail") or [],
    }


def _records(places: Places, runs: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    found = []
    for one in runs:
        # Followed from its submission on, but a record can be lost or damaged with a disk.
        with contextlib.suppress(RunError):
            found.append(records.load(places.record(one["run_id"])))
    return found


def _app(asked: Asked) -> dict[str, str]:
    return {"name": base(asked), "version": ""}


def _supervised(places: Places) -> bool:
    """Whether the supervisor runs; without it nothing is submitted."""
    try:
        with os.fdopen(foreign.opened(places.runs / LOCK)) as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _changes(places: Places, asked: Asked) -> list[int]:
    """When the files that tell of a training were last written, nanoseconds since the epoch."""
    shelf = Shelf(places)
    memory = shelf.recall(asked.name)
    watched = [shelf.folder / asked.name / "asked.json", places.runs / f"{asked.name}.training.json"]
    watched += [places.record(one.run_id) for one in memory.attempts[-1:]]
    return [path.stat().st_mtime_ns if path.exists() else 0 for path in watched]
