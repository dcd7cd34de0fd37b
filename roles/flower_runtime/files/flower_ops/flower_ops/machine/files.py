# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files and folders as a wanted state: written atomically, only when different, each change recorded for the diff."""

from __future__ import annotations

import os
import pwd
import stat
import tempfile
from dataclasses import dataclass, field

from flower_ops.machine.paths import Paths

FLOWER_ID = 49999


@dataclass
class Change:
    """One difference between what was and what is (in check mode: will be)."""

    header: str
    before: str
    after: str

    def as_dict(self) -> dict[str, str]:
        """In the form that Ansible shows as a diff."""
        return {
            "before_header": self.header,
            "after_header": self.header,
            "before": self.before,
            "after": self.after,
        }


def _ids(owner: str) -> tuple[int, int]:
    """Numeric user and group of `user:group`; only root and flower occur."""
    numbers = []
    for name in owner.split(":"):
        if name == "root":
            numbers.append((0, 0))
            continue
        try:
            entry = pwd.getpwnam(name)
            numbers.append((entry.pw_uid, entry.pw_gid))
        except KeyError:
            numbers.append((FLOWER_ID, FLOWER_ID))
    return numbers[0][0], numbers[1][1]


@dataclass
class Files:
    """Writes below a root; in check mode it only records."""

    paths: Paths
    check: bool = False
    changes: list[Change] = field(default_factory=list)

    def record(self, header: str, before: str, after: str) -> None:
        """Note a change made elsewhere (a service, OneGate)."""
        self.changes.append(Change(header, before, after))

    def read(self, path: str) -> bytes | None:
        """Content of a file, None when there is none."""
        try:
            return self.paths.at(path).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def folder(self, path: str, mode: int, owner: str) -> None:
        """Make a folder that is missing. One that exists is left as the role made it."""
        place = self.paths.at(path)
        if place.is_dir():
            return
        self.record(path, "", f"folder {mode:04o} {owner}\n")
        if self.check:
            return
        place.mkdir(parents=True, exist_ok=True)
        self._own(place, owner)
        place.chmod(mode)

    def write(self, path: str, data: bytes, mode: int, owner: str, secret: bool = False) -> bool:
        """Make a file have this content, mode and owner (`user:group`). Returns whether anything differed."""
        place = self.paths.at(path)
        old = self.read(path)
        what_before = self._describe(path, old, secret)
        what_after = f"{mode:04o} {owner}\n" + ("(secret)\n" if secret else data.decode(errors="replace"))
        if old == data:
            if self._has(path, mode, owner):
                return False
        elif secret and old is not None:
            what_after = what_after.replace("(secret)", "(another secret)")
        self.record(path, what_before, what_after)
        if not self.check:
            self._replace(str(place), data, mode, owner)
        return True

    def link(self, path: str, target: str) -> bool:
        """Make a symbolic link, swapped in one step. Returns whether it pointed elsewhere before."""
        place = self.paths.at(path)
        old = os.readlink(place) if place.is_symlink() else ""
        if old == target:
            return False
        self.record(path, f"-> {old}\n" if old else "", f"-> {target}\n")
        if not self.check:
            place.parent.mkdir(parents=True, exist_ok=True)
            temporary = place.with_name(f".new-{place.name}")
            temporary.unlink(missing_ok=True)
            temporary.symlink_to(target)
            os.replace(temporary, place)
        return True

    def store(self, path: str, data: bytes) -> None:
        """Keep a record of our own (0600, root): bookkeeping, no part of what the operator asked for, so no change."""
        if not self.check:
            self._replace(str(self.paths.at(path)), data, 0o600, "root:root")

    def _describe(self, path: str, data: bytes | None, secret: bool) -> str:
        if data is None:
            return ""
        info = self.paths.at(path).stat()
        owner = f"{info.st_uid}:{info.st_gid}"
        for name in ("root:root", "root:flower", "flower:flower"):
            if (info.st_uid, info.st_gid) == _ids(name):
                owner = name
        head = f"{stat.S_IMODE(info.st_mode):04o} {owner}\n"
        return head + ("(secret)\n" if secret else data.decode(errors="replace"))

    def _has(self, path: str, mode: int, owner: str) -> bool:
        info = self.paths.at(path).stat()
        # Without root rights (tests, dry looks) ownership can neither be changed nor held against the file.
        owned = os.geteuid() != 0 or (info.st_uid, info.st_gid) == _ids(owner)
        return owned and stat.S_IMODE(info.st_mode) == mode

    @staticmethod
    def _own(place: os.PathLike[str] | str, owner: str) -> None:
        if os.geteuid() == 0:
            os.chown(place, *_ids(owner))

    def _replace(self, place: str, data: bytes, mode: int, owner: str) -> None:
        folder = os.path.dirname(place)
        os.makedirs(folder, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=folder, prefix=".new-")
        try:
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                # Ownership and mode go on before the name does: nobody ever sees a secret with loose rights.
                if os.geteuid() == 0:
                    os.fchown(stream.fileno(), *_ids(owner))
                os.fchmod(stream.fileno(), mode)
                os.fsync(stream.fileno())
            os.replace(temporary, place)
        except BaseException:
            if os.path.exists(temporary):
                os.unlink(temporary)
            raise
