# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a run ended: did its app fail, or what carried it? Told from Flower's own words and the last exception."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from flower_ops.runs.verdict import UNKNOWN, trained_nothing
from flower_ops.supervisor.model import Cause

#: Flower's details of a run whose process went without a word, or which the SuperLink did not let in again.
_CARRIED = re.compile(r"no heartbeat|task-token authentication|runtime .*(unavailable|unreachable)", re.IGNORECASE)
#: Classes of exceptions by which a ServerApp notices that the SuperLink, or too many nodes, have gone.
_GONE = re.compile(
    r"(flower_ops\.training\.errors\.NodesMissing|grpc\.[\w.]+|httpx\.[\w.]+|httpcore\.[\w.]+"
    r"|requests\.exceptions\.ConnectionError|urllib3\.exceptions\.[\w.]+|ConnectionError|ConnectionRefusedError"
    r"|ConnectionResetError|ConnectionAbortedError|BrokenPipeError|EOFError)(:|$)"
)
#: A full disk is for people: the next run would only fill it again.
FULL = re.compile(r"disk is full|No space left on device|Disk quota exceeded", re.IGNORECASE)


def cause(answer: Mapping[str, Any], record: Mapping[str, Any] | None) -> tuple[Cause | None, str]:
    """The cause of a run's end, with a sentence; (None, "") while it has not ended.

    `answer` is Flower's entry of the run (`flwr ls`), `record` what the watcher has written of it, if anything.
    """
    status = str(answer.get("status", ""))
    if not status.startswith("finished"):
        return None, ""
    if status == "finished:completed":
        if record and trained_nothing(record):
            return Cause.APP, f"no node returned anything: {record.get('reason') or 'nobody knows why'}"
        return Cause.DONE, str((record or {}).get("reason") or "")
    if status == "finished:stopped":
        return Cause.STOPPED, "stopped on request"
    details = answer.get("status-details")
    details = "" if details in UNKNOWN else " ".join(str(details).split())
    exception = str((record or {}).get("exception") or "")
    if FULL.search(exception) or FULL.search(details):
        return Cause.APP, _shown(exception or details)
    if _CARRIED.search(details):
        return Cause.BROKEN, f"the run ended without a word ({details.rstrip('.')})"
    if exception:
        return (Cause.BROKEN if _GONE.match(exception) else Cause.APP), _shown(exception)
    if details:
        return Cause.APP, details
    # Flower 1.25 gives no details; an app that fails leaves an exception in its log.
    return Cause.BROKEN, "the run ended without a word"


def _shown(exception: str) -> str:
    """An exception for people: those of ours are sentences, of others the class says what the text means."""
    kind, separator, text = exception.partition(": ")
    if separator and kind.startswith("flower_ops."):
        return text.rstrip(".")
    return exception
