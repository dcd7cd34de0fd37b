# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the supervisor tells of trainings, as attributes for OneGate: the keeper has the token, the supervisor has not.

The file belongs to the account that apps run as, so whatever stands in it may be made up: a known state, a number and
a sentence are taken from it and nothing else.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flower_ops.machine import foreign
from flower_ops.machine.known import NONE
from flower_ops.node.notice import shortened

FILE = "/opt/flower/runs/supervisor.json"
STATES = ("waiting", "running", "completed", "failed", "stopped")
_MOST = 65536


def attributes(place: Path) -> dict[str, str]:
    """FL_RUN_STATE, FL_RUN_ROUND and FL_RUN_REASON; nothing where no training was ever asked for."""
    found = _read(place)
    if found.get("state") not in STATES:
        return {}
    number = found.get("round")
    return {
        "FL_RUN_STATE": str(found["state"]),
        "FL_RUN_ROUND": str(number) if isinstance(number, int) and 0 <= number < 10**9 else "0",
        "FL_RUN_REASON": shortened(str(found["reason"])) if found.get("reason") else NONE,
    }


def _read(place: Path) -> dict[str, Any]:
    try:
        found = foreign.load(place, _MOST)
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
