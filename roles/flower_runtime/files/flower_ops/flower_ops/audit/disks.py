# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Which files of a VM an audit looks into: all of some folders, and whatever else has changed since it began."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Searched whole, whatever their age: Flower's own folders, logs, temporary files, homes.
FOLDERS = ("/opt/flower", "/var/log", "/tmp", "/var/tmp", "/dev/shm", "/root", "/home", "/etc/flower-ops")
#: Installed software, the same on every node; what changed there since the audit began is looked at all the same.
INSTALLED = ("/opt/flower/venvs", "/opt/flower/venv", "/opt/flower/frameworks", "/opt/flower/use-cases")
#: No disks.
VIRTUAL = ("/proc", "/sys", "/dev", "/run/user", "/run/credentials")


@dataclass(frozen=True)
class Found:
    """A file to look into. `changed`: since the audit began."""

    path: Path
    size: int
    changed: bool


def files(root: Path, folders: Sequence[str], apart: Sequence[Path], since: float) -> Iterator[Found]:
    """Regular files, each once; nothing of `apart` (folders of the audit itself). Links are not followed."""
    wanted = [root / folder.lstrip("/") for folder in folders]
    installed = [root / folder.lstrip("/") for folder in INSTALLED]
    virtual = [root / folder.lstrip("/") for folder in VIRTUAL]
    seen: set[tuple[int, int]] = set()
    starts = [*wanted, root] if since else wanted
    for number, start in enumerate(starts):
        whole = number < len(wanted)
        for place, names, members in os.walk(start):
            here = Path(place)
            # A folder below /dev is searched only where it was asked for by name.
            banned = [one for one in virtual if one not in start.parents and one != start]
            names[:] = [name for name in names if here / name not in apart and here / name not in banned]
            old = whole and not any(one == here or one in here.parents for one in installed)
            for name in members:
                try:
                    info = os.lstat(here / name)
                except OSError:
                    continue
                changed = bool(since) and max(info.st_mtime, info.st_ctime) >= since
                if not stat.S_ISREG(info.st_mode) or not info.st_size or not (old or changed):
                    continue
                if (info.st_dev, info.st_ino) in seen:
                    continue
                seen.add((info.st_dev, info.st_ino))
                yield Found(here / name, info.st_size, changed)
