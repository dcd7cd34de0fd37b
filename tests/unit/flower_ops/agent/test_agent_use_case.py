# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The use case chosen at deployment: what the agent asks of the supervisor, and what the keeper publishes of it."""

from __future__ import annotations

import fcntl
import json
import os
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.keeper import run_state
from flower_ops.runs.record import Places
from flower_ops.supervisor import handed
from flower_ops.supervisor.model import Memory, State
from flower_ops.supervisor.shelf import Shelf

KEYS = {"strategy": '"FedAvg"', "num-server-rounds": "1", "min-available-clients": "2", "checkpoint-path": '""',
        "checkpoint-enabled": "true", "training": '""'}  # fmt: skip


def app(node: FakeNode, case: str = "anomaly-detection", **more: str) -> None:
    """An app of a use case on a VM, with these keys."""
    place = node.path(f"/opt/flower/use-cases/{case}")
    place.mkdir(parents=True)
    config = "".join(f"{key} = {value}\n" for key, value in {**KEYS, **more}.items())
    parts = (
        '[project]\nname = "case"\nversion = "2.0.0"\n[tool.flwr.app.components]\nserverapp="a:a"\nclientapp="b:b"\n'
    )
    (place / "pyproject.toml").write_text(f"{parts}[tool.flwr.app.config]\n{config}")


def trainings(node: FakeNode) -> dict[str, dict[str, Any]]:
    found = [json.loads(path.read_text()) for path in node.root.glob("opt/flower/trainings/*/asked.json")]
    return {str(one["name"]): one for one in found}


def test_a_use_case_is_asked_for_once(superlink: FakeNode) -> None:
    app(superlink)
    code, answer = superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="7")
    assert code == 0, answer
    ((name, one),) = trainings(superlink).items()
    assert name.startswith("anomaly-detection-") and one["mark"] in name and one["run_config"]["num-server-rounds"] == 7
    assert "flower-supervisor.service" in superlink.systemd.enabled
    superlink.now += 100
    _code, again = superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="7")
    assert not again["changed"] and trainings(superlink)[name] == one


def test_more_rounds_go_on_with_the_same_training_and_another_strategy_begins_a_new_one(superlink: FakeNode) -> None:
    app(superlink)
    superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="3")
    ((name, one),) = trainings(superlink).items()
    superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="9")
    ((same, more),) = trainings(superlink).items()
    assert same == name and more["run_config"]["num-server-rounds"] == 9 and more["at"] > one["at"]
    superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="9", STRATEGY="FedMedian")
    found = trainings(superlink)
    assert len(found) == 2 and found[name]["withdrawn"]
    (other,) = found.keys() - {name}
    assert not found[other]["withdrawn"] and found[other]["place"] != one["place"]
    # None at all: what was asked for is not any more. Trainings of an operator are left alone.
    superlink.configure()
    assert [one["withdrawn"] for one in trainings(superlink).values()] == [True, True]


def only(node: FakeNode) -> dict[str, Any]:
    (one,) = trainings(node).values()
    return one


def ended(node: FakeNode, state: State = State.COMPLETED) -> None:
    """The supervisor is done with it."""
    Shelf(Places(node.root)).keep(only(node)["name"], Memory(asked=only(node)["at"], state=state))


def test_a_training_that_an_operator_stopped_stays_stopped_until_context_says_something_else(
    superlink: FakeNode,
) -> None:
    app(superlink)
    chosen = {"USE_CASE": "anomaly-detection", "NUM_ROUNDS": "3"}
    superlink.configure(**chosen)
    places, name = Places(superlink.root), only(superlink)["name"]
    handed.withdraw(places, name)
    ended(superlink, State.STOPPED)
    stopped = only(superlink)
    # The next boot, and the playbook after it.
    for _time in range(2):
        code, answer = superlink.configure(**chosen)
        assert code == 0 and only(superlink) == stopped and stopped["withdrawn"]
    assert not answer["changed"], answer["diff"]
    superlink.configure(**{**chosen, "NUM_ROUNDS": "5"})
    again = only(superlink)
    assert not again["withdrawn"] and again["run_config"]["num-server-rounds"] == 5
    assert not superlink.configure(**{**chosen, "NUM_ROUNDS": "5"})[1]["changed"]


