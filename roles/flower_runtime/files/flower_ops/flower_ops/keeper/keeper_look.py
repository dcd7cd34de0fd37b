# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the keeper sees and what it may do; and the clocks by which it tells trouble from a moment's silence."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum


class Kind(Enum):
    """What is done about it."""

    CONFIGURE = "configure"
    RESTART = "restart"
    STOP = "stop"
    START = "start"
    NEW_KEY = "new key"
    TELL = "tell"


@dataclass(frozen=True)
class Action:
    """Something to do, and the sentence that says why; `detail` is more of it for the journal alone."""

    kind: Kind
    why: str
    unit: str = ""
    detail: str = ""


@dataclass(frozen=True)
class View:
    """What OneGate says of the SuperLink (empty while none says that it is ready) and, from `partition` on, of us."""

    superlink_vm: str = ""
    endpoint: str = ""
    ca: str = ""
    version: str = ""
    partition: str = ""
    retired_key: str = ""
    error: str = ""


@dataclass(frozen=True)
class Look:
    """One look at the VM. `now` in seconds; `view` None: OneGate was not asked or did not answer.

    `connected` None: nobody looked. `lines` are what Flower's service has logged since the last look. `app` is whether
    a process of a training app lives. `boot` is whether the boot unit or another run of the agent is at work; then all
    is left to it.
    `trouble`: which of the SuperLink's doors does not open and why, None where nobody tried; `door`: the unit that
    holds that door, empty for the SuperLink's own.
    `key_in_use` False: the key pair on the disk is another one than the service was started with.
    """

    now: float
    active: bool = True
    pid: int = 1
    executor: bool = True
    app: bool = False
    connected: bool | None = None
    lines: list[str] = field(default_factory=list)
    view: View | None = None
    boot: bool = False
    rebooted: bool = False
    key_in_use: bool = True
    registrar: bool = True
    addresses: tuple[str, ...] = ()
    firewall: bool = True
    trouble: str | None = None
    door: str = ""


class Clocks:
    """How long something has been the case, by name."""

    def __init__(self) -> None:
        self._since: dict[str, float] = {}

    def note(self, name: str, is_so: bool, now: float) -> float:
        """Record what is the case now; returns for how many seconds it has been."""
        if not is_so:
            self._since.pop(name, None)
            return 0.0
        return now - self._since.setdefault(name, now)

    def clear(self) -> None:
        """Begin anew, after something was done."""
        self._since.clear()


class Pauses:
    """Time between two attempts to mend: it doubles while nothing helps, and is short again after a healthy while."""

    FIRST, LONGEST, HEALTHY = 30.0, 300.0, 120.0

    def __init__(self) -> None:
        self._pause = self.FIRST
        self._last = float("-inf")

    def open(self, now: float) -> bool:
        """Whether it may be tried again."""
        if now - self._last >= self._pause + self.HEALTHY:
            self._pause = self.FIRST
        return now - self._last >= self._pause or self._last == float("-inf")

    def used(self, now: float) -> None:
        """An attempt ended."""
        if self._last != float("-inf"):
            self._pause = min(self._pause * 2, self.LONGEST)
        self._last = now
