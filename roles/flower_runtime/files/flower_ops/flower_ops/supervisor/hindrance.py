# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a submission failed: for good, or by something that passes without anybody changing what was asked for?"""

from __future__ import annotations

import errno
import subprocess

from flower_ops.supervisor.causes import FULL

#: No space, no memory, no more files or processes at the moment.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)


def passes(error: BaseException) -> bool:
    """Whether a command went unanswered for its whole time, or the machine had too little of something."""
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        # What is raised again from itself is its own cause.
        seen.add(id(cause))
        if isinstance(cause, subprocess.TimeoutExpired):
            return True
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return True
        cause = cause.__cause__
    # Of a command that was started for this only the words are left.
    return FULL.search(str(error)) is not None