def test_a_stopped_training_that_an_operator_resumes_goes_on_after_a_boot_too(superlink: FakeNode) -> None:
    app(superlink)
    superlink.configure(USE_CASE="anomaly-detection")
    places, name = Places(superlink.root), only(superlink)["name"]
    handed.withdraw(places, name)
    ended(superlink, State.STOPPED)
    handed.again(places, name)
    resumed = only(superlink)
    superlink.configure(USE_CASE="anomaly-detection")
    assert only(superlink) == resumed and not resumed["withdrawn"]


def test_more_rounds_of_an_operator_are_kept_until_context_says_another_number(superlink: FakeNode) -> None:
    app(superlink, **{"checkpoint-interval": "1", "round-timeout": "600.0"})
    chosen = {"USE_CASE": "anomaly-detection", "NUM_ROUNDS": "3"}
    superlink.configure(**chosen)
    ended(superlink)
    handed.again(Places(superlink.root), only(superlink)["name"], {"num-server-rounds": 20, "round-timeout": 60})
    more = only(superlink)
    superlink.configure(**chosen)
    assert only(superlink) == more
    # CONTEXT changes something else: the operator's values are none of its business.
    superlink.configure(**chosen, CHECKPOINT_INTERVAL="2")
    values = only(superlink)["run_config"]
    assert (values["num-server-rounds"], values["round-timeout"], values["checkpoint-interval"]) == (20, 60.0, 2)
    superlink.configure(**{**chosen, "NUM_ROUNDS": "30"}, CHECKPOINT_INTERVAL="2")
    assert only(superlink)["run_config"]["num-server-rounds"] == 30
    # The number of the beginning is another one than it says now.
    superlink.configure(**chosen, CHECKPOINT_INTERVAL="2")
    assert only(superlink)["run_config"]["num-server-rounds"] == 3


def test_context_that_comes_back_to_an_earlier_choice_asks_for_it_again(superlink: FakeNode) -> None:
    app(superlink)
    superlink.configure(USE_CASE="anomaly-detection")
    handed.withdraw(Places(superlink.root), only(superlink)["name"])
    ended(superlink, State.STOPPED)
    superlink.configure()
    assert only(superlink)["withdrawn"] and only(superlink)["context"] == {}
    # An operator may go on with what CONTEXT no longer asks for.
    handed.again(Places(superlink.root), only(superlink)["name"])
    superlink.configure()
    assert not only(superlink)["withdrawn"]
    handed.withdraw(Places(superlink.root), only(superlink)["name"])
    before = only(superlink)["at"]
    superlink.configure(USE_CASE="anomaly-detection")
    assert not only(superlink)["withdrawn"] and only(superlink)["at"] > before


def test_another_state_of_the_app_begins_nothing_anew(superlink: FakeNode) -> None:
    app(superlink)
    superlink.configure(USE_CASE="anomaly-detection")
    before = only(superlink)
    ended(superlink)
    project = superlink.path("/opt/flower/use-cases/anomaly-detection/pyproject.toml")
    project.write_text(project.read_text() + "round-timeout = 300.0\nserver-lr = 0.5\n")
    superlink.configure(USE_CASE="anomaly-detection")
    now = only(superlink)
    assert now["at"] == before["at"] and now["deadline"] == 300.0 and "server-lr" in now["run_config"]


