# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""SQLite behind the objects in memory: every change is written through, nothing is read again until a restart."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .records import Record

_SCHEMA = """
CREATE TABLE IF NOT EXISTS objects (kind TEXT, oid INTEGER, body TEXT, PRIMARY KEY (kind, oid)) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


class Store:
    """one.db. Safe to use from several threads; one transaction per `write`."""

    def __init__(self, path: Path) -> None:
        self._lock = threading.Lock()
        self._db = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=NORMAL")
        self._db.executescript(_SCHEMA)

    def load(self) -> list[Record]:
        """All objects, by kind and id."""
        with self._lock:
            rows = self._db.execute("SELECT body FROM objects ORDER BY kind, oid").fetchall()
        return [Record(**json.loads(body)) for (body,) in rows]

    def write(self, changed: Iterable[Record], removed: Iterable[tuple[str, int]], meta: dict[str, Any]) -> None:
        """Save objects and counters together, or nothing at all."""
        with self._lock:
            self._db.execute("BEGIN")
            try:
                self._db.executemany("DELETE FROM objects WHERE kind = ? AND oid = ?", list(removed))
                self._db.executemany(
                    "INSERT OR REPLACE INTO objects VALUES (?, ?, ?)",
                    [(record.kind, record.oid, json.dumps(record.as_dict())) for record in changed],
                )
                self._db.executemany(
                    "INSERT OR REPLACE INTO meta VALUES (?, ?)", [(name, json.dumps(meta[name])) for name in meta]
                )
                self._db.execute("COMMIT")
            except BaseException:
                self._db.execute("ROLLBACK")
                raise

    def meta(self) -> dict[str, Any]:
        """Counters and secrets."""
        with self._lock:
            return {name: json.loads(value) for name, value in self._db.execute("SELECT name, value FROM meta")}

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()
