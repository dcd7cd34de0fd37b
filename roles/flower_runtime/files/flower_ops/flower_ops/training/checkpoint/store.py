# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The checkpoints of a training in a folder.

    checkpoint_round_<N>.npz   one per kept round
    checkpoint_latest.json     metadata of the newest, for people and for programs without NumPy
    checkpoint_latest.npz      link to the newest

The two last are signposts: what is newest is read from the checkpoints themselves.
"""

from __future__ import annotations

import json
import logging
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flower_ops.training.checkpoint import archive, atomic
from flower_ops.training.checkpoint.disk import require, sentence
from flower_ops.training.checkpoint.errors import CheckpointError, UnreadableError
from flower_ops.training.checkpoint.model import Array, Checkpoint, faults

# Below Flower's own logger, so that its lines reach `flwr log`.
LOG = logging.getLogger("flwr.training.checkpoint")

NAME = re.compile(r"checkpoint_round_([1-9][0-9]*)\.npz")
LATEST, LATEST_JSON = "checkpoint_latest.npz", "checkpoint_latest.json"
#: Seconds for which another process may keep the folder: a ServerApp outlives its SuperLink by some.
PATIENCE_S = 60.0


class Store:
    """Writes and finds them. After `latest`, `passed_over` has one sentence per file that could not be used."""

    def __init__(self, folder: Path, keep: int = 3, disk: Path | None = None) -> None:
        """Use the folder, made where it is missing (0750). With `disk`, a disk must be mounted there and hold it.

        Raises CheckpointError.
        """
        if isinstance(keep, bool) or not isinstance(keep, int) or keep < 1:
            raise CheckpointError(f"The number of checkpoints to keep is {keep!r}; give a whole number from 1.")
        self.folder, self.keep, self.disk = Path(folder), keep, disk
        self.passed_over: list[str] = []
        self._check_disk()
        try:
            # Not by mkdir's own mode, which the umask narrows.
            if not self.folder.is_dir():
                self.folder.mkdir(parents=True)
                self.folder.chmod(atomic.FOLDER_MODE)
        except OSError as error:
            raise CheckpointError(f"{sentence(error, 'The folder of the checkpoints', self.folder)}.") from error

    def _check_disk(self) -> None:
        if self.disk is not None:
            require(self.disk, self.folder)

    def _documents(self) -> tuple[list[tuple[Path, dict[str, Any]]], list[str]]:
        """Checkpoints with readable metadata, newest first, and a sentence for each file that is none."""
        found, wrong = [], []
        for path in sorted(self.folder.iterdir()):
            named = NAME.fullmatch(path.name)
            if named is None:
                # What is being written and the signposts are no news; another .npz might be taken for a checkpoint.
                if path.suffix == ".npz" and path.name != LATEST and not path.name.startswith("."):
                    wrong.append(f"{path} is passed over: it has no name of a checkpoint.")
                continue
            try:
                document = archive.read_document(path)
                order = (int(document["sequence"]), int(document["round"]))
                if order[1] != int(named[1]):
                    raise UnreadableError(f"holds round {order[1]}")
            except UnreadableError as error:
                wrong.append(f"{path} is passed over: it {error}.")
            except (KeyError, TypeError, ValueError):
                wrong.append(f"{path} is passed over: it is no checkpoint of this program.")
            else:
                found.append((order, path, document))
        # By when they were written, not by round: a training that started anew in the folder counts from 1 again.
        found.sort(key=lambda one: one[0], reverse=True)
        return [(path, document) for order, path, document in found], wrong

    def latest(self, run: str | None = None) -> Checkpoint | None:
        """The newest whole checkpoint, of a certain run if one is named; None where there is none.

        Damaged and foreign files are logged and passed over. Raises CheckpointError when the folder cannot be read.
        """
        self._check_disk()
        try:
            documents, self.passed_over = self._documents()
        except OSError as error:
            raise CheckpointError(
                f"The checkpoints in {self.folder} cannot be read: {error.strerror or error}; make the folder readable."
            ) from error
        newest = None
        for path, document in documents:
            if run is None or document.get("run") == run:
                try:
                    newest = archive.read(path)
                    break
                except UnreadableError as error:
                    self.passed_over.append(f"{path} is passed over: it {error}.")
        for line in self.passed_over:
            LOG.warning(line)
        return newest

    def save(self, checkpoint: Checkpoint) -> Path:
        """Write it, point the signposts at it and remove all but the `keep` newest. Returns the file.

        Raises CheckpointError: with a full disk, say. What was whole before is whole then too.
        """
        wrong = faults(checkpoint)
        if wrong:
            raise CheckpointError(f"The checkpoint cannot be stored: {'; '.join(wrong)}.")
        self._check_disk()
        place = self.folder / f"checkpoint_round_{checkpoint.round}.npz"
        try:
            with atomic.alone(self.folder, PATIENCE_S):
                self._write(place, checkpoint)
        except TimeoutError as error:
            raise CheckpointError(
                f"The checkpoint of round {checkpoint.round} was not written: for {PATIENCE_S:.0f} seconds another"
                f" process has been writing to {self.folder}; stop it or give each training a folder of its own."
            ) from error
        except OSError as error:
            what = f"The checkpoint of round {checkpoint.round}"
            raise CheckpointError(f"{sentence(error, what, self.folder)}; {self._left()}.") from error
        return place

    def _write(self, place: Path, checkpoint: Checkpoint) -> None:
        before, wrong = self._documents()
        sequence = 1 + max((int(document["sequence"]) for path, document in before), default=0)
        timestamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        document = atomic.write(place, lambda stream: archive.write(stream, checkpoint, sequence, timestamp))
        text = f"{json.dumps({'file': place.name, **document}, indent=1)}\n".encode()
        atomic.write(place.with_name(LATEST_JSON), lambda stream: stream.write(text))
        atomic.link(place.with_name(LATEST), place.name)
        others = [path for path, document in before if path != place]
        for path in others[self.keep - 1 :]:
            os.unlink(path)

    def _left(self) -> str:
        try:
            documents, wrong = self._documents()
        except OSError:
            documents = []
        if not documents:
            return "there is no checkpoint to resume from"
        return f"the newest checkpoint is that of round {documents[0][1]['round']}"

    def check(self, checkpoint: Checkpoint, strategy: str, arrays: Sequence[Array]) -> None:
        """Raise CheckpointError unless a training with this strategy and model can go on from the checkpoint."""
        advice = f"give back what it was written with, or another folder than {self.folder}"
        at = f"the checkpoint of round {checkpoint.round}"
        wrong = []
        if checkpoint.strategy != strategy:
            wrong.append(f"{at} was written with the strategy {checkpoint.strategy}, and this run uses {strategy}")
        if len(checkpoint.arrays) != len(arrays):
            wrong.append(f"{at} has {len(checkpoint.arrays)} arrays, and the model of this run has {len(arrays)}")
        for number, (old, new) in enumerate(zip(checkpoint.arrays, arrays, strict=False)):
            if old.shape != np.shape(new):
                wrong.append(f"array {number} of {at} has the shape {old.shape}, and that of this run {np.shape(new)}")
                break
        if wrong:
            raise CheckpointError(f"This run cannot be resumed: {'; '.join(wrong)}; {advice}.")
