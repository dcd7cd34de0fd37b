# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role train on the real flower-ops. A thread plays the supervisor and Flower: it writes down what they would."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from flower_ops.runs import record as records
from flower_ops.runs.record import Places
from flower_ops.supervisor.model import Attempt, Memory, State
from flower_ops.supervisor.shelf import Shelf
from flower_ops.supervisor.view import LOCK
from ops_machine import OpsMachine
from role_play import COLLECTIONS, ROOT, play

APP = (
    '[project]\nname = "toy"\nversion = "1.0"\n[tool.flwr.app.components]\nserverapp = "a:a"\nclientapp = "b:b"\n'
    '[tool.flwr.app.config]\nnum-server-rounds = 2\ntraining = ""\ncheckpoint-path = ""\n'
)


class Supervising(threading.Thread):
    """Sees to every training that is asked for: two rounds in a run, which is one run less than needed at first."""

    def __init__(self, machine: OpsMachine) -> None:
        super().__init__(daemon=True)
        self.places = Places(machine.root)
        self.over = threading.Event()
        self.runs = 10

    def run(self) -> None:
        shelf = Shelf(self.places)
        with (self.places.runs / LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            while not self.over.wait(0.1):
                for asked in shelf.all():
                    memory = shelf.recall(asked.name)
                    if memory.asked != asked.at:
                        wanted = int(asked.run_config.get("num-server-rounds", 2))
                        self._train(shelf, asked.name, asked.at, memory.attempts, wanted)

    def _train(self, shelf: Shelf, name: str, at: float, before: tuple[Attempt, ...], wanted: int) -> None:
        done = max((one.reached for one in before), default=0)
        attempts = list(before)
        if not before:
            # The first run of a training is killed after one round.
            self._record(name, 1, 1, wanted, "finished:failed")
            attempts.append(Attempt(str(self.runs), at, 0, "broken", "the run ended without a word", 1))
            done = 1
        self._record(name, done + 1, wanted, wanted, "finished:completed")
        attempts.append(Attempt(str(self.runs), at + 1, done, "done", "", wanted))
        shelf.keep(name, Memory(asked=at, attempts=tuple(attempts), state=State.COMPLETED))

    def _record(self, name: str, first: int, last: int, planned: int, status: str) -> None:
        self.runs += 1
        output = self.places.runs / name
        output.mkdir(exist_ok=True)
        (output / "model.npz").write_bytes(b"%d rounds" % last)
        record = records.new_record(str(self.runs), {"name": "toy", "version": "1.0"}, output, name)
        rounds = [
            {"round": number, "nodes": 2, "results": 2, "errors": [], "done": True, "seconds": 1.0,
             "central": {"accuracy": 0.5 + number / 100}}
            for number in range(first, last + 1)
        ]  # fmt: skip
        record.update(status=status, rounds=rounds, num_rounds=planned, nodes=2, duration_s=float(len(rounds)))
        records.save(self.places.record(str(self.runs)), record)


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[OpsMachine]:
    made = OpsMachine(tmp_path / "root")
    (tmp_path / "toy").mkdir()
    (tmp_path / "toy/pyproject.toml").write_text(APP)
    supervisor = Supervising(made)
    supervisor.start()
    yield made
    supervisor.over.set()
    supervisor.join()


def told(folder: Path) -> dict[str, Any]:
    return dict(json.loads((folder / "reports/run.json").read_text()))


def test_a_training_is_begun_waited_for_and_goes_on_with_reports(machine: OpsMachine, tmp_path: Path) -> None:
    reports = tmp_path / "reports"
    code, output = play(machine, tmp_path, "train", train_app="toy", train_name="night", train_state="started")
    assert code == 0, output
    assert "Training night-" in output and not reports.exists()

    code, output = play(machine, tmp_path, "train", train_name="night", train_title="Hospital")
    assert code == 0, output
    assert "ended (the run ended without a word), going on from round 1 as run" in output and "round 2/2" in output
    first = told(tmp_path)
    assert [one["round"] for one in first["rounds"]] == [1, 2] and first["metrics"] == {"accuracy": 0.52}
    assert (reports / "model.npz").read_bytes() == b"2 rounds"
    page = (reports / "index.html").read_text()
    assert "Hospital" in page and first["training"] in page and "Earlier runs" in page

    wanted = {"num-server-rounds": 4}
    resume = {"train_name": "night", "train_state": "resumed", "train_run_config": wanted}
    code, output = play(machine, tmp_path, "train", **resume)
    assert code == 0, output
    assert "round 4/4" in output and "round 1/" not in output
    more = told(tmp_path)
    assert more["training"] == first["training"] and [one["round"] for one in more["rounds"]] == [1, 2, 3, 4]
    assert [one["ended"] for one in more["runs"]] == ["broken", "done", "done"] and more["duration_s"] == 4.0
    assert (reports / "model.npz").read_bytes() == b"4 rounds"
    code, output = play(machine, tmp_path, "train", **resume, train_title="Hospital")
    assert code == 0, output
    # But for the title of the page, nothing is another one.
    assert "changed=1 " in output and "round 4/4" not in output


def test_a_run_that_left_no_files_is_reported_too(machine: OpsMachine, tmp_path: Path) -> None:
    """As one of a plain app, which declares no folder for them."""
    record = records.new_record("7", {"name": "plain", "version": "1"}, machine.home / "runs/none")
    record.update(status="finished:completed", duration_s=1.0)
    records.save(Places(machine.root).record("7"), record)
    code, output = play(machine, tmp_path, "train", train_run_id="7", train_report_dir="new/reports")
    assert code == 0, output
    folder = tmp_path / "new/reports"
    assert sorted(path.name for path in folder.iterdir()) == ["index.html", "run.json"]
    assert json.loads((folder / "run.json").read_text())["run_id"] == "7"


def test_what_is_wrong_is_one_sentence_before_a_training_begins(machine: OpsMachine, tmp_path: Path) -> None:
    code, output = play(machine, tmp_path, "train", train_app="nowhere")
    assert code != 0
    assert "There is no app nowhere: " in output and "demos: " in output and "image-classification" in output
    code, output = play(machine, tmp_path, "train", "--check", train_app="toy", train_run_config={"rounds": 3})
    assert code != 0
    assert "Run configuration for the app toy is wrong: unknown key rounds" in output
    code, output = play(machine, tmp_path, "train", train_name="noon", train_state="stopped")
    assert code != 0
    assert "There is no training noon on this SuperLink; it knows: none." in output
    before = machine.contents()
    code, output = play(machine, tmp_path, "train", "--check", train_app="toy")
    assert code == 0, output
    assert "changed=1" in output and machine.contents() == before


def test_a_wrong_name_is_told_before_the_cloud_is_asked(tmp_path: Path) -> None:
    """By the playbook; nobody answers at that address, and nothing else is said of the federation."""
    wrong = ["-e", "app=nowhere", "-e", "federation_name=x", "-e", "federation_api_url=http://127.0.0.1:9/RPC2"]
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", "localhost,", ROOT / "playbooks/train.yml", *wrong],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS), "PWD": str(tmp_path)},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode != 0 and f"There is no app nowhere: {tmp_path}/nowhere is no folder" in done.stdout
    assert "federation : " not in done.stdout, "the app comes first"
