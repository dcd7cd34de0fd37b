# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The disk below the checkpoints: is it the one that was asked for, and what its errors mean."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from flower_ops.training.checkpoint.errors import CheckpointError

# EFBIG: a limit on the size of files, which systemd's LimitFSIZE= sets too.
FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def is_mounted(place: Path) -> bool:
    """Whether another file system than around it is mounted there.

    The kernel's list of mounts says too much: the unit of the SuperLink mounts the folders that it may write to onto
    themselves, and what such a mount holds is still the disk of the system.
    """
    return os.path.ismount(place)


def require(disk: Path, folder: Path) -> None:
    """Raise CheckpointError unless a disk is mounted at `disk` and `folder` lies on it."""
    remedy = "mount the disk there, or ask for no disk of its own"
    if not disk.is_dir():
        raise CheckpointError(f"The folder {disk} for the disk of the checkpoints does not exist; {remedy}.")
    if not is_mounted(disk):
        raise CheckpointError(
            f"No disk is mounted at {disk}, so checkpoints in {folder} would fill the disk of the system; {remedy}."
        )
    if not Path(os.path.realpath(folder)).is_relative_to(os.path.realpath(disk)):
        raise CheckpointError(
            f"Checkpoints shall lie in {folder}, which is not on the disk mounted at {disk};"
            " give a folder below it, or ask for no disk of its own."
        )


def sentence(error: OSError, what: str, folder: Path) -> str:
    """What failed, why and what to do, without the full stop."""
    if error.errno == errno.EFBIG:
        return f"{what} could not be written to {folder}: it is larger than files may be there; raise that limit"
    if error.errno in FULL:
        try:
            room = os.statvfs(folder)
            free = f", {room.f_bavail * room.f_frsize / 1e6:.1f} MB are free"
        except OSError:
            free = ""
        return (
            f"{what} could not be written to {folder}: the disk is full{free};"
            " make room for one checkpoint more than are kept, or put the checkpoints on a larger disk"
        )
    return f"{what} could not be written to {folder}: {error.strerror or error}; make that folder writable"
