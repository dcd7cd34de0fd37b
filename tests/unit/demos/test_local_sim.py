# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What a simulation says and makes around its processes; whole runs of it are in tests/lanes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from flower_ops import profiles
from local_sim.__main__ import check, main, options_of, prepare
from local_sim.environment import ROOT
from local_sim.federation import Federation
from local_sim.processes import MARK, Processes, free_ports
from local_sim.show import HEAD, Table, data_of, write_report

DEMO = ROOT / "demos/sklearn"


def one_round(number: int, accuracy: float, done: bool = True) -> dict[str, Any]:
    return {
        "round": number, "train": {"train-loss": 2.0}, "evaluate": None, "central": {"accuracy": accuracy, "loss": 0.5},
        "nodes": 2, "connected": 2, "results": 2, "failures": 0, "errors": [], "seconds": 4.04, "done": done,
    }  # fmt: skip


def test_each_round_is_printed_once_when_it_has_ended(capsys: pytest.CaptureFixture[str]) -> None:
    table, run = Table(), {"initial": {"accuracy": 0.1, "loss": 2.3}, "rounds": [one_round(1, 0.5, done=False)]}
    table.add(run)
    run["rounds"] = [one_round(1, 0.5), one_round(2, 0.75, done=False)]
    table.add(run)
    table.add(run)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == HEAD and [line.split() for line in lines[1:]] == [
        ["0", "2.300", "0.100", "–", "–"],
        ["1", "0.500", "0.500", "2", "of", "2", "4.0"],
    ]
    assert len({len(line) for line in lines}) == 1


def test_the_report_has_curves_and_the_model_beside_it(tmp_path: Path) -> None:
    made = tmp_path / "run"
    (made / "checkpoints").mkdir(parents=True)
    files = [made / "model.npz", made / "checkpoints/checkpoint_round_1.npz"]
    for path in files:
        path.write_bytes(b"arrays")
    told = [{"name": str(path.relative_to(made)), "path": str(path), "size": 6} for path in files]
    run = {"run_id": "7", "app": {"name": "digits", "version": "1"}, "status": "finished:completed", "files": told}
    run |= {"rounds": [one_round(1, 0.5), one_round(2, 0.75)], "data": "the bundled handwritten digits"}
    page = write_report(run, tmp_path / "report")
    assert "<svg" in page.read_text() and "digits on this machine" in page.read_text()
    assert "<dd>the bundled handwritten digits</dd>" in page.read_text()
    assert json.loads((page.parent / "run.json").read_text())["run_id"] == "7"
    assert sorted(path.name for path in page.parent.iterdir()) == ["index.html", "model.npz", "run.json"]
    # One that failed leaves no model, and not the one of before.
    write_report({**run, "status": "finished:failed", "files": []}, tmp_path / "report")
    assert sorted(path.name for path in page.parent.iterdir()) == ["index.html", "run.json"]


def test_the_log_says_which_data_it_was() -> None:
    why = "the bundled handwritten digits, because flwr-datasets is not installed"
    assert data_of(f"INFO :      Data (test): 359 samples in 10 classes from {why}.\r\nINFO :      more\n") == why
    assert data_of("INFO :      Data (test): 90 samples from texts, because it is set.\n") == "texts, because it is set"
    assert data_of("INFO :      Starting FedAvg strategy\n") == ""


def test_an_app_that_cuts_its_data_gets_a_shard_for_each_node(tmp_path: Path) -> None:
    nodes, config = prepare(DEMO, 3, tmp_path / "data")
    assert nodes[2] == f'data="{tmp_path}/data/shard-2.npz"' and config == {"test-data": f"{tmp_path}/data/test.npz"}
    assert len(list((tmp_path / "data").glob("*.npz"))) == 4
    assert prepare(ROOT / "demos/pytorch", 3, tmp_path / "none") == ({}, {})


def test_a_demo_is_found_by_its_name_and_an_app_by_its_folder(tmp_path: Path) -> None:
    demo = options_of(["pytorch"])
    assert (demo.folder, demo.framework, demo.nodes) == (ROOT / "demos/pytorch", "pytorch", 2)
    other = options_of([str(tmp_path), "--framework", "tensorflow"])
    assert (other.folder, other.framework) == (tmp_path, "tensorflow")


