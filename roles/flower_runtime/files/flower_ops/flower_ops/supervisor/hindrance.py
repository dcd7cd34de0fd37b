# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Why a submission failed: for good, or by something that passes without anybody changing what was asked for?"""

from __future__ import annotations

import errno
import re
import subprocess

from flower_ops.flower_cli.flwr_cli import FlwrCliError
from flower_ops.supervisor.causes import FULL

#: No space, no memory, no more files or processes at the moment.
_PASSING = (errno.ENOSPC, errno.EDQUOT, errno.ENOMEM, errno.EAGAIN, errno.EMFILE, errno.ENFILE)

#: Faults of the SuperLink, not of what it was given: gRPC's words (1.25 to 1.34), HTTP's (1.41), those of its database.
_OWN_FAULT = re.compile(
    r"\b(INTERNAL|DEADLINE_EXCEEDED|RESOURCE_EXHAUSTED|ABORTED)\b|(?i:deadline exceeded|resource exhausted"
    r"|database (table )?is locked|internal server error|exception calling application|server error '5\d\d"
    r"|failed to create or initialize the run\b)"
)


def passes(error: BaseException) -> bool:
    """Whether a command went unanswered or was killed, the SuperLink had a fault of its own, or the machine too little
    of something. What Flower says against the app or its configuration does not pass.
    """
    cause: BaseException | None = error
    seen: set[int] = set()
    while cause is not None and id(cause) not in seen:
        # What is raised again from itself is its own cause.
        seen.add(id(cause))
        if isinstance(cause, subprocess.TimeoutExpired):
            return True
        if isinstance(cause, FlwrCliError) and (cause.cut_off or _OWN_FAULT.search(str(cause))):
            return True
        if isinstance(cause, OSError) and cause.errno in _PASSING:
            return True
        cause = cause.__cause__
    # Of a command that was started for this only the words are left.
    return FULL.search(str(error)) is not None
