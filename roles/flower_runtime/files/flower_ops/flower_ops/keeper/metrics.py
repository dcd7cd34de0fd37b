# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Numbers about training that OneFlow's scaling rules and people read in OneGate, published when they change."""

from __future__ import annotations

import re
from collections.abc import Iterable

IDLE, TRAINING, DISCONNECTED = 1, 2, 3
#: Seconds that training outlives its last sign: between two messages of a run nothing happens on a node.
HOLD = 30.0

_RUN = re.compile(r"\[RUN (?P<run>-?\d+)(?:, ROUND (?P<round>\d+))?\]")
_RECEIVED = re.compile(r"Receiving: (?P<kind>\w+) message")


class Activity:
    """What the log and the processes of Flower's service tell about training."""

    def __init__(self) -> None:
        self._last = float("-inf")
        self._run = ""
        self._round = 0
        self._counted = True

    def take_in(self, lines: Iterable[str], app: bool, now: float) -> None:
        """Lines since the last time, and whether a process of an app lives now."""
        for line in lines:
            run, message = _RUN.search(line), _RECEIVED.search(line)
            if run:
                if run["run"] != self._run:
                    self._run, self._round, self._counted = run["run"], 0, True
                if run["round"]:
                    self._round, self._counted = int(run["round"]), False
            if message and message["kind"] == "train" and self._counted:
                # Apps that name no round: one training message is one round.
                self._round += 1
            if run or message:
                self._last = now
        if app:
            self._last = now

    def training(self, now: float) -> bool:
        """Whether training goes on."""
        return now - self._last <= HOLD

    def of_node(self, connected: bool, now: float) -> dict[str, str]:
        """Attributes of a SuperNode."""
        training = self.training(now)
        status = TRAINING if training else IDLE
        return {
            "FL_CLIENT_STATUS": str(status if connected else DISCONNECTED),
            "FL_TRAINING_ACTIVE": str(int(training)),
            "FL_ROUND_NUMBER": str(self._round),
        }

    def of_superlink(self, now: float) -> dict[str, str]:
        """Attributes of a SuperLink; its rounds are known to the apps alone."""
        return {"FL_TRAINING_ACTIVE": str(int(self.training(now)))}
