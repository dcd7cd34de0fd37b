# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The module flower_run on a machine whose flower-ops is a script that answers what a test wants."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.flower.app_archive import pack
from module_runner import ModuleResult, run_module

DEMO = Path(__file__).parents[4] / "demos/sklearn"
SCRIPT = """#!{python}
import json, pathlib, sys
words = sys.argv[1:]
told = {{"words": words, "input": "" if sys.stdin.isatty() else sys.stdin.read()}}
if "--app" in words:
    app = pathlib.Path(words[words.index("--app") + 1])
    told["app"] = str(app)
    told["modes"] = sorted({{oct(path.stat().st_mode & 0o777) for path in (app, *app.rglob("*"))}})
    told["files"] = sorted(str(path.relative_to(app)) for path in app.rglob("*") if path.is_file())
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(told) + "\\n")
print("a warning of Python")
answers = json.loads(pathlib.Path({answer!r}).read_text())
# One answer for all commands, or one for each by its first two words.
print(json.dumps(answers.get(" ".join(words[:2]), answers)))
"""


class SuperLink:
    """A machine in a folder."""

    def __init__(self, home: Path) -> None:
        self.home = home
        (home / "apps").mkdir(parents=True)
        program = home / "venv/bin/flower-ops"
        program.parent.mkdir(parents=True)
        self._calls, self._answer = home / "calls", home / "answer"
        program.write_text(SCRIPT.format(python=sys.executable, calls=str(self._calls), answer=str(self._answer)))
        program.chmod(0o755)
        self.answers({})

    def answers(self, value: Any) -> None:
        """What flower-ops prints from now on."""
        self._answer.write_text(json.dumps(value))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """Calls of flower-ops so far."""
        return [json.loads(line) for line in self._calls.read_text().splitlines()] if self._calls.exists() else []

    def run(self, step: dict[str, Any], check: bool = False, **more: Any) -> ModuleResult:
        """One step of the action plugin."""
        given = {"flower_home": str(self.home), "step": step}
        return run_module("flower_run", {**given, **more}, check)


@pytest.fixture
def superlink(tmp_path: Path) -> SuperLink:
    return SuperLink(tmp_path / "flower")


@pytest.fixture
def archive(tmp_path: Path) -> str:
    path = tmp_path / "app.tar.gz"
    path.write_bytes(pack(DEMO).archive)
    return str(path)


def test_submit_hands_over_the_app_and_hides_its_configuration(superlink: SuperLink, archive: str) -> None:
    superlink.answers({"run_id": "18446744073709551615", "status": "pending"})
    done = superlink.run({"operation": "submit", "archive": archive}, run_config={"token": "s3cret"})
    assert done.ok and done["changed"] and done["run"]["run_id"] == "18446744073709551615"
    (call,) = superlink.calls
    assert call["words"][:2] == ["run", "submit"] and "s3cret" not in " ".join(call["words"])
    assert json.loads(call["input"]) == {"token": "s3cret"} and "digits_app/server_app.py" in call["files"]
    assert list((superlink.home / "apps").iterdir()) == []


@pytest.mark.parametrize("supervised", [False, True])
def test_an_app_is_unpacked_where_the_account_of_apps_cannot_exchange_it(
    superlink: SuperLink, archive: str, supervised: bool
) -> None:
    """Not in apps/, which is that account's: root would write through the links that it finds there."""
    superlink.answers({"run_id": "5", "status": "pending", "changed": True})
    superlink.run({"operation": "submit", "archive": archive, "supervised": supervised})
    (call,) = superlink.calls
    assert Path(call["app"]).parent == superlink.home and call["modes"] == ["0o640", "0o750"]
    assert not Path(call["app"]).exists()


def test_a_supervised_app_is_handed_over_once(superlink: SuperLink, archive: str) -> None:
    superlink.answers({"training": "night-1a2b3c4d", "changed": False})
    step = {"operation": "submit", "archive": archive, "supervised": True, "name": "night"}
    done = superlink.run(step, run_config={"token": "s3cret"})
    assert done.ok and not done["changed"] and done["run"]["training"] == "night-1a2b3c4d"
    (call,) = superlink.calls
    assert call["words"][:3] == ["training", "start", "--once"] and call["words"][-3:] == ["--name", "night", "--json"]
    assert json.loads(call["input"]) == {"token": "s3cret"} and "digits_app/server_app.py" in call["files"]


@pytest.mark.parametrize(("end", "cut_off"), [("kill -TERM $$", True), ("exit 143", True), ("exit 1", False)])
def test_a_command_that_was_killed_is_told_from_one_that_failed(superlink: SuperLink, end: str, cut_off: bool) -> None:
    program = superlink.home / "venv/bin/flower-ops"
    program.write_text(f"#!/bin/sh\n{end}\n")
    done = superlink.run({"operation": "status", "name": "night"})
    assert not done.ok and done["cut_off"] is cut_off and "flower-ops training status gave no answer" in done["msg"]


def test_looking_changes_nothing(superlink: SuperLink) -> None:
    superlink.answers({"status": "running", "progress": "running 1"})
    looked = superlink.run({"operation": "status", "run_id": "5", "wait": 3, "seen": "running 0"})
    assert looked.ok and not looked["changed"] and looked["run"]["progress"] == "running 1"
    assert superlink.run({"operation": "status", "name": "night"}).ok
    assert [call["words"] for call in superlink.calls] == [
        ["run", "status", "--run-id", "5", "--wait", "3.0", "--seen", "running 0", "--json"],
        ["training", "status", "--training", "night", "--wait", "0.0", "--json"],
    ]


