# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Callback: how long every task took and what it said, one JSON object a line, into the file that BENCH_TIMES names."""

from __future__ import annotations

import json
import os
import time
from typing import Any

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: bench_times
type: aggregate
short_description: Durations of tasks as JSON lines
description:
  - For every task its name, its seconds from the start of the task to its result, and whether it changed something.
  - With it the calls that the sandbox cloud of BENCH_CALLS has counted by then.
"""


class CallbackModule(CallbackBase):
    """From the moment at which a task is announced to the moment at which its result is there, fork included."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "bench_times"
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self) -> None:
        super().__init__()
        self._started = 0.0

    def v2_playbook_on_task_start(self, task: Any, is_conditional: bool) -> None:
        """The clock starts."""
        self._started = time.monotonic()

    def v2_runner_on_ok(self, result: Any) -> None:
        """The clock stops; only then is anything written."""
        seconds = time.monotonic() - self._started
        with open(os.environ["BENCH_CALLS"], encoding="utf-8") as stream:
            calls = json.load(stream)
        line = {
            "task": result._task.name, "seconds": seconds, "changed": bool(result._result.get("changed")),
            "calls": calls,
        }  # fmt: skip
        with open(os.environ["BENCH_TIMES"], "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")
