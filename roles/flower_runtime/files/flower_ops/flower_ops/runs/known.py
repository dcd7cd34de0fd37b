# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is known of the runs of this SuperLink, also of those that somebody submitted with Flower's own command."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.runs import record as records
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.runs.status import progress, stop, view, watched
from flower_ops.runs.verdict import UNKNOWN, add_answer, leave_open, succeeded


def known(places: Places, run_id: str = "") -> dict[str, Any]:
    """`runs`, newest first, each as `status` shows it and with `recorded`; `warnings` where Flower does not answer.

    Nothing is written. RunError for a run that neither the records nor Flower know.
    """
    if run_id:
        paths = [path for path in [places.record(run_id)] if path.exists()]
    else:
        paths = [path for path in places.runs.glob("*.json") if records.RUN_ID.fullmatch(path.stem)]
    found: dict[str, dict[str, Any]] = {}
    others: list[dict[str, Any]] = []
    warnings: list[str] = []
    for path in paths:
        try:
            found[path.stem] = records.load(path)
        except RunError as error:
            warnings.append(str(error).rstrip("."))
    if run_id not in found or not records.is_finished(found[run_id]):
        listed, unanswered = _listed(places)
        warnings += unanswered
        for entry in listed:
            this = str(entry.get("run-id", ""))
            if run_id and this != run_id:
                continue
            if this not in found:
                others.append(_unrecorded(this, entry))
            elif not records.is_finished(found[this]) and not watched(found[this]):
                # Nobody follows it any more: Flower's word is newer than the record.
                add_answer(found[this], entry, None)
                leave_open(found[this])
    runs = [{**view(places, one), "recorded": True} for one in found.values()] + others
    if run_id and not runs:
        text = warnings[0] if warnings else "look at all of them without naming one"
        raise RunError(f"There is no run {run_id} on this SuperLink; {text}.")
    runs.sort(key=lambda one: str(one["submitted_at"]), reverse=True)
    return {"runs": runs, "warnings": warnings}


def stop_known(places: Places, run_id: str) -> dict[str, Any]:
    """Stop a run, also one that somebody else submitted; one that has finished stays as it is."""
    if places.record(run_id).exists():
        return stop(places, run_id)
    (one,) = known(places, run_id)["runs"]
    if one["finished"]:
        return {**one, "stopped": False}
    try:
        places.cli().stop(run_id)
    except FlwrCliError as error:
        raise RunError(str(error)) from error
    return {**known(places, run_id)["runs"][0], "stopped": True}


def _listed(places: Places) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        return places.cli().list_runs(), []
    except FlwrCliError as error:
        return [], [f"Only runs with a record are shown: {str(error).rstrip('.')}"]


def _unrecorded(run_id: str, entry: Mapping[str, Any]) -> dict[str, Any]:
    """Flower's entry of a run that was not submitted through this package: neither rounds nor files are known."""
    name = str(entry.get("fab-name") or str(entry.get("fab-id", "")).rpartition("/")[2])
    record = records.new_record(run_id, {"name": name, "version": str(entry.get("fab-version", ""))}, Path())
    asked = entry.get("pending-at")
    record.update(submitted_at="" if asked in UNKNOWN else str(asked).replace(" ", "T"), output_dir="")
    add_answer(record, entry, None)
    leave_open(record)
    return {
        **record,
        "watched": False,
        "finished": records.is_finished(record),
        "succeeded": succeeded(record),
        "progress": progress(record),
        "files": [],
        "files_left_out": [],
        "recorded": False,
    }