def test_a_part_of_a_file_is_read_by_the_command_of_the_node(superlink: SuperLink) -> None:
    superlink.answers({"size": 5, "state": "1-2-5-3", "content": "MTIzNDU="})
    step = {"operation": "file", "folder": "/r/out", "file": "logs/-a.txt", "offset": 0, "state": ""}
    done = superlink.run(step, check=True)
    assert done.ok and not done["changed"] and done["run"]["content"] == "MTIzNDU="
    (call,) = superlink.calls
    assert call["words"] == [
        *("run", "file", "--folder=/r/out", "--file=logs/-a.txt", "--offset=0", "--state=", "--json")
    ]


RUN = {"run_id": "5", "training": None, "finished": False, "recorded": True}
STOP_RUN = ["run", "stop", "--run-id", "5", "--json"]
STOP_TRAINING = ["training", "stop", "--training", "night", "--json"]


@pytest.mark.parametrize(
    ("step", "run", "changed", "last"),
    [
        ({"name": "night"}, RUN, True, STOP_TRAINING),
        ({"run_id": "5"}, RUN, True, STOP_RUN),
        # Whoever stops the run of a training means the training: the supervisor would submit another run.
        ({"run_id": "5"}, {**RUN, "training": "night"}, True, STOP_TRAINING),
        ({"run_id": "5"}, {**RUN, "finished": True}, False, ["run", "info", "--run-id", "5", "--json"]),
    ],
)
def test_stopping(superlink: SuperLink, step: dict[str, str], run: Any, changed: bool, last: list[str]) -> None:
    superlink.answers({
        "run info": {"runs": [run], "warnings": []},
        "run stop": {**RUN, "stopped": True},
        "training stop": {"training": "night", "changed": True},
    })  # fmt: skip
    foreseen = superlink.run({"operation": "stop", **step}, check=True)
    assert foreseen.ok and foreseen["changed"] is changed
    assert all("--check" in call["words"] or call["words"][1] == "info" for call in superlink.calls)
    stopped = superlink.run({"operation": "stop", **step})
    assert stopped.ok and stopped["changed"] is changed and superlink.calls[-1]["words"] == last


def test_going_on_with_a_training(superlink: SuperLink) -> None:
    superlink.answers({
        "run info": {"runs": [{**RUN, "training": "night"}], "warnings": []},
        "training resume": {"training": "night", "changed": True},
    })  # fmt: skip
    for step in ({"name": "night"}, {"run_id": "5"}):
        done = superlink.run({"operation": "resume", **step}, run_config={"num-server-rounds": 9})
        assert done.ok and done["changed"]
        call = superlink.calls[-1]
        assert call["words"] == ["training", "resume", "--training", "night", "--run-config", "-", "--json"]
        assert json.loads(call["input"]) == {"num-server-rounds": 9}
    superlink.answers({"runs": [RUN], "warnings": []})
    failed = superlink.run({"operation": "resume", "run_id": "5"})
    assert not failed.ok and "Run 5 belongs to no training" in failed["msg"]


@pytest.mark.parametrize("supervised", [True, False])
def test_check_mode_has_the_app_checked_and_starts_nothing(
    superlink: SuperLink, archive: str, supervised: bool
) -> None:
    superlink.answers({"changed": True})
    step = {"operation": "submit", "archive": archive, "supervised": supervised}
    assert superlink.run(step, check=True)["changed"]
    assert "--check" in superlink.calls[-1]["words"] and list((superlink.home / "apps").iterdir()) == []
    superlink.answers({"error": "Run configuration for the app digits is wrong: unknown key x."})
    assert "unknown key x" in superlink.run(step, check=True)["msg"]


def test_check_mode_before_there_is_a_superlink(superlink: SuperLink, archive: str) -> None:
    (superlink.home / "venv/bin/flower-ops").unlink()
    foreseen = superlink.run({"operation": "submit", "archive": archive, "supervised": True}, check=True)
    assert foreseen.ok and foreseen["changed"]


def test_what_flower_ops_refuses_fails_the_task(superlink: SuperLink, archive: str) -> None:
    superlink.answers({"error": "Run configuration for the app digits is wrong: unknown key x."})
    failed = superlink.run({"operation": "submit", "archive": archive})
    assert not failed.ok and failed["msg"] == "Run configuration for the app digits is wrong: unknown key x."
    assert list((superlink.home / "apps").iterdir()) == []


def test_a_machine_that_is_no_superlink(superlink: SuperLink, archive: str) -> None:
    (superlink.home / "apps").rmdir()
    failed = superlink.run({"operation": "submit", "archive": archive})
    assert "apply the role superlink first" in failed["msg"]
    (superlink.home / "venv/bin/flower-ops").unlink()
    failed = superlink.run({"operation": "status", "run_id": "5"})
    assert "is no SuperLink of this collection" in failed["msg"]


def test_without_its_action_plugin(superlink: SuperLink) -> None:
    failed = superlink.run({})
    assert "works through its action plugin" in failed["msg"] and superlink.calls == []
