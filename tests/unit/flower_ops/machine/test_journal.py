# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Log lines of a service, as they come."""

from __future__ import annotations

import sys
import time
from pathlib import Path

from flower_ops.machine import journal


def read(lines: journal.Journal, number: int) -> list[str]:
    """So many lines or more, as they come; fewer after 10 s."""
    found: list[str] = []
    end = time.monotonic() + 10
    while len(found) < number and time.monotonic() < end:
        found += lines.read()
        time.sleep(0.02)
    return found


def test_log_lines_arrive_without_colours_and_without_waiting() -> None:
    lines = journal.Journal(
        "x",
        (
            sys.executable,
            "-uc",
            "import time; print('\\x1b[92mINFO\\x1b[0m : one\\ntwo\\npart', end=''); time.sleep(60)",
        ),
    )
    found = read(lines, 2)
    lines.close()
    assert found == ["INFO : one", "two"]


def test_what_a_busy_service_writes_between_two_looks_is_read_by_the_next(tmp_path: Path) -> None:
    written = tmp_path / "written"
    flood = "import sys, time, pathlib; sys.stdout.write(('x' * 99 + '\\n') * 6000); sys.stdout.flush()"
    then = f"pathlib.Path({str(written)!r}).touch(); time.sleep(60)"
    lines = journal.Journal("x", (sys.executable, "-c", f"{flood}; {then}"))
    found = lines.read()
    end = time.monotonic() + 10
    while not written.exists() and time.monotonic() < end:
        time.sleep(0.02)
    found += lines.read()
    lines.close()
    assert len(found) == 6000


def test_a_journal_that_ended_is_opened_again() -> None:
    lines = journal.Journal("x", ("echo", "again"))
    found = read(lines, 3)
    lines.close()
    assert found[:3] == ["again"] * 3
    assert journal.Journal("x", ("/nowhere/journalctl",)).read() == []


def test_what_a_journal_left_when_it_ended_is_read(tmp_path: Path) -> None:
    ended = tmp_path / "ended"
    lines = journal.Journal("x", ("sh", "-c", f"test -e {ended} && exec sleep 60; printf 'one\ntwo'; touch {ended}"))
    found = lines.read()
    end = time.monotonic() + 10
    while not ended.exists() and time.monotonic() < end:
        time.sleep(0.02)
    time.sleep(0.1)
    found += lines.read()
    found += lines.read()
    lines.close()
    assert found == ["one", "two"]
