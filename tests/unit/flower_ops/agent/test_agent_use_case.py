# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The use case chosen at deployment: what the agent asks of the supervisor, and what the keeper publishes of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from agent_support import FakeNode
from fake_onegate import FakeOneGate
from flower_ops.keeper import run_state

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
        patch.setattr("flower_ops.agent.use_case.os.path.ismount", lambda place: str(place) == disk)
        superlink.configure(USE_CASE="anomaly-detection", CHECKPOINT_PATH="/app/checkpoints/inner")
    ((_name, one),) = trainings(superlink).items()
    assert one["run_config"]["checkpoint-disk"] == disk and one["run_config"]["checkpoint-path"] == f"{disk}/inner"
    _code, again = superlink.configure(USE_CASE="anomaly-detection", CHECKPOINT_PATH="/app/checkpoints/inner")
    assert not again["changed"], again["diff"]
    superlink.configure(USE_CASE="anomaly-detection", CHECKPOINT_PATH="/app/checkpoints/inner", NUM_ROUNDS="8")
    ((_name, more),) = trainings(superlink).items()
    assert more["run_config"]["checkpoint-disk"] == disk and more["at"] > one["at"]


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
