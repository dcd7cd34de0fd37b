# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a person sees of a training while it goes on: a line per round, and what happens between its runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import round_line

#: How a run that belongs to no training ended, in the words of one that does.
_ENDS = {"finished:completed": "done", "finished:stopped": "stopped", "finished:failed": "failed"}


def uniform(run: Mapping[str, Any]) -> dict[str, Any]:
    """What flower-ops says of a training, or of a run as if it were a training with one run."""
    if "runs" in run:
        return {**run, "nodes": run.get("chosen"), "rounds": run.get("rounds", [])}
    run_id = run.get("run_id") or ""
    end = _ENDS.get(str(run.get("status")))
    one = {"run_id": run_id, "ended": end, "reason": run.get("reason") or "", "from_round": 0}
    rounds = [{**entry, "run_id": run_id} for entry in run.get("rounds") or []]
    return {**run, "training": run.get("training") or "", "runs": [one] if run_id else [], "rounds": rounds}


class Follower:
    """Tells every piece of news once. `say` takes a line."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say
        self._runs: set[str] = set()
        self._past: set[str] = set()
        self._rounds: set[tuple[str, int]] = set()
        self._waiting: str | None = None

    def pass_over(self, run: Mapping[str, Any]) -> None:
        """Take runs as known, and what was done in those that have ended."""
        self._runs |= {one["run_id"] for one in run["runs"]}
        self._past |= {one["run_id"] for one in run["runs"] if one["ended"]}

    def tell(self, run: Mapping[str, Any]) -> None:
        """Take in a look, and say what is new in it."""
        previous: Mapping[str, Any] | None = None
        for one in run["runs"]:
            if one["run_id"] not in self._runs:
                self._runs.add(one["run_id"])
                self._say(_beginning(one, previous))
            if one["run_id"] not in self._past:
                self._tell_rounds(run, one["run_id"])
            previous = one
        waiting = run.get("waiting")
        if waiting and waiting != self._waiting:
            self._say(waiting)
        self._waiting = waiting

    def _tell_rounds(self, run: Mapping[str, Any], run_id: str) -> None:
        for one in run["rounds"]:
            key = (run_id, one["round"])
            if one.get("run_id") == run_id and one["done"] and key not in self._rounds:
                self._rounds.add(key)
                self._say(round_line(one, run.get("num_rounds")))


def _beginning(one: Mapping[str, Any], previous: Mapping[str, Any] | None) -> str:
    if previous is None:
        return f"run {one['run_id']} submitted"
    reason = f" ({previous['reason']})" if previous["reason"] else ""
    return f"run {previous['run_id']} ended{reason}, going on from round {one['from_round']} as run {one['run_id']}"
