# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What becomes of a run once its log and Flower's own answer are known: one verdict with its reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flower_ops.runs.log import RunLog

UNKNOWN = ("", "N/A", None)


def add_log(record: dict[str, Any], log: RunLog, earlier: Mapping[int, float]) -> None:
    """Put what the log told into the record; `earlier` keeps round times measured before a watcher was restarted."""
    rounds = [{**one, "seconds": earlier.get(one["round"], one["seconds"])} for one in log.rounds]
    sampled = [one["nodes"] for one in rounds if one["nodes"] is not None]
    record.update(
        rounds=rounds,
        initial=log.initial,
        num_rounds=log.planned,
        waiting=log.waiting,
        exception=log.exception,
        nodes=sampled[-1] if sampled else record.get("nodes"),
        log_tail=list(log.tail),
    )


def add_answer(record: dict[str, Any], answer: Mapping[str, Any], log_error: str | None) -> None:
    """Put Flower's own answer about the run (one entry of `flwr ls`) into the record, and judge it."""
    status = str(answer.get("status", "")) or record["status"]
    traffic = answer.get("network-traffic") or {}
    record.update(
        status=status,
        started_at=_time(answer.get("running-at")) or record.get("started_at"),
        finished_at=_time(answer.get("finished-at")) or record.get("finished_at"),
        # Both count at the SuperLink: inbound came from the nodes.
        bytes_recv=traffic.get("inbound-bytes", record.get("bytes_recv")),
        bytes_sent=traffic.get("outbound-bytes", record.get("bytes_sent")),
    )
    if status.startswith("finished") and answer.get("elapsed") is not None:
        record["duration_s"] = round(float(answer["elapsed"]), 1)
    if status == "finished:failed":
        details = answer.get("status-details")
        told = details if details not in UNKNOWN else log_error
        record["reason"] = str(told or "Flower gave no reason; read the last lines of the log")[:1000]
        errors = [error for one in record["rounds"] for error in one.get("errors", [])]
        if trained_nothing(record) and errors:
            record["reason"] += f"; first error of a node: {errors[0]}"
    elif status == "finished:stopped":
        record["reason"] = "stopped on request" + (f" while {record['waiting']}" if record.get("waiting") else "")
    elif status == "finished:completed":
        record["waiting"] = None
        shortfall = missing_results(record)
        record["degraded"], record["reason"] = shortfall is not None, shortfall


def missing_results(record: Mapping[str, Any]) -> str | None:
    """Why a completed run is worth less than it looks, or None.

    Flower completes a run although nodes failed in it, even when no node returned anything at all, and although the
    strategy dropped what they returned.
    """
    found = [text for text in map(_shortfall, record["rounds"]) if text]
    if not found:
        return None
    text = "; ".join(found[:3]) + (f" and {len(found) - 3} more rounds" if len(found) > 3 else "")
    errors = [error for one in record["rounds"] for error in one["errors"]]
    if errors:
        return f"{text}; first error: {errors[0]}"
    missing = any(_lacks(one) or _lacks(one, "evaluate_") for one in record["rounds"])
    return text + ("; the missing nodes did not answer in time" if missing else "")


def trained_nothing(record: Mapping[str, Any]) -> bool:
    """Whether rounds were run and not one node's result was of use in any of them."""
    counted = [one for one in record["rounds"] if one.get("results") is not None]
    return bool(counted) and not any(one["results"] and not one.get("dropped") for one in counted)


def succeeded(record: Mapping[str, Any]) -> bool | None:
    """Whether a run completed with a result of use; None where none is known, nor all of its rounds."""
    if record["status"] != "finished:completed":
        return False
    if any(one.get("results") and not one.get("dropped") for one in record["rounds"]):
        return True
    return None if record.get("degraded") is None else not trained_nothing(record)


def leave_open(record: dict[str, Any]) -> None:
    """Take back what was judged of a completed run whose log was not read to its end: `degraded` None is unknown."""
    if record["status"] == "finished:completed":
        record["degraded"] = record["degraded"] if missing_results(record) and succeeded(record) else None


def _lacks(one: Mapping[str, Any], phase: str = "") -> bool:
    """Whether a chosen node's result is missing in a round; `phase`: evaluate_ for the evaluation at the nodes."""
    # Records of a round without an evaluation, and of earlier versions, know nothing of it.
    chosen, came = one.get(f"{phase}nodes"), one.get(f"{phase}results")
    return chosen is not None and came is not None and bool(came < chosen)


def _shortfall(one: Mapping[str, Any]) -> str:
    """What a round lacks; empty when every chosen node's result came and was used."""
    told = [f"{one['results']} of {one['nodes']} results"] if _lacks(one) else []
    if one.get("dropped"):
        told.append(f"none of its results was used ({str(one['dropped']).rstrip('.')})")
    if _lacks(one, "evaluate_"):
        told.append(f"{one['evaluate_results']} of {one['evaluate_nodes']} evaluations")
    return f"round {one['round']}: {', '.join(told)}" if told else ""


def _time(text: Any) -> str | None:
    """Flower writes 2026-11-22 00:42:26Z; ISO 8601 wants a T."""
    return None if text in UNKNOWN else str(text).replace(" ", "T")
