# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""For how long a run has had nothing to tell: a ServerApp that hangs is `running` to Flower for ever."""

from __future__ import annotations

from dataclasses import dataclass

from flower_ops.supervisor.model import Asked

#: Seconds beyond the longest wait that the app itself ends: for aggregation, evaluation on the SuperLink, downloads.
GRACE = 1800.0
#: Seconds after which a run of an app that ends no wait by itself is told of.
TELL = 3600.0
#: Seconds that one look adds at most: nobody looked while the VM was suspended, and nothing could happen either.
PER_LOOK = 180.0


@dataclass(frozen=True)
class Life:
    """What a run has told so far. `sign` changes with all that is new and with the run, `written` whenever its watcher
    has written down what it knows.

    `waits`: the app says that it waits for nodes, which is no silence.
    """

    sign: str = ""
    written: int = 0
    waits: bool = False


class Quiet:
    """Counts the seconds of silence of the run of each training, by a clock that nobody sets."""

    def __init__(self) -> None:
        self._seen: dict[str, tuple[Life, float, float]] = {}

    def seconds(self, training: str, life: Life, now: float) -> float:
        """How long its run has been silent. A watcher writes each minute: else nobody listened, which is no silence."""
        before, at, passed = self._seen.get(training, (life, now, 0.0))
        if before.sign != life.sign or life.waits:
            passed, at = 0.0, now
        elif before.written != life.written:
            passed, at = passed + min(now - at, PER_LOOK), now
        self._seen[training] = (life, at, passed)
        return passed


def verdict(asked: Asked, seconds: float) -> tuple[str, str]:
    """Why a run that has been silent for so long is ended, and what is told of one that is left alone; or nothing."""
    if asked.deadline and seconds > asked.deadline + GRACE:
        text = (
            f"the app hangs: nothing new for {seconds / 60:.0f} min, while it ends each wait after"
            f" {asked.deadline / 60:.0f} min"
        )
        return text, ""
    if not asked.deadline and seconds > TELL:
        return "", (
            f"nothing new for more than {TELL / 60:.0f} min; the app has no round-timeout, so its run is left alone:"
            " stop the training if it hangs"
        )
    return "", ""
