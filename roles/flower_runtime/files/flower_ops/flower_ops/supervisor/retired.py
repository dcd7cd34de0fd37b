# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What is left of trainings that have ended, and when it goes. Nothing of one that waits or runs is ever touched."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path
from typing import Any

from flower_ops.runs import output
from flower_ops.runs.errors import RunError
from flower_ops.runs.files import CHECKPOINT
from flower_ops.runs.record import Places
from flower_ops.supervisor.model import Asked, State
from flower_ops.supervisor.shelf import ASKED, Shelf, alone
from flower_ops.supervisor.view import checkpoints, describe, find

#: Trainings that are kept after their end, the newest ones.
KEPT = 100
#: The signpost that flower_ops.training.checkpoint puts up beside the checkpoints.
LATEST = "checkpoint_latest.npz"


def reduce(asked: Asked) -> str:
    """Of the checkpoints of a training that is complete keep the last one; all, where it is not clear which that is.

    A training that is done does not fail on this: returns a sentence about what cannot be removed, or nothing.
    """
    place = Path(asked.place)
    try:
        latest = CHECKPOINT.fullmatch(os.readlink(place / LATEST)) if asked.place else None
    except OSError:
        return ""
    if latest is None or not (place / latest[0]).is_file():
        return ""
    older = [number for number in checkpoints(asked) if number < int(latest[1])]
    try:
        for number in older:
            os.unlink(place / f"checkpoint_round_{number}.npz")
    except OSError as error:
        return f"earlier checkpoints in {place} cannot be removed ({error.strerror}); remove them if space is short"
    return ""


def remove(places: Places, name: str, check: bool = False) -> dict[str, Any]:
    """Forget a training that has ended, and remove its checkpoints and its copy of the app. What its runs wrote stays.

    RunError for one that has not ended, or that CONTEXT asks for and would ask for again.
    """
    shelf = Shelf(places)
    with alone(shelf, check):
        asked = find(shelf, name)
        if not _ended(shelf, asked):
            raise RunError(
                f"The training {asked.name} has not ended; stop it, and wait until it has, before you remove it."
            )
        if asked.context:
            raise RunError(
                f"CONTEXT asks for the training {asked.name}, and would begin it anew; set ONEAPP_FL_USE_CASE to "
                "another use case or to none, configure the SuperLink, and remove the training then."
            )
        found = describe(places, asked)
        if not check:
            _remove(shelf, asked)
    return {**found, "changed": True}


def prune(shelf: Shelf) -> None:
    """Remove what is beyond the newest ended trainings, but for those that somebody may want to go on with."""
    ended = [asked for asked in shelf.all() if _ended(shelf, asked)]
    for asked in sorted(ended, key=lambda one: _end(shelf, one), reverse=True)[KEPT:]:
        done = shelf.recall(asked.name).state is State.COMPLETED
        if not asked.context and (done or not asked.resumes):
            # What was just asked for is not to fail because of an old one.
            with contextlib.suppress(RunError):
                _remove(shelf, asked)


def _ended(shelf: Shelf, asked: Asked) -> bool:
    """Also one that was withdrawn has ended only when the supervisor has stopped its run."""
    memory = shelf.recall(asked.name)
    return memory.state.final and memory.asked == asked.at


def _end(shelf: Shelf, asked: Asked) -> float:
    return max((one.ended for one in shelf.recall(asked.name).attempts), default=asked.at)


def _remove(shelf: Shelf, asked: Asked) -> None:
    """First what can fail. The memory goes last: without it the training would seem to be still to be done."""
    disk = str(asked.run_config.get("checkpoint-disk") or "")
    if disk and not os.path.ismount(disk):
        raise RunError(f"The disk with the checkpoints of {asked.name} is not mounted at {disk}; mount it first.")
    if asked.place:
        # By the account that could have put a link there.
        output.remove(Path(asked.place), shelf.places.user)
        if os.path.lexists(asked.place):
            raise RunError(f"The checkpoints in {asked.place} cannot be removed; is the folder's owner right?")
    folder = shelf.folder / asked.name
    try:
        os.unlink(folder / ASKED)
        shutil.rmtree(folder, ignore_errors=True)
        shelf.forget(asked.name)
    except OSError as error:
        raise RunError(f"{folder} cannot be removed ({error.strerror}); only root may remove trainings.") from error
