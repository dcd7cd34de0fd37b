# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The home directory of a sandbox: credentials, description, and the lock that one server holds."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
from pathlib import Path
from typing import Any


class HomeBusyError(RuntimeError):
    """Another server runs on this home."""


class Home:
    """Files of one sandbox: one.db, one_auth (0600), sandbox.json, calls.json, faults.json, lock."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser().resolve()
        self._lock: int | None = None

    @property
    def id(self) -> str:
        """A short name that marks what belongs to this home; it follows from the path alone."""
        return hashlib.sha256(str(self.path).encode()).hexdigest()[:12]

    def lock(self) -> None:
        """Become the server of this home. Raises HomeBusyError."""
        self.path.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            os.close(descriptor)
            raise HomeBusyError(f"A sandbox already runs on {self.path}; stop it, or choose another --home.") from None
        self._lock = descriptor

    def unlock(self) -> None:
        """Stop being the server."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    @property
    def busy(self) -> bool:
        """Whether a server runs on this home."""
        if not self.path.is_dir():
            return False
        try:
            self.lock()
        except HomeBusyError:
            return True
        self.unlock()
        return False

    def credentials(self) -> tuple[str, str]:
        """(user, password) of the administrator; made up on first use."""
        file = self.path / "one_auth"
        with contextlib.suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
            with os.fdopen(descriptor, "w") as stream:
                stream.write(f"oneadmin:{secrets.token_urlsafe(18)}\n")
        user, _separator, password = file.read_text().strip().partition(":")
        return user, password

    def write_description(self, description: dict[str, Any]) -> None:
        """sandbox.json, at once whole."""
        self._write("sandbox.json", description)

    def description(self) -> dict[str, Any]:
        """sandbox.json, {} when there is none."""
        return self._read("sandbox.json")

    def write_calls(self, counts: dict[str, Any]) -> None:
        """calls.json, at once whole."""
        self._write("calls.json", counts)

    def calls(self) -> dict[str, Any]:
        """calls.json: what clients asked of the server that runs, or ran last; {} when there is none."""
        return self._read("calls.json")

    def _write(self, name: str, content: dict[str, Any]) -> None:
        temporary = self.path / f"{name}.{os.getpid()}"
        temporary.write_text(json.dumps(content, indent=2) + "\n")
        temporary.replace(self.path / name)

    def _read(self, name: str) -> dict[str, Any]:
        try:
            loaded = json.loads((self.path / name).read_text())
        except (OSError, ValueError):
            return {}
        return loaded if isinstance(loaded, dict) else {}

    def clear(self) -> None:
        """Remove the files of the sandbox; the directory stays."""
        jsons = ("sandbox.json", "calls.json", "faults.json")
        for name in ("one.db", "one.db-wal", "one.db-shm", "one_auth", *jsons, "lock"):
            with contextlib.suppress(FileNotFoundError):
                (self.path / name).unlink()
