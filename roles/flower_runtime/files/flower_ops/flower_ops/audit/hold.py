# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink received, kept for the search: its database forgets a message as soon as its run is over.

SQLite writes every page that changes into its log first, and begins the log anew only when nobody reads an older state.
A reader that stays therefore leaves in the log each page that was written since: every message of the run, also those
that were deleted meanwhile. It opens the database for reading only, so it makes no file and blocks no writer.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from types import TracebackType
from urllib.parse import quote


class Hold:
    """Use it with `with`. `held` are the databases whose logs are kept, `failed` says why others are not."""

    def __init__(self, databases: list[Path]) -> None:
        self._databases = databases
        self._connections: list[sqlite3.Connection] = []
        self.held: list[str] = []
        self.failed: dict[str, str] = {}

    def __enter__(self) -> Hold:
        try:
            for path in self._databases:
                try:
                    self._hold(path)
                except sqlite3.Error as error:
                    self.failed[str(path)] = str(error)
        except BaseException:
            # Nobody calls __exit__ of what was never entered.
            self._release()
            raise
        return self

    def _hold(self, path: Path) -> None:
        if not path.with_name(f"{path.name}-shm").exists():
            # Nobody writes to it; and were we the first to open it, a file of ours would lie in Flower's folder.
            self.failed[str(path)] = "nobody has it open in WAL mode"
            return
        base = sqlite3.connect(
            f"file:{quote(str(path))}?mode=ro", uri=True, timeout=10, isolation_level=None, check_same_thread=False
        )
        kept = False
        try:
            (mode,) = base.execute("PRAGMA journal_mode").fetchone()
            if mode != "wal":
                # A reader of such a database would keep the SuperLink from writing.
                self.failed[str(path)] = f"its journal mode is {mode}, not wal"
                return
            base.execute("BEGIN")
            base.execute("SELECT count(*) FROM sqlite_master").fetchone()
            kept = True
        finally:
            if not kept:
                base.close()
        self._connections.append(base)
        self.held.append(str(path))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._release()

    def _release(self) -> None:
        for base in self._connections:
            base.close()
        self._connections.clear()


def databases(state: Path) -> list[Path]:
    """SQLite files below a folder."""
    found = []
    for path in sorted(state.rglob("*")):
        if path.is_file() and not path.is_symlink():
            try:
                with path.open("rb") as stream:
                    if stream.read(16) == b"SQLite format 3\0":
                        found.append(path)
            except OSError:
                continue
    return found
