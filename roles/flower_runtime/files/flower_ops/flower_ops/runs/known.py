# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""All that is known of the runs of this SuperLink, also of those that somebody submitted with Flower's own command."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.runs import record as records
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.runs.status import view, watched
from flower_ops.runs.verdict import UNKNOWN, add_answer


def known(places: Places, run_id: str = "") -> dict[str, Any]:
    """`runs`, newest first, each as `status` shows it and with `recorded`; `warnings` where Flower does not answer.

    Nothing is written. RunError for a run that neither the records nor Flower know.
    """
    if run_id:
        paths = [path for path in [places.record(run_id)] if path.exists()]
    else:
        paths = [path for path in places.runs.glob("*.json") if records.RUN_ID.fullmatch(path.stem)]
    found = {str(one["run_id"]): one for one in map(records.load, paths)}
    warnings: list[str] = []
    if not run_id or run_id not in found or not records.is_finished(found[run_id]):
        listed, unanswered = _listed(places)
        warnings += unanswered
        for entry in listed:
            _add(found, entry, run_id)
    if run_id and not found:
        text = warnings[0] if warnings else "look at all of them without naming one"
        raise RunError(f"There is no run {run_id} on this SuperLink; {text}.")
    runs = [{**view(one), "recorded": one.get("revision", 0) > 0} for one in found.values()]
    runs.sort(key=lambda one: str(one["submitted_at"]), reverse=True)
    return {"runs": runs, "warnings": warnings}


def _listed(places: Places) -> tuple[list[dict[str, Any]], list[str]]:
    try:
        return places.cli().list_runs(), []
    except FlwrCliError as error:
        return [], [f"Only runs with a record are shown: {str(error).rstrip('.')}"]


def _add(found: dict[str, dict[str, Any]], entry: Mapping[str, Any], wanted: str) -> None:
    """Take in Flower's entry of a run: it knows of some that have no record, and how others ended that nobody follows."""
    run_id = str(entry.get("run-id", ""))
    if wanted and run_id != wanted:
        return
    record = found.get(run_id)
    if record is None:
        app = {"name": str(entry.get("fab-name") or str(entry.get("fab-id", "")).rpartition("/")[2])}
        app["version"] = str(entry.get("fab-version", ""))
        record = found[run_id] = records.new_record(run_id, app, places_nothing())
        asked = entry.get("pending-at")
        record["submitted_at"] = "" if asked in UNKNOWN else str(asked).replace(" ", "T")
        add_answer(record, entry, None)
    elif not records.is_finished(record) and not watched(record):
        add_answer(record, entry, None)
