# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The action plugin of flower_run: what it asks the SuperLink, what a person sees, how a run is judged and fetched."""

from __future__ import annotations

import base64
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.parsing.dataloader import DataLoader
from ansible_collections.opennebula.flower.plugins.action import flower_run
from ansible_collections.opennebula.flower.plugins.action.flower_run import ActionModule

PROJECT = "[project]\nname='toy'\nversion='2'\n[tool.flwr.app.components]\nserverapp='a:app'\nclientapp='a:app'\n"


def run_of(**changes: Any) -> dict[str, Any]:
    """What the module answers about a run."""
    return {
        "run_id": "7", "app": {"name": "toy"}, "status": "running", "reason": "", "rounds": [], "num_rounds": 2,
        "finished": False, "succeeded": False, "degraded": False, "files": [], "progress": "p", **changes,
    }  # fmt: skip


def a_round(number: int, done: bool = True) -> dict[str, Any]:
    return {"round": number, "done": done, "metrics": {"accuracy": 0.5}, "train": {}, "evaluate": {}}


DONE = {"finished": True, "succeeded": True, "status": "finished:completed"}


class Superlink:
    """Stands in for the connection and the module: answers in order, remembers the steps."""

    def __init__(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.answers: list[Any] = []
        self.steps: list[dict[str, Any]] = []
        self.arguments: list[dict[str, Any]] = []
        self.said: list[str] = []
        self.warned: list[str] = []
        self.remote: dict[str, bytes] = {}
        self.removed: list[str] = []
        self.become = False
        self.app = tmp_path / "app"
        self.app.mkdir()
        (self.app / "pyproject.toml").write_text(PROJECT)
        (self.app / "a.py").write_text("app = 1\n")
        monkeypatch.setattr(flower_run.display, "display", lambda text, *_args, **_more: self.said.append(text.strip()))
        monkeypatch.setattr(flower_run.display, "warning", lambda text, *_args, **_more: self.warned.append(text))
        monkeypatch.setattr(flower_run.time, "sleep", lambda _seconds: None)
        monkeypatch.setattr(flower_run, "round_line", lambda one, total: f"round {one['round']} of {total}")
        monkeypatch.setattr(flower_run, "final_metrics", lambda rounds: {"rounds": len(rounds)})

    def module(self, module_name: str, module_args: dict[str, Any], task_vars: Any = None) -> dict[str, Any]:
        if module_name == "ansible.legacy.slurp":
            return {"content": base64.b64encode(self.remote[module_args["src"]]).decode()}
        self.steps.append(module_args["step"])
        self.arguments.append(module_args)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if "failed" in answer else {"run": answer}

    def fetch(self, source: str, target: str) -> None:
        Path(target).write_bytes(self.remote[source])

    def run(self, *answers: Any, check: bool = False, **options: Any) -> dict[str, Any]:
        self.answers = list(answers)
        shell = SimpleNamespace(tmpdir="/tmp/remote", join_path=lambda *parts: "/".join(parts))
        connection = SimpleNamespace(_shell=shell, become=self.become, fetch_file=self.fetch)
        task = SimpleNamespace(
            args={"app": str(self.app), **options}, check_mode=check, async_val=0, action="flower_run",
            environment=None, diff=False, collections=None, delegate_to=None, no_log=False,
        )  # fmt: skip
        context = SimpleNamespace(check_mode=check)
        action = ActionModule(task, connection, context, DataLoader(), SimpleNamespace(), SimpleNamespace())
        action._execute_module = self.module  # type: ignore[method-assign]
        action._transfer_file = self._transfer  # type: ignore[method-assign]
        action._fixup_perms2 = lambda *_args, **_more: None  # type: ignore[method-assign]
        action._remove_tmp_path = lambda folder, **_more: self.removed.append(folder)  # type: ignore[method-assign]
        result: dict[str, Any] = action.run(None, {"inventory_hostname": "link"})
        return result

    def _transfer(self, local: str, remote: str) -> str:
        with tarfile.open(local) as archive:
            self.remote[remote] = "\n".join(sorted(archive.getnames())).encode()
        return remote


@pytest.fixture
def superlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Superlink:
    return Superlink(tmp_path, monkeypatch)


def test_a_run_from_its_submission_to_its_result(superlink: Superlink) -> None:
    first, last = [a_round(1), a_round(2, done=False)], [a_round(1), a_round(2)]
    result = superlink.run(
        run_of(), run_of(waiting="waiting for nodes"), run_of(waiting="waiting for nodes"),
        run_of(rounds=first, progress="q"), run_of(rounds=last, **DONE), run_config={"lr": 1},
    )  # fmt: skip
    assert result["changed"] and not result.get("failed") and result["run_id"] == "7"
    assert result["metrics"] == {"rounds": 2}
    assert [step["operation"] for step in superlink.steps] == ["submit", *["status"] * 4]
    assert superlink.arguments[0]["run_config"] == {"lr": 1} and superlink.arguments[1]["run_config"] == {}
    assert superlink.steps[-1]["seen"] == "q" and 0 < superlink.steps[-1]["wait"] <= 20
    assert superlink.said == [
        "link: run 7 of toy 2 submitted", "link: waiting for nodes", "link: round 1 of 2", "link: round 2 of 2",
    ]  # fmt: skip
    assert b"a.py" in superlink.remote["/tmp/remote/app.tar.gz"] and superlink.removed == ["/tmp/remote"]


def test_check_mode_asks_nobody(superlink: Superlink) -> None:
    result = superlink.run(check=True, run_config={"b": 1, "a": 2})
    assert result["changed"] and superlink.steps == []
    assert result["msg"] == "Would run the app toy 2 (2 files) with a=2, b=1."
    assert result["rounds"] == [] and result["files"] == [] and result["metrics"] == {}


def test_an_app_that_is_none_is_told_before_a_login(superlink: Superlink) -> None:
    (superlink.app / "pyproject.toml").unlink()
    with pytest.raises(AnsibleActionFail, match="pyproject.toml"):
        superlink.run()
    assert superlink.steps == [] and superlink.remote == {}


def test_a_refused_submission_leaves_nothing_behind(superlink: Superlink) -> None:
    with pytest.raises(AnsibleActionFail, match="no such setting"):
        superlink.run({"failed": True, "msg": "no such setting"})
    assert superlink.removed == ["/tmp/remote"]


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"status": "finished:completed", "reason": "no results"}, "of the app toy trained nothing: no results"),
        ({"status": "finished:failed", "reason": "a node"}, "of the app toy ended as finished:failed: a node"),
    ],
)
def test_runs_that_fail(superlink: Superlink, changes: dict[str, Any], text: str) -> None:
    result = superlink.run(run_of(), run_of(finished=True, **changes), fetch_to="nowhere")
    assert result["failed"] and text in result["msg"] and result["run_id"] == "7"
    assert not Path("nowhere").exists()


