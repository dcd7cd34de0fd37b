# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What outlives a run of the agent: the variables and the role it was given, and one run at a time."""

from __future__ import annotations

import fcntl
import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from flower_ops.machine.files import Files
from flower_ops.machine.locks import held
from flower_ops.machine.paths import Paths


@dataclass(frozen=True)
class Given:
    """What the last run that was given anything was given; `role` is empty on a VM that was never configured."""

    role: str = ""
    variables: Mapping[str, str] = field(default_factory=dict)


def recall(files: Files) -> Given:
    """Read it back. A file that is no JSON counts as none: the next run that is given variables writes it anew."""
    try:
        found = json.loads(files.read(files.paths.overrides) or b"{}")
        return Given(str(found.get("role", "")), {str(k): str(v) for k, v in found.get("variables", {}).items()})
    except (ValueError, AttributeError):
        return Given()


def remember(files: Files, given: Given) -> None:
    """Keep it, readable by root only, because keys may be among the variables."""
    if recall(files) != given:
        text = json.dumps({"role": given.role, "variables": dict(given.variables)}, indent=1)
        files.store(files.paths.overrides, f"{text}\n".encode())


def busy(paths: Paths) -> bool:
    """Whether a run is under way now."""
    try:
        handle = os.open(paths.at(paths.lock), os.O_RDWR)
    except OSError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False


def _say(line: str) -> None:
    # Answers in JSON go to the standard output.
    print(line, file=sys.stderr, flush=True)


@contextmanager
def alone(paths: Paths, say: Callable[[str], None] = _say) -> Iterator[None]:
    """Boot, keeper and operator may all configure: one after the other. `say` hears once that this one has to wait."""
    with held(
        paths.at(paths.lock), lambda: say("Another run of the agent is at work on this VM; waiting for its end.")
    ):
        yield
