# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A crash between any two calls to the system, or within a write, leaves the last whole checkpoint."""

from __future__ import annotations

import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from checkpoint_support import checkpoint, same
from flower_ops.training.checkpoint import Checkpoint, Store, archive

PROGRAM = Path(__file__).with_name("checkpoint_crasher.py")
# One thread: forks of a process with more may hang.
ENVIRONMENT = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "PYTHONPATH": ":".join(path for path in sys.path if path)}


def crasher(*arguments: object) -> list[Any]:
    """The values that the program prints."""
    command = [sys.executable, PROGRAM, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


def whole_and_usable(folder: Path) -> int:
    """Round of the newest checkpoint; it is whole, nothing misleads, and saving goes on."""
    store = Store(folder, keep=2)
    found = store.latest()
    assert found is not None
    assert same(found, checkpoint(found.round))
    assert not store.passed_over
    signposts = [place for place in folder.iterdir() if place.name.startswith("checkpoint_latest")]
    assert len(signposts) == 2
    # They may be one checkpoint behind, but what they name is there and whole.
    told = json.loads((folder / "checkpoint_latest.json").read_text())
    assert archive.read(folder / told["file"]).round == told["round"]
    assert archive.read(folder / "checkpoint_latest.npz").round in (told["round"], told["round"] - 1)
    place = store.save(checkpoint(6))
    names = {".lock", "checkpoint_latest.json", "checkpoint_latest.npz", place.name}
    kept = {one.name for one in folder.iterdir()} - names
    assert kept == {f"checkpoint_round_{found.round}.npz"}
    return found.round


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_a_process_killed_before_each_system_call(tmp_path: Path, share: float) -> None:
    ends = crasher("kill", tmp_path, share)
    assert len(ends) > 20
    assert {status for status, told in ends} == {-signal.SIGKILL}
    rounds = [whole_and_usable(tmp_path / str(number)) for number in range(1, len(ends) + 1)]
    # Up to the rename the old one, from then on the new one.
    assert rounds == sorted(rounds)
    assert set(rounds) == {4, 5}


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC])
def test_a_faked_failure_of_each_system_call(tmp_path: Path, code: int) -> None:
    ends = crasher("fail", tmp_path, code)
    assert len(ends) > 20
    rounds = []
    for number, (status, told) in enumerate(ends, 1):
        assert status == 0, number
        folder = tmp_path / str(number)
        if told:
            assert told.startswith(f"The checkpoint of round 5 could not be written to {folder}: ")
            assert told.endswith((" is that of round 4.", " is that of round 5.")) and "\n" not in told
            newest = Store(folder).latest()
            assert newest is not None and told.endswith(f" {newest.round}.")
        rounds.append(whole_and_usable(folder))
        assert told or rounds[-1] == 5
    assert sum(bool(told) for status, told in ends) > len(ends) // 2
    assert set(rounds) == {4, 5}


def test_data_is_on_the_disk_before_its_name_and_the_name_before_the_old_one_goes(tmp_path: Path) -> None:
    """What a power cut may reorder: writes, names and removals that no fsync lies between."""
    made = crasher("calls", tmp_path)
    names = [call[0] for call in made]
    renamed = next(number for number, call in enumerate(made) if call[0] == "replace" and call[2].endswith("_5.npz"))
    opened = next(number for number, call in enumerate(made) if call[0] == "open" and "_5.npz" in call[1])
    writes = [number for number in range(opened, renamed) if names[number] in ("write", "fchmod")]
    assert len(writes) > 5
    assert writes[-1] < names.index("fsync", opened) < renamed
    removed = [number for number, call in enumerate(made) if call[0] == "unlink" and call[1].endswith("_3.npz")]
    (old,) = removed
    folder_opened = next(number for number in range(renamed, old) if names[number] == "open")
    assert made[folder_opened][1] == str(tmp_path / "calls")
    assert renamed < folder_opened < names.index("fsync", folder_opened) < old


@pytest.fixture
def saving(tmp_path: Path) -> Iterator[subprocess.Popen[str]]:
    """A process that saves one round after the other, 4 MB each."""
    command = [sys.executable, str(PROGRAM), "forever", str(tmp_path), "1000000"]
    process = subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True)
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("seed", range(5))
def test_a_process_killed_at_any_time(tmp_path: Path, saving: subprocess.Popen[str], seed: int) -> None:
    assert saving.stdout
    for _turn in range(2):
        saving.stdout.readline()
    time.sleep(random.Random(seed).uniform(0, 0.2))
    saving.kill()
    told = [int(line) for line in saving.stdout.read().split()]
    store = Store(tmp_path, keep=2)
    found = store.latest()
    assert isinstance(found, Checkpoint)
    assert same(found, checkpoint(found.round, size=1000000))
    # What was reported as saved is there; one more may be, whose report was cut off.
    last = max([2, *told])
    assert found.round in (last, last + 1)
    assert not store.passed_over