def test_a_degraded_run_succeeds_with_a_warning(superlink: Superlink) -> None:
    result = superlink.run(run_of(**DONE, degraded=True, reason="one node was lost"))
    assert not result.get("failed") and superlink.warned == ["run 7 completed, but one node was lost"]


@pytest.mark.parametrize("stop", [True, False])
def test_a_run_that_takes_too_long(superlink: Superlink, stop: bool) -> None:
    answers = [run_of(waiting="nodes are missing"), *([run_of(status="finished:stopped")] if stop else [])]
    result = superlink.run(*answers, timeout=0, stop_on_timeout=stop)
    assert result["failed"] and "had not finished after 0 s (nodes are missing)" in result["msg"]
    assert ("was stopped (now finished:stopped)" if stop else "and goes on") in result["msg"]
    assert [step["operation"] for step in superlink.steps] == ["submit", *(["stop"] if stop else [])]


def test_a_broken_connection_is_tried_again_and_given_up(superlink: Superlink) -> None:
    broken = AnsibleConnectionFailure("gone")
    assert superlink.run(run_of(), *[broken] * 4, run_of(**DONE))["run_id"] == "7"
    assert sum("connection lost" in text for text in superlink.said) == 4
    with pytest.raises(AnsibleConnectionFailure):
        superlink.run(run_of(), *[broken] * 5)


@pytest.mark.parametrize("become", [True, False])
def test_files_are_fetched(superlink: Superlink, tmp_path: Path, become: bool) -> None:
    superlink.become = become
    superlink.remote["/r/sub/model.npz"] = b"12345"
    files = [{"name": "sub/model.npz", "path": "/r/sub/model.npz", "size": 5}]
    result = superlink.run(run_of(**DONE, files=files), fetch_to=str(tmp_path / "out"))
    target = tmp_path / "out/sub/model.npz"
    assert target.read_bytes() == b"12345" and result["files"][0]["dest"] == str(target)
    assert [path.name for path in target.parent.iterdir()] == ["model.npz"]


@pytest.mark.parametrize("name", ["../evil", "/etc/passwd", "a/../../b", ""])
def test_names_that_lead_elsewhere_are_refused(superlink: Superlink, tmp_path: Path, name: str) -> None:
    files = [{"name": name, "path": "/r/x", "size": 1}]
    with pytest.raises(AnsibleActionFail, match="is not fetched"):
        superlink.run(run_of(**DONE, files=files), fetch_to=str(tmp_path / "out"))
    assert not (tmp_path / "evil").exists()


def test_a_file_that_arrives_short_is_refused(superlink: Superlink, tmp_path: Path) -> None:
    superlink.remote["/r/x"] = b"1"
    with pytest.raises(AnsibleActionFail, match="arrived with 1 of 9 bytes"):
        superlink.run(run_of(**DONE, files=[{"name": "x", "path": "/r/x", "size": 9}]), fetch_to=str(tmp_path / "out"))
