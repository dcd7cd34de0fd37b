# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files that an app left in its output folder, listed and read without trust in what lies there.

Apps can exchange a file or folder for a link at any moment, to a secret of root for example, which whoever fetches the
files would take home; or for a pipe, which holds its reader for ever. So root looks with the rights of their account,
opens one component of a path after the other, and takes nothing but regular files.
"""

from __future__ import annotations

import base64
import errno
import os
import re
import stat
from collections import deque
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path, PurePosixPath
from typing import Any

from flower_ops.runs.account import perform
from flower_ops.runs.errors import RunError

#: How flower_ops.training names checkpoints, and what lies beside them: to go on from, not to be taken home.
CHECKPOINT = re.compile(r"checkpoint_round_([1-9][0-9]{0,8})\.npz")
_BESIDE = re.compile(r"checkpoint_latest\.(npz|json)")
#: A file or folder; hidden ones are nobody's result, but what some program on the other machine may read.
NAME = re.compile(r"[\w(\[][\w.+=@,:~#%()\[\] -]{0,199}")
MAX_FILES = 1000
MAX_BYTES = 8 << 30
#: Bytes that are handed over at once: with more, Ansible's reader of commands takes longer than one more connection.
CHUNK = 8 << 20
_MAX_SEEN = 20_000
_MAX_DEPTH = 16
_MAX_TOLD = 10
_MAX_LINKS = 40
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


def files_of(folder: Path, user: str | None) -> dict[str, Any]:
    """What can be fetched of an output folder, checkpoints and hidden files aside, as far as `user` may see it.

    files: name (relative), path, size in bytes. files_left_out: phrases about what is there and cannot be fetched.
    """
    if not folder.is_absolute():
        return {"files": [], "files_left_out": []}
    try:
        return perform(user, lambda: _listed(folder))
    except RunError as error:
        return {"files": [], "files_left_out": [str(error).rstrip(".")]}


def read(folder: Path, name: str, offset: int, state: str, user: str | None) -> dict[str, Any]:
    """At most CHUNK bytes of a file from `offset` on: name, size, state, and content in base64.

    state: that of the file as the call for its beginning gave it, so that all parts are of one content; empty at the
    beginning. RunError for what is no regular file of the folder, or has changed.
    """
    return perform(user, lambda: _part(folder, name, offset, state))


@dataclass
class _Found:
    folder: Path
    files: list[dict[str, Any]] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    seen: int = 0
    size: int = 0

    def leave_out(self, why: str) -> None:
        if len(self.left_out) < _MAX_TOLD:
            self.left_out.append(why)
        elif len(self.left_out) == _MAX_TOLD:
            self.left_out.append("and more")


def _listed(folder: Path) -> dict[str, Any]:
    found = _Found(folder)
    try:
        handle = _open_folder(folder)
    except FileNotFoundError:
        return {"files": [], "files_left_out": []}
    except OSError as error:
        raise RunError(f"The folder {folder} cannot be looked into: it {_why(error)}.") from error
    try:
        _walk(handle, (), found)
    finally:
        os.close(handle)
    return {"files": found.files, "files_left_out": found.left_out}


def _walk(handle: int, parents: tuple[str, ...], found: _Found) -> None:
    if found.seen >= _MAX_SEEN:
        return
    with os.scandir(handle) as entries:
        names = sorted(entry.name for entry in islice(entries, _MAX_SEEN - found.seen))
    found.seen += len(names)
    if found.seen >= _MAX_SEEN:
        found.leave_out(f"there are {_MAX_SEEN} files and folders or more, and no others were looked at")
    for name in names:
        if name.startswith(".") or CHECKPOINT.fullmatch(name) or _BESIDE.fullmatch(name):
            continue
        place = "/".join((*parents, name))
        try:
            why = _take(handle, (*parents, name), found)
        except FileNotFoundError:
            # Gone since the folder was read.
            continue
        except OSError as error:
            why = _why(error)
        if why:
            found.leave_out(f"{place if NAME.fullmatch(name) else ascii(place)[:120]} {why}")


def _take(handle: int, parts: tuple[str, ...], found: _Found) -> str:
    """Add a file, or what lies in a folder; why not, where it is left out."""
    name = parts[-1]
    if not NAME.fullmatch(name):
        return "has a name with odd characters, or too long a one"
    info = os.stat(name, dir_fd=handle, follow_symlinks=False)
    if stat.S_ISDIR(info.st_mode):
        if len(parts) > _MAX_DEPTH:
            return f"lies deeper than {_MAX_DEPTH} folders"
        below = os.open(name, _FOLDER, dir_fd=handle)
        try:
            _walk(below, parts, found)
        finally:
            os.close(below)
        return ""
    why = _fault(info)
    if why:
        return why
    if len(found.files) >= MAX_FILES:
        return f"is one too many: {MAX_FILES} files are handed over at most"
    if found.size + info.st_size > MAX_BYTES:
        return f"is too large: {MAX_BYTES >> 30} GiB are handed over at most, all files together"
    found.size += info.st_size
    place = PurePosixPath(*parts)
    found.files.append({"name": str(place), "path": str(found.folder / place), "size": info.st_size})
    return ""


def _part(folder: Path, name: str, offset: int, state: str) -> dict[str, Any]:
    parts = name.split("/")
    if not all(NAME.fullmatch(part) for part in parts):
        raise RunError(f"{ascii(name)[:120]} is no name of a file of a run; the status of the run lists them.")
    handles: list[int] = []
    try:
        handles.append(_open_folder(folder))
        for part in parts[:-1]:
            handles.append(os.open(part, _FOLDER, dir_fd=handles[-1]))
        handles.append(os.open(parts[-1], _FILE, dir_fd=handles[-1]))
        info = os.fstat(handles[-1])
        if why := _fault(info):
            raise RunError(f"The file {folder}/{name} is not handed over: it {why}.")
        now = f"{info.st_dev}-{info.st_ino}-{info.st_size}-{info.st_mtime_ns}"
        if state and state != now:
            raise RunError(f"The file {folder}/{name} changed while it was fetched; fetch it again.")
        content = os.pread(handles[-1], CHUNK, offset)
    except OSError as error:
        raise RunError(f"The file {folder}/{name} is not handed over: it {_why(error)}.") from error
    finally:
        for handle in handles:
            os.close(handle)
    return {"name": name, "size": info.st_size, "state": now, "content": base64.b64encode(content).decode()}


def _fault(info: os.stat_result) -> str:
    """Why what was found is none of the app's files; empty when it is one."""
    if stat.S_ISLNK(info.st_mode):
        return "is a link"
    if not stat.S_ISREG(info.st_mode):
        return "is no regular file"
    # A second name for a file of somebody else, which may lie anywhere.
    return "is a hard link to a file of another account" if info.st_nlink > 1 and info.st_uid != os.geteuid() else ""


def _why(error: OSError) -> str:
    if error.errno in (errno.ELOOP, errno.ENOTDIR):
        return "is a link, or lies behind one"
    return f"cannot be read ({error.strerror})"


def _open_folder(folder: Path) -> int:
    """Descriptor of a folder, to whose path only root may have added links; OSError for another one."""
    root = os.open("/", os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    current = os.dup(root)
    todo = deque(folder.parts[1:])
    links = 0
    try:
        while todo:
            below = os.open(todo.popleft(), os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=current)
            info = os.fstat(below)
            if not stat.S_ISLNK(info.st_mode):
                os.close(current)
                current = below
                continue
            target = PurePosixPath(os.readlink("", dir_fd=below))
            os.close(below)
            links += 1
            if info.st_uid != 0 or links > _MAX_LINKS:
                raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
            if target.is_absolute():
                os.close(current)
                current = os.dup(root)
            todo.extendleft(reversed([part for part in target.parts if part != "/"]))
        return os.open(".", _FOLDER, dir_fd=current)
    finally:
        os.close(current)
        os.close(root)
