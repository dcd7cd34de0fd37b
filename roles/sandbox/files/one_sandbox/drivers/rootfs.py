# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Root file system archives: is it one, and which one is it."""

from __future__ import annotations

import contextlib
import hashlib
import tarfile
from pathlib import Path

from . import DriverError

_CHUNK = 4 * 1024 * 1024


def checked_path(text: str) -> Path:
    """The file, if it can be imported. Raises DriverError with the reason."""
    if "://" in text:
        raise DriverError(f"Image {text} is not a file on the cloud's host; download it there and give its path.")
    path = Path(text)
    if not path.is_file():
        raise DriverError(f"Image file {text} does not exist on the cloud's host.")
    try:
        readable = tarfile.is_tarfile(path)
    except OSError as error:
        raise DriverError(f"Image file {text} cannot be read: {error.strerror}.") from None
    if not readable:
        raise DriverError(f"Image file {text} is not a tar archive of a root file system.")
    return path


def content_hash(path: Path) -> str:
    """SHA-256 of the file, kept beside it for as long as size and time of change stay the same."""
    stat = path.stat()
    stamp = f"{stat.st_size} {stat.st_mtime_ns}"
    note = path.with_name(path.name + ".sha256")
    try:
        digest, _separator, known = note.read_text().strip().partition(" ")
        if known == stamp and len(digest) == 64:
            return digest
    except (OSError, UnicodeDecodeError):
        pass
    hasher = hashlib.sha256()
    with path.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            hasher.update(chunk)
    # A folder that cannot be written only costs the time to hash again.
    with contextlib.suppress(OSError):
        note.write_text(f"{hasher.hexdigest()} {stamp}\n")
    return hasher.hexdigest()
