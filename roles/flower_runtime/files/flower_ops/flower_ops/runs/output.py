# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The folder that a run writes into, made by the account that runs apps and never by root.

That account may exchange what lies in its folders at any moment, a link in place of a folder too. What root makes or
hands over there by name could lie anywhere.
"""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

from flower_ops.runs.account import ids
from flower_ops.runs.errors import RunError

_MAKE = """\
umask 022
mkdir -p -- "$1"
[ -n "$2" ] || exit 0
new=$(mktemp --tmpdir="$1")
cat > "$new"
chmod 0640 "$new"
mv -f -- "$new" "$1/$2"
"""


def make(folder: Path, user: str | None, name: str = "", content: str = "") -> None:
    """Make the folder, and in it the file `name` if one is given; RunError where `user` may not."""
    reason = _run(["sh", "-ec", _MAKE, "sh", str(folder), name], user, content)
    if reason:
        who = f" as the account {user}" if user else ""
        raise RunError(f"The output folder {folder} cannot be made{who} ({reason}); name one that it may write to.")


def remove(folder: Path, user: str | None) -> None:
    """Remove it with all that is in it, as far as `user` may."""
    _run(["rm", "-rf", "--", str(folder)], user)


def _run(command: list[str], user: str | None, text: str = "") -> str:
    """Why it failed; empty when it did not."""
    try:
        done = subprocess.run(
            command, input=text, capture_output=True, text=True, timeout=60, check=False, cwd="/", **_account(user)
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1] if done.returncode else ""


def _account(user: str | None) -> dict[str, Any]:
    account = ids(user)
    return {} if account is None else {"user": account[0], "group": account[1], "extra_groups": []}
