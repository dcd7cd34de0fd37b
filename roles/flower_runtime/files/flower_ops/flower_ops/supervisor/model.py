# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Words of the supervisor: what was asked for, what is remembered of it, what is seen, what is to be done."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class Cause(Enum):
    """Why a run ended. BROKEN: what carried it broke, so another run may succeed where this one ended."""

    DONE = "done"
    BROKEN = "broken"
    APP = "app"
    STOPPED = "stopped"


class State(Enum):
    """Of a training, as people and OneGate are told. The last three are final."""

    WAITING = "waiting"
    RUNNING = "running"
    COMPLETED = "completed"
    FAILED = "failed"
    STOPPED = "stopped"

    @property
    def final(self) -> bool:
        """Whether nothing more is done about the training."""
        return self in (State.COMPLETED, State.FAILED, State.STOPPED)


@dataclass(frozen=True)
class Asked:
    """A training that somebody asked for.

    `name` is unique on the SuperLink and names its checkpoints; `mark` is carried by every run of it, in the version of
    the app. `app` is the folder of the app. `nodes`: so many must be online before it is submitted. `at`: when it was
    asked for, in seconds since the epoch; asked for again, a training that has ended goes on. `resumes`: whether the
    app keeps checkpoints and goes on from them. `origin`: who asked, `context` or `operator`. `place`: the folder of
    its checkpoints, empty without any. `context`: the values with which CONTEXT asks for it, whatever an operator has
    made of them since; empty when it does not. `deadline`: seconds after which the app itself ends a wait, 0: never.
    """

    name: str
    mark: str
    app: str
    run_config: dict[str, Any] = field(default_factory=dict)
    nodes: int = 1
    at: float = 0.0
    resumes: bool = False
    origin: str = "operator"
    place: str = ""
    withdrawn: bool = False
    context: dict[str, Any] = field(default_factory=dict)
    deadline: float = 0.0


@dataclass(frozen=True)
class Attempt:
    """One run of a training. `begun` and `reached` are rounds of its newest checkpoint before and after; `begun` -1:
    nobody knows. `cause` empty: as far as is known it goes on. `at` and `ended` in seconds since the epoch. `host`: the
    SuperLink's process with which it lives and dies, empty while nobody has seen it run. `past`: it came before the
    training was last asked for.
    """

    run_id: str
    at: float
    begun: int = -1
    cause: str = ""
    reason: str = ""
    reached: int = 0
    ended: float = 0.0
    host: str = ""
    past: bool = False


@dataclass(frozen=True)
class Memory:
    """What is kept of a training between two looks and over any crash; all but reasons can be told from Flower too.

    `asked`: the `at` of what was asked for when this was last written. `attempts`: in the order in which they were seen
    to end, what goes on last. `intent`: since when a submission has been under way whose run is not known yet, 0 for
    none; `intent_round`: the newest checkpoint then; `intent_past`: it came before the training was last asked for;
    `refused`: why it seems to have failed for good; `hindered`: how many submissions in a row something has hindered
    that passes, and `hindrance` what. `dead`: runs that were ended here because they could not go on, and why.
    """

    asked: float = 0.0
    attempts: tuple[Attempt, ...] = ()
    intent: float = 0.0
    intent_round: int = 0
    intent_past: bool = False
    refused: str = ""
    hindered: int = 0
    hindrance: str = ""
    dead: dict[str, str] = field(default_factory=dict)
    state: State = State.WAITING
    reason: str = ""


@dataclass(frozen=True)
class Seen:
    """A run of the training as Flower lists it. `at`: when it was submitted. `cause` None: it has not ended.

    `host`: the SuperLink's process while Flower calls the run running, else empty, and where nobody knows it.
    """

    run_id: str
    at: float
    cause: Cause | None = None
    reason: str = ""
    host: str = ""


@dataclass(frozen=True)
class Look:
    """What is known now. `runs` None: Flower did not answer. `online` None: nobody asked. `round`: of the newest
    checkpoint, 0 for none. `busy`: name of another training that runs. `hangs`: why the run is held to hang, `quiet`:
    what is told of one that may.
    """

    now: float
    runs: tuple[Seen, ...] | None
    online: int | None = None
    round: int = 0
    busy: str = ""
    hangs: str = ""
    quiet: str = ""


class Kind(Enum):
    """What is done."""

    WAIT = "wait"
    SUBMIT = "submit"
    FOLLOW = "follow"
    END = "end"
    STOP = "stop"
    FINISH = "finish"


@dataclass(frozen=True)
class Action:
    """Something to do, about which run, and why. FINISH has the final state."""

    kind: Kind
    why: str = ""
    run_id: str = ""
    state: State = State.WAITING