def test_an_unknown_demo_is_told_with_those_that_there_are(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["torch"])
    told = "no folder and no demo torch; the demos: llm, pytorch, sklearn, tensorflow"
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("wrong", [["--nodes", "0"], ["--set", "rounds"], ["--flower", "0.1"]])
def test_a_wrong_command_line_is_told(wrong: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["sklearn", *wrong])
    assert wrong[-1] in capsys.readouterr().err


def test_a_wrong_run_is_told_before_anything_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nowhere = ["--venv", str(tmp_path / "none")]
    assert main([str(tmp_path), *nowhere]) == 1
    assert "is not a Flower app: it has no pyproject.toml" in capsys.readouterr().err
    assert main(["sklearn", *nowhere, "--set", "rounds=3", "--set", "local-epochs=few"]) == 1
    told = capsys.readouterr().err
    assert "The logs:" not in told, "there are none"
    assert "unknown key rounds" in told and "local-epochs: 'few' is not a whole number" in told


def test_wrong_settings_are_told_before_anything_is_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--venv", str(tmp_path / "none"), "--nodes", "4", "--set", "num-malicious=1"]
    assert main(["sklearn", *words, "--set", "strategy=FedSum", "--set", "trim-beta=2"]) == 1
    told = capsys.readouterr().err
    assert "has 2 faults" in told and "strategy = 'FedSum'" in told and "trim-beta = 2.0" in told
    assert main(["sklearn", *words, "--set", "strategy=Krum"]) == 1
    assert "at least 2f + 3 = 5, which is 4" in capsys.readouterr().err
    # The keys of an app that trains otherwise are its own affair.
    app = (
        '[tool.flwr.app.components]\nserverapp = "a:a"\nclientapp = "b:b"\n[tool.flwr.app.config]\nstrategy = "mine"\n'
    )
    (tmp_path / "pyproject.toml").write_text(app)
    check(tmp_path, {"strategy": "yours"}, 2)


def test_programs_and_what_they_leave_behind_are_ended(tmp_path: Path) -> None:
    """Helpers have sessions of their own, as Flower's have; one knows nothing but where it is at home, as flwr does."""
    processes = Processes(tmp_path)
    helper = "subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], start_new_session=True"
    at_home = f"env={{'FLWR_HOME': '{tmp_path}/opt/flower/cli'}}"
    program = (
        f"import subprocess, sys, time; {helper}); {helper}, {at_home}); print('started', flush=True); time.sleep(600)"
    )
    log = tmp_path / "log"
    processes.start([sys.executable, "-c", program], os.environ, tmp_path, log)
    end = time.monotonic() + 30
    while not log.read_text() and time.monotonic() < end:
        time.sleep(0.05)
    assert processes.all_run() and len(processes._left()) == 3
    processes.stop()
    assert processes._left() == [] and MARK not in os.environ


def test_supernodes_get_their_cure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "venv/lib/python3/site-packages/flwr-1.34.0.dist-info").mkdir(parents=True)
    given: list[tuple[str, str]] = []

    def start(_self: Processes, command: list[str], environment: dict[str, str], *_more: object) -> None:
        given.append((Path(command[0]).name, environment.get("PYTHONPATH", "").partition(os.pathsep)[0]))

    monkeypatch.setattr(Processes, "start", start)
    monkeypatch.setattr(Federation, "_wait", lambda *_said: None)
    (tmp_path / "run").mkdir()
    with Federation(tmp_path / "run", tmp_path / "venv", 2, {}):
        cure = profiles.profile("1.34.0").supernode_environment()["PYTHONPATH"]
        assert [path == cure for _name, path in given] == [False, True, True], given


def test_ports_differ() -> None:
    assert len(set(free_ports(20))) == 20


def test_the_command_tells_what_it_takes() -> None:
    told = subprocess.run([ROOT / "tools/local-sim", "--help"], capture_output=True, text=True, check=True, timeout=60)
    assert "--nodes" in told.stdout and "sklearn, pytorch, tensorflow, llm" in " ".join(told.stdout.split())
