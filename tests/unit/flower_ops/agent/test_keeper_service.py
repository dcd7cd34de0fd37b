# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The process of flower-keeper.service: what starts it, what ends it, and what it outlives."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.cli import main
from flower_ops.keeper import keeper
from flower_ops.machine import given, journal
from flower_ops.machine.files import Files
from flower_ops.machine.paths import Paths


def test_the_agent_of_the_keeper_is_a_process_with_the_stored_variables(tmp_path: Path) -> None:
    # Without a VM below it the agent has nothing to configure; what counts is that it is reached and heard.
    code, answer = keeper.run_agent("nobody")
    assert code != 0 and "did not answer" in answer["message"]


def test_the_service_needs_a_configured_vm_and_ends_when_told(
    running: FakeNode, gate: FakeOneGate, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keep", "--root", str(tmp_path)]) == 1
    assert "never configured" in capsys.readouterr().out
    stop = threading.Event()
    stop.set()
    assert keeper.serve(running.root, running.systemd, journal.Journal("x", ("true",)), stop) == 0
    assert "watching this supernode" in capsys.readouterr().out


class Service:
    """flower-keeper.service in a thread, looking many times a second; `said` is what it has printed so far."""

    def __init__(self, node: FakeNode, capsys: pytest.CaptureFixture[str]) -> None:
        self.code: list[int] = []
        self.said = ""
        self._capsys, self._stop = capsys, threading.Event()
        self._thread = threading.Thread(target=self._serve, args=(node,), daemon=True)
        self._thread.start()

    def _serve(self, node: FakeNode) -> None:
        self.code.append(keeper.serve(node.root, node.systemd, journal.Journal("x", ("true",)), self._stop))

    def says(self, words: str) -> bool:
        """Whether it says this within 10 s."""
        end = time.monotonic() + 10
        while words not in self.said and time.monotonic() < end:
            time.sleep(0.02)
            self.said += self._capsys.readouterr().out
        return words in self.said

    def ends(self, told: bool = False) -> bool:
        """Whether it ends with success, by itself unless `told` to."""
        if told:
            self._stop.set()
        self._thread.join(10)
        return self.code == [0]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A keeper that does not keep a test waiting."""
    monkeypatch.setattr(keeper, "INTERVAL", 0.02)
    monkeypatch.setattr(keeper, "DAMAGED", 0.02)


def test_a_vm_that_was_given_another_role_gets_the_other_watcher(
    running: FakeNode, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    service = Service(running, capsys)
    assert service.says("watching this supernode")
    given.remember(Files(Paths(running.root)), given.Given("superlink", {}))
    assert service.ends() and service.says("This VM is a superlink now")


def test_a_keeper_whose_code_was_replaced_makes_room_for_the_new_one(
    running: FakeNode, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    venv = running.path("/opt/flower/venv")
    for name in ("one", "two"):
        running.path(f"/opt/flower/venvs/{name}").mkdir(parents=True)
    venv.rename(venv.with_name("former"))
    venv.symlink_to(running.path("/opt/flower/venvs/one"))
    service = Service(running, capsys)
    assert service.says("watching this supernode")
    Files(Paths(running.root)).link("/opt/flower/venv", str(running.path("/opt/flower/venvs/two")))
    assert service.ends() and service.says("has been replaced")


def test_a_record_without_a_role_is_told_once_and_looked_at_again(
    running: FakeNode, capsys: pytest.CaptureFixture[str], quick: None
) -> None:
    record = running.path(Paths.overrides)
    whole = record.read_bytes()
    record.write_text("{")
    service = Service(running, capsys)
    assert service.says("does not name this VM's role")
    time.sleep(0.1)
    assert not service.code
    record.write_bytes(whole)
    assert service.says("watching this supernode") and service.said.count("role") == 1
    record.write_text("{")
    time.sleep(0.1)
    assert service.ends(told=True)


@pytest.mark.parametrize("name", ["ONEAPP_FLOWER_VERSION", "ONEAPP_FL_GRPC_KEEPALIVE_TIME"])
def test_the_service_outlives_variables_that_nobody_can_use(
    running: FakeNode, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(keeper, "INTERVAL", 0.02)
    running.context(**{name: "1.99.0"})
    stop = threading.Event()
    service = threading.Thread(
        target=keeper.serve, args=(running.root, running.systemd, journal.Journal("x", ("true",)), stop)
    )
    service.start()
    said, end = "", time.monotonic() + 10
    while "look failed" not in said and time.monotonic() < end:
        said += capsys.readouterr().out
        time.sleep(0.02)
    time.sleep(0.2)
    assert service.is_alive() and (said + capsys.readouterr().out).count("look failed") == 1
    stop.set()
    service.join(10)
    assert not service.is_alive()
