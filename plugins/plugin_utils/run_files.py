# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a run, from the SuperLink to the control machine. What comes from there is not trusted: names, sizes, parts.

They are read there by flower-ops, with the rights of the account of apps, and not by a module of Ansible, which would
follow the links that an app laid.
"""

from __future__ import annotations

import base64
import filecmp
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail

#: As flower_ops.runs.files has them. A hidden file could be one that a program on this machine reads.
NAME = re.compile(r"[\w(\[][\w.+=@,:~#%()\[\] -]{0,199}")
MAX_FILES = 1000
MAX_BYTES = 8 << 30

#: (name, offset, state of the file at its first part or "") -> {size, state, content in base64}.
Read = Callable[[str, int, str], "dict[str, Any]"]


def fetch(read: Read, folder: Path, files: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], bool]:
    """Copy `files` into `folder`, and nowhere else; the folder is there afterwards, even if there is no file for it.

    Returns the files with `dest`, and whether anything is different from what lay there. AnsibleActionFail, before
    anything is written, for names that lead elsewhere or too much of everything; and for a file that does not arrive
    whole, or cannot be written.
    """
    _check(files)
    fetched, changed = [], not folder.is_dir()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise AnsibleActionFail(f"{folder} cannot be made: {error.strerror}; name another fetch_to.") from error
    for one in files:
        target = folder.joinpath(*one["name"].split("/"))
        try:
            # A link in here is the operator's own, but names are an app's.
            if not target.parent.resolve().is_relative_to(folder.resolve()):
                raise AnsibleActionFail(f"{target} is not written: a link on its way leads out of {folder}; remove it.")
            target.parent.mkdir(parents=True, exist_ok=True)
            changed = _fetch_one(read, one, target) or changed
        except OSError as error:
            raise AnsibleActionFail(f"{target} cannot be written: {error.strerror}; name another fetch_to.") from error
        fetched.append({**one, "dest": str(target)})
    return fetched, changed


def _check(files: list[dict[str, Any]]) -> None:
    for one in files:
        if not all(NAME.fullmatch(part) for part in str(one["name"]).split("/")):
            raise AnsibleActionFail(f"The SuperLink offers a file called {str(one['name'])!a}, which is not fetched.")
    if len(files) > MAX_FILES or sum(one["size"] for one in files) > MAX_BYTES:
        raise AnsibleActionFail(
            f"The SuperLink offers more than {MAX_FILES} files or {MAX_BYTES >> 30} GiB, which are not fetched; leave "
            "out fetch_to and copy what is needed."
        )


def _fetch_one(read: Read, one: dict[str, Any], target: Path) -> bool:
    temporary = target.with_name(f".fetch-{os.getpid()}.part")
    temporary.unlink(missing_ok=True)
    try:
        with temporary.open("xb") as stream:
            _receive(read, one, stream.write)
        if target.is_file() and not target.is_symlink() and filecmp.cmp(temporary, target, shallow=False):
            return False
        temporary.replace(target)
        return True
    finally:
        temporary.unlink(missing_ok=True)


def _receive(read: Read, one: dict[str, Any], write: Callable[[bytes], object]) -> None:
    """All parts of a file, the size of which was told before."""
    name, size = one["name"], one["size"]
    arrived, state = 0, ""
    while True:
        part = read(name, arrived, state)
        content = base64.b64decode(part["content"])
        write(content)
        arrived, state = arrived + len(content), part["state"]
        if arrived > size or part["size"] != size or (arrived < size and not content):
            raise AnsibleActionFail(
                f"The file {name} arrived with {arrived} of {size} bytes; fetch it again when nothing writes to it."
            )
        if arrived == size:
            return
