# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files in folders that belong to the account of apps: what has the name may be a link, or a pipe that never ends.

Opened the usual way, a pipe holds its reader until somebody writes, and that is for ever.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from pathlib import Path
from typing import Any

#: Bytes of the largest file that is read. A record of a thousand rounds has less than half of it, whatever failed
#: (runs/log.py keeps so many errors), unless metrics of its rounds are long lists of numbers.
MOST = 16 << 20


def opened(place: Path, flags: int = os.O_RDONLY, mode: int = 0o644) -> int:
    """Descriptor of a regular file; OSError for anything else, without a wait and without following a link."""
    handle = os.open(place, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise OSError(errno.EINVAL, "It is no regular file", str(place))
    return handle


def read(place: Path, most: int = MOST) -> bytes:
    """Content of a regular file of at most so many bytes; OSError for anything else."""
    with os.fdopen(opened(place), "rb") as stream:
        found = stream.read(most + 1)
    if len(found) > most:
        raise OSError(errno.EFBIG, f"It is larger than {most} bytes", str(place))
    return found


def load(place: Path, most: int = MOST) -> Any:
    """JSON of such a file; OSError where it cannot be read, ValueError where it is none."""
    try:
        return json.loads(read(place, most))
    except RecursionError:
        raise ValueError("lists within lists without end") from None
