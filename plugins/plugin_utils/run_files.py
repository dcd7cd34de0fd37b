# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a run, from the SuperLink to the control machine. Their names come from there and are not trusted."""

from __future__ import annotations

import base64
import filecmp
import os
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.errors import AnsibleActionFail


def fetch(
    action: Any, folder: Path, files: list[dict[str, Any]], task_vars: dict[str, Any]
) -> tuple[list[dict[str, Any]], bool]:
    """Copy `files` into `folder` over the connection of an action plugin.

    Returns the files with `dest`, and whether anything is different from what lay there. AnsibleActionFail for a name
    that leads elsewhere, and for a file that does not arrive whole.
    """
    fetched, changed = [], False
    for one in files:
        parts = PurePosixPath(one["name"]).parts
        if not parts or one["name"].startswith("/") or ".." in parts:
            raise AnsibleActionFail(f"The SuperLink offers a file called {one['name']!r}, which is not fetched.")
        target = folder.joinpath(*parts)
        target.parent.mkdir(parents=True, exist_ok=True)
        changed = _fetch_one(action, one, target, task_vars) or changed
        fetched.append({**one, "dest": str(target)})
    return fetched, changed


def _fetch_one(action: Any, one: dict[str, Any], target: Path, task_vars: dict[str, Any]) -> bool:
    temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
    try:
        if action._connection.become:
            # The connection's own account may not read the file; slurp runs with the task's privileges.
            answer = action._execute_module("ansible.legacy.slurp", {"src": one["path"]}, task_vars=task_vars)
            if answer.get("failed"):
                raise AnsibleActionFail(f"Cannot fetch {one['path']}: {answer.get('msg')}")
            temporary.write_bytes(base64.b64decode(answer["content"]))
        else:
            action._connection.fetch_file(one["path"], str(temporary))
        size = temporary.stat().st_size
        if size != one["size"]:
            raise AnsibleActionFail(f"{one['path']} arrived with {size} of {one['size']} bytes; fetch it again.")
        if target.is_file() and filecmp.cmp(temporary, target, shallow=False):
            return False
        temporary.replace(target)
        return True
    finally:
        temporary.unlink(missing_ok=True)
