# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor sees and does: Flower's command line, records of runs, checkpoints, processes."""

from __future__ import annotations

import calendar
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, Protocol, TypeVar

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.flower_cli.flwr_session import FlwrSession
from flower_ops.runs import app as apps
from flower_ops.runs import record as records
from flower_ops.runs.copy import has_mark
from flower_ops.runs.errors import NoRecord, RunError
from flower_ops.runs.record import Places
from flower_ops.runs.status import WATCHER_START_S, watched
from flower_ops.runs.submit import Supervised, submit, watch_by_process
from flower_ops.supervisor.asking import token
from flower_ops.supervisor.causes import cause
from flower_ops.supervisor.hindrance import passes
from flower_ops.supervisor.model import Asked, Memory, Seen
from flower_ops.supervisor.quiet import Life
from flower_ops.supervisor.retired import reduce
from flower_ops.supervisor.view import checkpoints, shortfall

#: Seconds that the watcher of a run that has ended may take to read its log to the end.
READING = 60.0
#: How the record of a run begins to say that it waits for nodes, see runs/log.py.
NODES = "waiting for nodes"
Entry = dict[str, Any]
Answer = TypeVar("Answer")


class Unanswered(Exception):
    """Flower did not answer; later it may."""


class Hindered(Exception):
    """A submission failed by something that passes, such as a full disk or a SuperLink with a fault of its own."""


class World(Protocol):
    """All that the loop needs of the machine; tests have one of their own."""

    def now(self) -> float:
        """Seconds since the epoch."""

    def steady(self) -> float:
        """Seconds since whenever; nobody sets this clock."""

    def runs(self) -> list[Entry]:
        """Flower's own list of runs, oldest first; Unanswered."""

    def run(self, run_id: str) -> Entry | None:
        """Flower's entry of one run, asked for by its id; None: it does not know the run. Unanswered."""

    def seen(self, asked: Asked, listed: list[Entry], judged: Collection[str]) -> tuple[Seen, ...] | None:
        """The runs of a training in Flower's list. None: why one ended is still being read, but for those `judged`."""

    def online(self) -> int:
        """Number of nodes that are online; Unanswered."""

    def round(self, asked: Asked) -> int:
        """Round of the training's newest checkpoint, 0 for none."""

    def submit(self, asked: Asked) -> str:
        """Submit it and return the run's id. Unanswered; Hindered; RunError when trying again is of no use."""

    def follow(self, asked: Asked, run_id: str) -> bool:
        """See that somebody follows the run. Whether it goes on by its record, so that Flower needs no asking.

        So it is taken to do where that cannot be read: Flower is asked once in a while.
        """

    def stop(self, run_id: str) -> None:
        """Stop a run; one that has ended stays as it is. Unanswered."""

    def progress(self, run_id: str) -> tuple[int, int, str]:
        """Last round that the run has done, planned rounds, and what it waits for; from its record."""

    def life(self, asked: Asked, run_id: str) -> Life:
        """What the run has told so far; from its record and the training's checkpoints."""

    def host(self) -> str:
        """Which process the SuperLink is now; empty when nobody knows."""

    def reduce(self, asked: Asked) -> str:
        """Of the checkpoints of a training that is complete keep the last one. Returns why it cannot, or nothing."""

    def shortfall(self, memory: Memory) -> str:
        """Which rounds of all its runs lack results, and why; empty when none is known to."""

    def rest(self) -> None:
        """Nothing is asked of Flower for a while."""


