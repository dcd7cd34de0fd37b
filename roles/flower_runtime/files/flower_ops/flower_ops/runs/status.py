# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The state of a run, read from its record; Flower itself is asked only when nobody follows the run any more."""

from __future__ import annotations

import time
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.runs import record as records
from flower_ops.runs.errors import RunError
from flower_ops.runs.files import files_of
from flower_ops.runs.news import modified, until_news
from flower_ops.runs.record import Places
from flower_ops.runs.verdict import add_answer, leave_open, succeeded
from flower_ops.runs.watch import Watcher

# A watcher that was just started needs a moment before it puts its process id into the record.
WATCHER_START_S = 20.0
# Seconds of silence after which the log of a run that has ended is taken to be all there is.
READING_S = 10.0


def status(places: Places, run_id: str, wait: float = 0.0, seen: str | None = None) -> dict[str, Any]:
    """The record of a run, with `progress`, `succeeded`, whether it is `watched`, and the files of its folder.

    With `wait`, returns as soon as `progress` differs from `seen` or the run has finished, at latest after `wait`
    seconds.
    """
    path = places.record(run_id)
    record = until_news(
        lambda: records.load(path),
        lambda: modified(path),
        lambda one: records.is_finished(one) or progress(one) != (seen or "") or not watched(one),
        wait,
    )
    if not records.is_finished(record) and not watched(record):
        record = _ask_flower(places, path, record)
    return view(places, record)


def view(places: Places, record: dict[str, Any]) -> dict[str, Any]:
    """A record as whoever asks sees it; nobody else is asked."""
    return {
        **record,
        "watched": watched(record),
        "finished": records.is_finished(record),
        "succeeded": succeeded(record),
        "progress": progress(record),
        **files_of(Path(record["output_dir"]), places.user),
    }


def progress(record: dict[str, Any]) -> str:
    """A short text that changes when a person would like to hear of it: a state, a round, a wait for nodes."""
    done = sum(1 for one in record["rounds"] if one["done"])
    return f"{record['status']} {done} {record.get('waiting') or ''}".strip()


def watched(record: dict[str, Any]) -> bool:
    """Whether a watcher follows the run (or will in a moment)."""
    pid = record.get("watcher")
    if pid is None:
        submitted = datetime.strptime(record["submitted_at"], "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc)
        return not records.is_finished(record) and time.time() - submitted.timestamp() < WATCHER_START_S
    try:
        command = Path(f"/proc/{int(pid)}/cmdline").read_bytes()
    except OSError:
        return False
    return str(record["run_id"]).encode() in command


def stop(places: Places, run_id: str) -> dict[str, Any]:
    """Stop a run; one that has finished stays as it is. Returns its status."""
    current = status(places, run_id)
    if current["finished"]:
        return {**current, "stopped": False}
    try:
        places.cli().stop(run_id)
    except FlwrCliError as error:
        # It may have finished in the meantime.
        current = status(places, run_id, wait=5.0, seen=current["progress"])
        if current["finished"]:
            return {**current, "stopped": False}
        raise RunError(str(error)) from error
    return {**status(places, run_id, wait=20.0, seen=current["progress"]), "stopped": True}


def list_runs(places: Places) -> list[dict[str, Any]]:
    """All recorded runs, newest first: run_id, app, status, submitted_at, rounds done, planned rounds."""
    found = [records.load(path) for path in places.runs.glob("*.json") if records.RUN_ID.fullmatch(path.stem)]
    found.sort(key=lambda record: str(record["submitted_at"]), reverse=True)
    keys = ("run_id", "app", "status", "reason", "submitted_at", "duration_s", "num_rounds")
    return [
        {
            **{k: one[k] for k in keys},
            "training": one.get("training"),
            "rounds": sum(1 for r in one["rounds"] if r["done"]),
        }
        for one in found
    ]


def _ask_flower(places: Places, path: Path, record: dict[str, Any]) -> dict[str, Any]:
    """Without a watcher the record is stale: take Flower's own word, and read the log of a run that has ended."""
    try:
        runs = places.cli().list_runs(record["run_id"])
        if runs and records.is_finished(runs[0]):
            return _read_again(places, path)
    except FlwrCliError as error:
        raise RunError(
            f"Nobody follows run {record['run_id']} any more, and Flower cannot be asked: {error}"
        ) from error
    if runs:
        add_answer(record, runs[0], None)
    return record


def _read_again(places: Places, path: Path) -> dict[str, Any]:
    """Judge a run by its whole log, and say so where that cannot be had; FlwrCliError."""
    watcher = Watcher(path, places.cli(), places.user, silence=READING_S)
    watcher.look()
    record = watcher.record
    if record["status"] == "finished:completed" and not watcher.log.complete:
        leave_open(record)
        gone = "the process that followed this run ended early, so rounds may be missing here"
        record["reason"] = f"{record['reason']}; {gone}" if record["reason"] else gone
        records.save(path, record, places.user)
    return record
