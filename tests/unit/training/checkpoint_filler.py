# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A program that saves more than there is room for, for test_checkpoint_full_disk.py.

    checkpoint_filler.py tmpfs FOLDER              FOLDER is the mount point of a small file system
    checkpoint_filler.py file_size_limit FOLDER    with a limit on the size of files (RLIMIT_FSIZE)

Prints one JSON object: what was refused and how, and what stands then.
"""

from __future__ import annotations

import json
import resource
import sys
from pathlib import Path

from checkpoint_support import checkpoint, same
from flower_ops.training.checkpoint import CheckpointError, Store

ROOM = 1 << 20


def main(disk: str, place: str) -> None:
    """Small ones fit, the big one does not."""
    if disk == "file_size_limit":
        resource.setrlimit(resource.RLIMIT_FSIZE, (ROOM, ROOM))
    folder = Path(place) / "kept"
    store = Store(folder, keep=2, disk=Path(place) if disk == "tmpfs" else None)
    told: list[str] = []
    whole, left = False, list[str]()
    for number, size in [(1, 3), (2, ROOM // 2), (3, 3)]:
        try:
            store.save(checkpoint(number, size=size))
        except CheckpointError as error:
            told.append(str(error))
            whole = same(store.latest(), checkpoint(1))
            left = sorted(one.name for one in folder.iterdir())
    newest = store.latest()
    print(json.dumps({"told": told, "whole": whole, "left": left, "newest": newest.round if newest else None}))


if __name__ == "__main__":
    main(*sys.argv[1:])
