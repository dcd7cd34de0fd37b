# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Whatever fails, no capture goes on and no database stays held."""

from __future__ import annotations

import socket
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from flower_ops.audit import hold, peers, place, steps, watch
from flower_ops.audit.capture import Capture
from flower_ops.audit.errors import AuditError
from flower_ops.audit.hold import Hold
from flower_ops.audit.place import Place

RUN = "#!/bin/sh\ntouch {active}\n{then}\n"
# systemctl stop fails as long as there is `stuck`; after a SIGKILL there is none, unless it is `stuck for good`.
CONTROL = """#!/bin/sh
echo "$1" >> {log}
case "$1" in
is-active) [ -f {active} ];;
kill) [ -f "{stuck} for good" ] || rm -f {stuck};;
stop) [ ! -f {stuck} ] && [ ! -f "{stuck} for good" ] && rm -f {active};;
esac
"""


class Systemd:
    """A fake of systemd: a unit is a file that is there while it runs."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.active, self.log = folder, folder / "active", folder / "log"
        self.log.touch()
        self.program("systemctl", CONTROL.format(active=self.active, log=self.log, stuck=folder / "stuck"))

    def program(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text, encoding="ascii")
        (self.folder / name).chmod(0o755)

    def runs(self, then: str) -> None:
        """What systemd-run does once the unit runs."""
        self.program("systemd-run", RUN.format(active=self.active, then=then))


@pytest.fixture
def systemd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Systemd:
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:/usr/bin:/bin")
    monkeypatch.setattr(watch, "PATIENCE_S", 0.3)
    return Systemd(tmp_path / "bin")


@pytest.fixture
def here(tmp_path: Path) -> Place:
    return Place(tmp_path / "vm")


def ready(here: Place, content: str) -> str:
    return f"echo '{content}' > {here.ready}"


HELD = '{"held": [], "failed": {}}'


def test_a_watcher_that_does_not_begin_is_ended(systemd: Systemd, here: Place) -> None:
    systemd.runs("true")
    with pytest.raises(AuditError, match="did not begin to watch"):
        steps.start(here, {"role": "supernode"}, "/bin/true")
    assert not systemd.active.exists()


@pytest.mark.parametrize(("content", "words"), [("no JSON", "There is no ready.json"), (HELD, "No database of Flower")])
def test_a_superlink_whose_databases_are_not_held_is_not_watched(
    systemd: Systemd, here: Place, content: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(steps, "_idle", lambda _place: None)
    systemd.runs(ready(here, content))
    with pytest.raises(AuditError, match=words):
        steps.start(here, {"role": "superlink"}, "/bin/true")
    assert not systemd.active.exists()


def fail(error: Exception) -> Callable[..., Any]:
    def failing(*_about: object, **_more: object) -> Any:
        raise error

    return failing


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("surprise"), AuditError("no")])
def test_a_start_that_fails_when_it_watches_already_ends_the_watcher(
    systemd: Systemd, here: Place, error: Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    systemd.runs(ready(here, HELD))
    monkeypatch.setattr(peers, "control_machine", fail(error))
    with pytest.raises(type(error)):
        steps.start(here, {"role": "supernode"}, "/bin/true")
    assert not systemd.active.exists()


def test_a_start_that_works_goes_on_watching(systemd: Systemd, here: Place) -> None:
    systemd.runs(ready(here, HELD))
    assert steps.start(here, {"role": "supernode", "control": "10.0.0.9"}, "/bin/true")["control"] == "10.0.0.9"
    assert systemd.active.exists()
    steps.clean(here, {}, "")
    assert not systemd.active.exists() and not here.folder.exists()


def test_a_watcher_that_does_not_listen_is_killed(systemd: Systemd, here: Place) -> None:
    systemd.active.touch()
    (systemd.folder / "stuck").touch()
    steps.clean(here, {}, "")
    assert not systemd.active.exists() and "kill" in systemd.log.read_text(encoding="ascii")


def test_one_that_cannot_be_ended_is_told_and_the_rest_is_removed(systemd: Systemd, here: Place) -> None:
    here.make()
    systemd.active.touch()
    (systemd.folder / "stuck for good").touch()
    with pytest.raises(AuditError, match="still watches"):
        steps.clean(here, {}, "")
    assert not here.folder.exists()
    systemd.runs("true")
    with pytest.raises(AuditError, match="still watches"):
        steps.start(here, {"role": "supernode"}, "/bin/true")


def captures() -> int:
    return sum(thread.name == "capture" for thread in threading.enumerate())


def test_no_capture_goes_on_when_the_watcher_fails(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    here.make()
    monkeypatch.setattr(place, "save", fail(OSError(28, "No space left on device")))
    with pytest.raises(OSError, match="No space"):
        watch.watch(here, "supernode", 1 << 20, threading.Event(), loopback=True)
    assert captures() == 0


def test_a_capture_that_broke_off_is_told(here: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a disk that is full: what came after was neither kept nor counted."""
    here.make()
    monkeypatch.setattr(Capture, "_take", fail(OSError(28, "No space left on device")))
    capture = Capture(here.folder, 1 << 20, loopback=True)
    worker = threading.Thread(target=capture.run)
    worker.start()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as knocking:
        while worker.is_alive():
            knocking.sendto(b"x", ("127.0.0.1", 9))
            worker.join(0.05)
    assert capture.figures()["broken"] == "No space left on device"


def test_a_hold_that_fails_holds_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bases = []
    for name in ("a.db", "b.db"):
        base = sqlite3.connect(tmp_path / name)
        base.execute("PRAGMA journal_mode = WAL")
        base.execute("CREATE TABLE objects (content BLOB)")
        base.commit()
        bases.append(base)
    opened: list[sqlite3.Connection] = []
    real = sqlite3.connect

    def connect(target: str, **more: Any) -> sqlite3.Connection:
        if "b.db" in target:
            raise OSError(24, "Too many open files")
        opened.append(real(target, **more))
        return opened[-1]

    monkeypatch.setattr(hold.sqlite3, "connect", connect)
    with pytest.raises(OSError, match="Too many"), Hold([tmp_path / "a.db", tmp_path / "b.db"]):
        pytest.fail("it was not entered")
    (one,) = opened
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        one.execute("SELECT 1")
    for base in bases:
        base.close()
