# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A disk without room: one clear sentence, no torn file, and the training's last checkpoint stands.

A real small tmpfs where this process may mount one, and a limit on the size of files everywhere.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).with_name("checkpoint_filler.py")
# In namespaces of its own, so that the mount is gone with the process, however it ends.
MOUNT = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"]), "sh", "-c"]
ON_TMPFS = 'mount -t tmpfs -o size=1m none "$0" && exec "$@"'


def can_mount() -> bool:
    try:
        done = subprocess.run([*MOUNT, 'mount -t tmpfs none "$0"', "/mnt"], capture_output=True, check=False)
        return done.returncode == 0
    except FileNotFoundError:
        return False


DISKS = [*(["tmpfs"] if can_mount() else []), "file_size_limit"]
WHY = {"tmpfs": "the disk is full, ", "file_size_limit": "it is larger than files may be there; raise that limit"}


@pytest.mark.parametrize("disk", DISKS)
def test_no_room(tmp_path: Path, disk: str) -> None:
    command = [sys.executable, str(PROGRAM), disk, str(tmp_path)]
    if disk == "tmpfs":
        command = [*MOUNT, ON_TMPFS, str(tmp_path), *command]
    environment = {**os.environ, "PYTHONPATH": ":".join(path for path in sys.path if path)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    # Nothing of it lies on the disk of the system.
    assert bool(list(tmp_path.iterdir())) is (disk != "tmpfs")
    answer = json.loads(done.stdout)
    (sentence,) = answer["told"]
    assert sentence.startswith(f"The checkpoint of round 2 could not be written to {tmp_path}/kept: {WHY[disk]}")
    assert sentence.endswith("; the newest checkpoint is that of round 1.") and "\n" not in sentence
    assert answer["whole"]
    assert answer["left"] == [".lock", "checkpoint_latest.json", "checkpoint_latest.npz", "checkpoint_round_1.npz"]
    assert answer["newest"] == 3
