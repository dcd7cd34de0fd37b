# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Threads of the core: one for timers, a few for drivers. Never one per VM."""

from __future__ import annotations

import heapq
import itertools
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

_LOG = logging.getLogger(__name__)
Job = Callable[[], None]


class Worker:
    """Runs jobs later (`after`) or on a driver thread (`submit`, strictly one after another for one key)."""

    def __init__(self, driver_threads: int = 4) -> None:
        self._condition = threading.Condition()
        self._timers: list[tuple[float, int, Job]] = []
        self._sequence = itertools.count()
        self._queues: dict[object, deque[Job]] = {}
        self._pool = ThreadPoolExecutor(driver_threads, thread_name_prefix="one-driver")
        self._thread = threading.Thread(target=self._run, name="one-timer", daemon=True)
        self._stopped = False

    def start(self) -> None:
        """Start the timer thread."""
        self._thread.start()

    def stop(self) -> None:
        """Forget timers, let running driver calls end."""
        with self._condition:
            self._stopped = True
            self._condition.notify()
        if self._thread.is_alive():
            self._thread.join()
        self._pool.shutdown(wait=True, cancel_futures=True)

    def after(self, delay: float, job: Job) -> None:
        """Run `job` on the timer thread in `delay` seconds; it must not block."""
        with self._condition:
            heapq.heappush(self._timers, (time.monotonic() + delay, next(self._sequence), job))
            self._condition.notify()

    def submit(self, key: object, job: Job) -> None:
        """Run `job` on a driver thread, after the jobs submitted earlier for the same key."""
        with self._condition:
            if self._stopped:
                return
            queue = self._queues.get(key)
            if queue is not None:
                queue.append(job)
                return
            self._queues[key] = deque([job])
            self._pool.submit(self._drain, key)

    def busy(self, key: object) -> bool:
        """Whether jobs of that key wait or run."""
        with self._condition:
            return key in self._queues

    def _drain(self, key: object) -> None:
        while True:
            with self._condition:
                queue = self._queues[key]
                if not queue or self._stopped:
                    del self._queues[key]
                    return
                job = queue.popleft()
            _guarded(job)

    def _run(self) -> None:
        while True:
            with self._condition:
                if self._stopped:
                    return
                now = time.monotonic()
                if not self._timers or self._timers[0][0] > now:
                    self._condition.wait(self._timers[0][0] - now if self._timers else None)
                    continue
                job = heapq.heappop(self._timers)[2]
            _guarded(job)


def _guarded(job: Job) -> None:
    try:
        job()
    except Exception:
        # A failing job is a fault of the sandbox; it must be seen, but not stop the cloud for everybody.
        _LOG.exception("A background job of the sandbox failed.")