def test_asked_for_again_is_later_also_where_the_clock_was_set_back(
    superlink: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the runs of before would count as those of now, and more rounds as done."""
    app(superlink)
    with monkeypatch.context() as patch:
        patch.setattr("flower_ops.agent.use_case.time", SimpleNamespace(time=lambda: 4e9))
        superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="3")
    superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="9")
    ((_name, one),) = trainings(superlink).items()
    assert one["run_config"]["num-server-rounds"] == 9 and one["at"] == 4e9 + 1


def test_a_disk_of_the_checkpoints_stays_asked_for_when_it_is_gone(
    superlink: FakeNode, monkeypatch: pytest.MonkeyPatch
) -> None:
    app(superlink, **{"checkpoint-disk": '""'})
    disk = str(superlink.path("/opt/flower/checkpoints"))
    with monkeypatch.context() as patch:
        patch.setattr("flower_ops.supervisor.asking.os.path.ismount", lambda place: str(place) == disk)
        superlink.configure(USE_CASE="anomaly-detection", CHECKPOINT_PATH="/app/checkpoints/inner")
    ((_name, one),) = trainings(superlink).items()
    assert one["run_config"]["checkpoint-disk"] == disk and one["run_config"]["checkpoint-path"] == f"{disk}/inner"
    _code, again = superlink.configure(USE_CASE="anomaly-detection", CHECKPOINT_PATH="/app/checkpoints/inner")
    assert not again["changed"], again["diff"]
    superlink.configure(USE_CASE="anomaly-detection", CHECKPOINT_PATH="/app/checkpoints/inner", NUM_ROUNDS="8")
    ((_name, more),) = trainings(superlink).items()
    assert more["run_config"]["checkpoint-disk"] == disk and more["at"] > one["at"]


def test_nobody_else_asks_meanwhile(superlink: FakeNode, monkeypatch: pytest.MonkeyPatch) -> None:
    """Stopped by an operator between look and writing, a training would go on all the same."""
    app(superlink)
    superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="3")
    before, place = only(superlink), superlink.path("/opt/flower/trainings/.lock")
    with place.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # A look ahead waits for nobody, and nobody waits for ever.
        monkeypatch.setattr("flower_ops.supervisor.shelf.PATIENCE", 0.2)
        code, answer = superlink.configure(check=True, USE_CASE="anomaly-detection", NUM_ROUNDS="4")
        assert code == 0 and answer["changed"] and only(superlink) == before
        code, answer = superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="4")
        assert code == 1 and only(superlink) == before
        assert "trainings has been kept by another command for 0 s; try again after its end." in answer["message"]
        # Free again while it waits, it is taken.
        monkeypatch.setattr("flower_ops.supervisor.shelf.PATIENCE", 30.0)
        free = threading.Timer(0.3, lambda: fcntl.flock(lock, fcntl.LOCK_UN))
        free.start()
        code, answer = superlink.configure(USE_CASE="anomaly-detection", NUM_ROUNDS="4")
        free.join()
    assert code == 0 and only(superlink)["run_config"]["num-server-rounds"] == 4


def test_a_use_case_that_is_not_on_the_vm_is_told_at_once(superlink: FakeNode) -> None:
    code, answer = superlink.configure(USE_CASE="anomaly-detection")
    assert code == 1 and "anomaly-detection cannot be trained from" in answer["message"], answer
    assert "There is no app directory" in answer["message"] and trainings(superlink) == {}


def test_a_choice_that_the_app_does_not_know_is_no_choice(superlink: FakeNode) -> None:
    app(superlink)
    code, answer = superlink.configure(USE_CASE="anomaly-detection", STRATEGY="FedProx", PROXIMAL_MU="0.5")
    assert code == 1 and "no use for ONEAPP_FL_PROXIMAL_MU" in answer["message"], answer


def test_without_its_unit_there_is_a_warning(superlink: FakeNode) -> None:
    superlink.path("/etc/systemd/system/flower-supervisor.service").unlink()
    code, answer = superlink.configure()
    assert code == 0 and any("flower-supervisor.service" in line for line in answer["warnings"])


def test_the_keeper_publishes_what_the_supervisor_tells(superlink: FakeNode, gate: FakeOneGate) -> None:
    assert superlink.configure()[0] == 0
    keeper = superlink.keeper()
    superlink.keep(keeper, 30)
    assert "FL_RUN_STATE" not in gate.of("4")
    told = superlink.path(run_state.FILE)
    told.write_text(json.dumps({"state": "running", "round": 3, "reason": ""}))
    superlink.keep(keeper, 30)
    own = gate.of("4")
    assert (own["FL_RUN_STATE"], own["FL_RUN_ROUND"], own["FL_RUN_REASON"]) == ("running", "3", "NONE")
    told.write_text(json.dumps({"state": "failed", "round": 3, "reason": 'no, "x"\nREADY=NO'}))
    gate.requests.clear()
    superlink.keep(keeper, 60)
    assert gate.of("4")["FL_RUN_REASON"] == "no; 'x' READY=NO" and gate.of("4")["READY"] == "YES"
    assert len(gate.writes()) == 1


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{", '{"state": "rooted"}', '{"round": 4}', '{"state": ["running"]}', "x" * 100_000],
)
def test_a_file_that_tells_nothing_sensible_is_nothing(tmp_path: Path, content: str) -> None:
    place = tmp_path / "supervisor.json"
    place.write_text(content)
    assert run_state.attributes(place) == {}


def test_neither_link_nor_pipe_is_read(tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text('{"state": "running", "reason": "secret"}')
    (tmp_path / "link").symlink_to(secret)
    os.mkfifo(tmp_path / "pipe")
    assert run_state.attributes(tmp_path / "link") == run_state.attributes(tmp_path / "pipe") == {}
    assert run_state.attributes(tmp_path / "none") == {}
    assert run_state.attributes(secret)["FL_RUN_ROUND"] == "0"