class Machine:
    """The real one. `born` tells which process the SuperLink is, `lock` is kept by every process started for Flower."""

    def __init__(self, places: Places, born: Callable[[], str], lock: int | None = None) -> None:
        self.places = places
        self._born = born
        self._host = ""
        self._shared = () if lock is None else (lock,)
        cli = places.cli()
        self._session = FlwrSession(cli.binary, cli.home, user=cli.user)
        self._reading: dict[str, float] = {}
        self._started: dict[str, float] = {}
        self._unread: set[str] = set()

    def now(self) -> float:
        """See World."""
        return time.time()

    def steady(self) -> float:
        """See World."""
        return time.monotonic()

    def runs(self) -> list[Entry]:
        """See World."""
        self._host = self.host()
        return self._answer(self._session.list_runs)

    def run(self, run_id: str) -> Entry | None:
        """See World."""
        return self._answer(lambda: self._session.find_run(run_id))

    def _answer(self, question: Callable[[], Answer]) -> Answer:
        try:
            return question()
        except FlwrCliError as error:
            raise Unanswered(str(error)) from error
        finally:
            # Started anew since runs were listed, nobody knows which of the two has answered.
            if self._host != self.host():
                self._host = ""

    def seen(self, asked: Asked, listed: list[Entry], judged: Collection[str]) -> tuple[Seen, ...] | None:
        """See World."""
        found = []
        for entry in listed:
            if not has_mark(str(entry.get("fab-version", "")), asked.mark):
                continue
            run_id = str(entry["run-id"])
            record = self._record(run_id)
            ended = str(entry.get("status", "")).startswith("finished")
            unread = ended and run_id not in judged and not (record and records.is_finished(record))
            if unread and self._still_reading(asked, run_id):
                return None
            why, reason = cause(entry, record)
            host = self._host if str(entry.get("status")) == "running" else ""
            found.append(Seen(run_id, epoch(entry.get("pending-at")), why, reason, host))
        return tuple(found)

    def _still_reading(self, asked: Asked, run_id: str) -> bool:
        """Whether the log of a run that has ended is still being read; its last words tell why it ended."""
        begun = self._reading.setdefault(run_id, time.monotonic())
        if time.monotonic() - begun > READING:
            return False
        self.follow(asked, run_id)
        return True

    def online(self) -> int:
        """See World."""
        try:
            return sum(1 for node in self._session.supernodes() if node.get("status") == "online")
        except FlwrCliError as error:
            raise Unanswered(str(error)) from error

    def round(self, asked: Asked) -> int:
        """See World."""
        return max(checkpoints(asked), default=0)

    def submit(self, asked: Asked) -> str:
        """See World."""
        cli = self.places.cli()
        cli.shared = self._shared
        supervised = Supervised(asked.name, asked.mark, cli, watch_by_process)
        try:
            return str(submit(self.places, asked.app, asked.run_config, self._output(asked), supervised)["run_id"])
        except RunError as error:
            if passes(error):
                raise Hindered(str(error)) from error
            if isinstance(error.__cause__, FlwrCliError) and error.__cause__.unreachable:
                raise Unanswered(str(error)) from error
            raise

    def _output(self, asked: Asked) -> str:
        return str(self.places.runs / asked.name)

    def follow(self, asked: Asked, run_id: str) -> bool:
        """See World."""
        try:
            record = records.load(self.places.record(run_id))
        except NoRecord:
            record = self._begin_record(asked, run_id)
            self._watch(run_id)
        except RunError as error:
            # No watcher can read it either, and written anew it would lose what it tells.
            if run_id not in self._unread:
                self._unread.add(run_id)
                unknown = "neither its rounds are told nor whether it hangs"
                print(f"Run {run_id} is followed by asking Flower only; {unknown}: {error}", flush=True)
            return True
        if not records.is_finished(record) and not watched(record):
            self._watch(run_id)
        return not records.is_finished(record)

    def _begin_record(self, asked: Asked, run_id: str) -> Entry:
        """The record of a run that nobody has written down."""
        try:
            app = apps.load_app(asked.app)
            described = {"name": app.name, "version": app.version}
        except RunError:
            described = {"name": asked.name, "version": ""}
        output = Path(str(asked.run_config.get(apps.OUTPUT_KEY) or self._output(asked)))
        record = records.new_record(run_id, described, output, asked.name)
        records.save(self.places.record(run_id), record, self.places.user)
        return record

    def _watch(self, run_id: str) -> None:
        """Start a watcher, unless one is just starting: it needs a moment before its id is in the record."""
        if time.monotonic() - self._started.get(run_id, float("-inf")) >= WATCHER_START_S:
            self._started[run_id] = time.monotonic()
            watch_by_process(self.places, run_id)

    def stop(self, run_id: str) -> None:
        """See World."""
        try:
            self._session.stop(run_id)
        except FlwrCliError as error:
            if error.unreachable:
                raise Unanswered(str(error)) from error

    def progress(self, run_id: str) -> tuple[int, int, str]:
        """See World."""
        record = self._record(run_id) or {"rounds": []}
        done = max((int(one["round"]) for one in record["rounds"] if one["done"]), default=0)
        return done, int(record.get("num_rounds") or 0), str(record.get("waiting") or "")

    def life(self, asked: Asked, run_id: str) -> Life:
        """See World."""
        record = self._record(run_id) or {}
        news = [record.get(key) for key in ("status", "initial", "rounds", "log_tail")]
        waits = str(record.get("waiting") or "").startswith(NODES)
        return Life(token(run_id, news, checkpoints(asked)[-1:]), int(record.get("revision") or 0), waits)

    def host(self) -> str:
        """See World."""
        return self._born()

    def reduce(self, asked: Asked) -> str:
        """See World."""
        return reduce(asked)

    def shortfall(self, memory: Memory) -> str:
        """See World."""
        return shortfall(self.places, memory)

    def rest(self) -> None:
        """See World."""
        self._session.close()

    def _record(self, run_id: str) -> dict[str, Any] | None:
        try:
            return records.load(self.places.record(run_id))
        except RunError:
            return None


def epoch(text: Any) -> float:
    """Flower's times, such as 2026-11-22 00:42:26Z, as seconds since the epoch; 0 for anything else."""
    try:
        return float(calendar.timegm(time.strptime(str(text)[:19].replace("T", " "), "%Y-%m-%d %H:%M:%S")))
    except ValueError:
        return 0.0
