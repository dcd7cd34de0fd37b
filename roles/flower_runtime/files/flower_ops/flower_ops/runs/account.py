# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Acting as the account that runs apps: what root does in folders of that account, it does with no more rights."""

from __future__ import annotations

import json
import os
import pwd
import signal
from collections.abc import Callable
from typing import Any

from flower_ops.runs.errors import RunError

#: Seconds that a look into a folder may take; a file system of the account's own making may never answer.
LIMIT_S = 60


def ids(user: str | None) -> tuple[int, int] | None:
    """User and group to become; None where nobody becomes anybody else. RunError for an account that is missing."""
    if user is None or os.geteuid() != 0:
        return None
    try:
        account = pwd.getpwnam(user)
    except KeyError:
        raise RunError(
            f"The account {user} does not exist on this machine; apply the role flower_runtime first."
        ) from None
    return account.pw_uid, account.pw_gid


def perform(user: str | None, work: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer of `work` (JSON's types), done in a child with the rights of the account. RunError is passed on.

    The child only forks, so the kernel lets nobody but root look into it: a program of the account cannot change what
    it says, only end it.
    """
    account = ids(user)
    if account is None:
        return work()
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        _as(account, work, writing)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = stream.read()
    os.waitpid(child, 0)
    try:
        answer: dict[str, Any] = json.loads(said)
    except ValueError:
        raise RunError(
            f"A look into a folder of the account {user} ended without an answer, or took longer than {LIMIT_S} s; "
            "try again, and see what runs as that account."
        ) from None
    if "error" in answer:
        raise RunError(str(answer["error"]))
    return answer


def _as(account: tuple[int, int], work: Callable[[], dict[str, Any]], writing: int) -> None:
    """In the child, which ends here whatever happens."""
    status = 1
    try:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LIMIT_S)
        os.setgroups([])
        os.setgid(account[1])
        os.setuid(account[0])
        try:
            answer = work()
        except RunError as error:
            answer = {"error": str(error)}
        with os.fdopen(writing, "w", encoding="utf-8") as stream:
            json.dump(answer, stream)
        status = 0
    finally:
        os._exit(status)
