# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The watcher: follows one run's log by one long-lived `flwr log`, keeps the record, and ends with the run.

Flower is asked for the state (`flwr ls`, more than a second of processor time) only when the log ends or stays silent.
"""

from __future__ import annotations

import os
import selectors
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from flower_ops.flower_cli.flwr_cli import FlwrCli, FlwrCliError
from flower_ops.runs import record as records
from flower_ops.runs.errors import RunError
from flower_ops.runs.log import RunLog
from flower_ops.runs.verdict import add_answer, add_log

# The log of a run whose SuperLink died stays silent; Flower declares such a run failed after about 50 s.
SILENCE_S = 60.0
RETRY_S = (1.0, 2.0, 5.0, 10.0, 30.0)
GIVE_UP_S = 900.0
SAVE_EVERY_S = 2.0
# After how many silences a round that waits is told, so that a person hears of it neither too late nor every minute.
TELL_SILENCE = (1, 2, 5, 10, 20)
TELL_EVERY = 30


class Watcher:
    """Follows the run of one record until it has finished."""

    def __init__(
        self,
        path: Path,
        cli: FlwrCli,
        owner: str | None = None,
        silence: float = SILENCE_S,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.path = path
        self.cli = cli
        self.owner = owner
        self.silence = silence
        self.sleep = sleep
        self.record = records.load(path)
        self.run_id = str(self.record["run_id"])
        self.log = RunLog()
        # A restarted watcher reads the log from its beginning, at once: times of those rounds come from the record.
        self.earlier = {one["round"]: one["seconds"] for one in self.record["rounds"] if one["done"]}
        self._saved = 0.0

    def watch(self) -> dict[str, Any]:
        """Follow the run to its end and return the record; RunError when the SuperLink stays silent for long."""
        if records.is_finished(self.record):
            return self.record
        self.record["watcher"] = os.getpid()
        self._save()
        failed_since: float | None = None
        attempt = 0
        while True:
            try:
                if self.look():
                    return self.record
                failed_since, attempt = None, 0
            except FlwrCliError as error:
                failed_since = failed_since or time.monotonic()
                if time.monotonic() - failed_since > GIVE_UP_S:
                    self.record["reason"] = f"The SuperLink has not answered for {GIVE_UP_S / 60:.0f} minutes: {error}"
                    self._save()
                    raise RunError(str(self.record["reason"])) from error
            self.sleep(RETRY_S[min(attempt, len(RETRY_S) - 1)])
            attempt += 1
            self.earlier.update({one["round"]: one["seconds"] for one in self.record["rounds"] if one["done"]})
            self.log = RunLog()

    def look(self) -> bool:
        """Read the log once to its end and ask Flower about the run: whether it has finished; FlwrCliError."""
        return self._follow() or self._ask()

    def _follow(self) -> bool:
        """Read the log until it ends (False), or until a silence in which the run turns out to have finished (True)."""
        process = self.cli.log_stream(self.run_id)
        silences = 0
        try:
            for line in lines_of(process, self.silence):
                if line is not None:
                    silences = 0
                    self._take(line)
                elif self._ask():
                    return True
                else:
                    silences += 1
                    self._tell(silences)
        finally:
            close(process)
        return False

    def _take(self, line: str) -> None:
        news = self.log.feed(line, time.time())
        if news and self.record["status"] in ("pending", "starting"):
            self.record["status"] = "running"
            self.record["started_at"] = self.record["started_at"] or records.timestamp()
        # A replayed log must not make the record shorter than it was.
        if len(self.log.rounds) < len(self.record["rounds"]):
            return
        add_log(self.record, self.log, self.earlier)
        if news or time.monotonic() - self._saved > SAVE_EVERY_S:
            self._save()

    def _tell(self, silences: int) -> None:
        """Put into the record that a round has long been waiting: for training that takes its time, or for a lost node.

        Flower itself waits for a reply until the app's own timeout, without a word.
        """
        if not self.log.rounds or self.log.rounds[-1]["done"] or self.log.waiting:
            return
        if silences in TELL_SILENCE or silences % TELL_EVERY == 0:
            passed = silences * self.silence
            text = f"{passed / 60:.0f} min" if passed >= 60 else f"{passed:.0f} s"
            self.record["waiting"] = f"round {self.log.rounds[-1]['round']} has brought nothing new for {text}"
            self._save()

    def _ask(self) -> bool:
        """Put Flower's own word about the run into the record; True when the run has finished."""
        runs = self.cli.list_runs(self.run_id)
        if not runs:
            raise FlwrCliError(f"the SuperLink does not know run {self.run_id}")
        add_answer(self.record, runs[0], self.log.error)
        finished = records.is_finished(self.record)
        if finished:
            self.record["watcher"] = None
        self._save()
        return finished

    def _save(self) -> None:
        records.save(self.path, self.record, self.owner)
        self._saved = time.monotonic()


def lines_of(process: subprocess.Popen[bytes], silence: float) -> Iterator[str | None]:
    """Lines of a process's output as they come; None after every `silence` seconds without one."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    pending = b""
    with selectors.DefaultSelector() as selector:
        selector.register(descriptor, selectors.EVENT_READ)
        while True:
            if not selector.select(silence):
                yield None
                continue
            chunk = os.read(descriptor, 65536)
            if not chunk:
                break
            *complete, pending = (pending + chunk).split(b"\n")
            for line in complete:
                yield line.decode("utf-8", "replace")
    if pending:
        yield pending.decode("utf-8", "replace")


def close(process: subprocess.Popen[bytes]) -> None:
    """End a process that may still run, and take its exit status."""
    if process.poll() is None:
        process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    if process.stdout is not None:
        process.stdout.close()
