# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a run ended, told from what Flower and the log say of it."""

from __future__ import annotations

from typing import Any

import pytest
from conftest_runs import recorded
from flower_ops.runs.log import RunLog
from flower_ops.supervisor.causes import cause
from flower_ops.supervisor.model import Cause

FAILED = {"status": "finished:failed", "status-details": "N/A"}


def record(exception: str | None = None, **more: Any) -> dict[str, Any]:
    return {"exception": exception, "rounds": [], "reason": None, **more}


@pytest.mark.parametrize("status", ["pending", "starting", "running"])
def test_a_run_that_has_not_ended_has_no_cause(status: str) -> None:
    assert cause({"status": status}, record()) == (None, "")


@pytest.mark.parametrize(
    ("details", "exception", "expected"),
    [
        # As 1.25.0 and 1.34.0 say it when the SuperLink was killed.
        ("No heartbeat received from the run.", None, Cause.BROKEN),
        ("No heartbeat received from the task", None, Cause.BROKEN),
        # What the app printed before it was killed is not why it ended.
        ("No heartbeat received from the task", "ValueError: caught and printed", Cause.BROKEN),
        # 1.25.0 has no details.
        ("N/A", None, Cause.BROKEN),
        ("", "grpc._channel._InactiveRpcError: <_InactiveRpcError of RPC>", Cause.BROKEN),
        ("", "httpx.ConnectError: All connection attempts failed", Cause.BROKEN),
        ("", "ConnectionResetError: [Errno 104] Connection reset by peer", Cause.BROKEN),
        ("", "flower_ops.training.errors.NodesMissing: Round 3 did not begin: 1 of 2 nodes", Cause.BROKEN),
        ("", "flower_ops.training.errors.NothingLearned: No round brought a new model", Cause.APP),
        ("An unhandled exception", "ValueError: The run configuration has a fault: x", Cause.APP),
        ("", "ValueError: grpc.something", Cause.APP),
        ("Exit Code: 608 uv sync failed", None, Cause.APP),
    ],
)
def test_what_failed(details: str, exception: str | None, expected: Cause) -> None:
    found, reason = cause({**FAILED, "status-details": details}, record(exception))
    assert found is expected and reason


@pytest.mark.parametrize(
    "exception",
    [
        "flower_ops.training.checkpoint.errors.CheckpointError: The checkpoint of round 3 could not be written to "
        "/opt/flower/checkpoints/x: the disk is full, 0.1 MB are free; make room",
        "OSError: [Errno 28] No space left on device",
    ],
)
def test_a_full_disk_is_for_people_whatever_flower_says(exception: str) -> None:
    found, reason = cause({**FAILED, "status-details": "No heartbeat received from the task"}, record(exception))
    assert found is Cause.APP and ("disk is full" in reason or "No space left" in reason)
    assert not reason.startswith("flower_ops")


def test_a_run_that_completed_without_any_result_has_failed() -> None:
    empty = record(rounds=[{"results": 0}, {"results": 0}], reason="round 1: 0 of 2 results")
    assert cause({"status": "finished:completed"}, empty)[0] is Cause.APP
    some = record(rounds=[{"results": 0}, {"results": 1}], reason="round 1: 0 of 2 results")
    assert cause({"status": "finished:completed"}, some) == (Cause.DONE, "round 1: 0 of 2 results")
    assert cause({"status": "finished:completed"}, None) == (Cause.DONE, "")


def test_without_a_record_flowers_word_is_all_there_is() -> None:
    assert cause(FAILED, None)[0] is Cause.BROKEN
    assert cause({**FAILED, "status-details": "it was bad"}, None) == (Cause.APP, "it was bad")


def test_the_exception_of_a_recorded_run() -> None:
    log = RunLog()
    for line in recorded("serverapp_failed").splitlines():
        log.feed(line, 0.0)
    assert log.exception is not None and log.exception.startswith("FileNotFoundError: no digits at")
    for line in recorded("node_lost").splitlines():
        (quiet := RunLog()).feed(line, 0.0)
    assert quiet.exception is None
