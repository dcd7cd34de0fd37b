# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A SuperLink for the action plugin of flower_run: stands in for connection and module, and answers as it is told."""

from __future__ import annotations

import base64
import tarfile
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible_collections.opennebula.flower.plugins.action import flower_run
from ansible_collections.opennebula.flower.plugins.action.flower_run import ActionModule
from ansible_collections.opennebula.flower.plugins.plugin_utils import run_follow

CHECKPOINTS = "[tool.flwr.app.config]\ntraining=''\ncheckpoint-path=''\n"
PROJECT = "[project]\nname='toy'\nversion='2'\n[tool.flwr.app.components]\nserverapp='a:app'\nclientapp='a:app'\n"


def run_of(**changes: Any) -> dict[str, Any]:
    """What the module answers about a run."""
    return {
        "run_id": "7", "app": {"name": "toy"}, "status": "running", "reason": "", "rounds": [], "num_rounds": 2,
        "finished": False, "succeeded": False, "degraded": False, "files": [], "progress": "p", **changes,
    }  # fmt: skip


def a_round(number: int, done: bool = True, **more: Any) -> dict[str, Any]:
    return {"round": number, "done": done, "metrics": {"accuracy": 0.5}, "train": {}, "evaluate": {}, **more}


def asked(**changes: Any) -> dict[str, Any]:
    """What the module answers when a training is handed over, resumed or stopped."""
    return {"training": "toy-1a2b3c4d", "state": "waiting", "finished": False, "run_id": "", "runs": [],
            "changed": True, **changes}  # fmt: skip


def attempt(run_id: str, ended: str | None = None, reason: str = "", from_round: int = 0) -> dict[str, Any]:
    return {"run_id": run_id, "ended": ended, "reason": reason, "from_round": from_round}


def training(*runs: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """What the module answers about a training."""
    return {
        **asked(), "state": "running", "status": "running", "app": {"name": "toy"}, "reason": None, "rounds": [],
        "num_rounds": 3, "succeeded": False, "degraded": False, "files": [], "progress": "p", "supervised": True,
        "waiting": None, "chosen": 2, "runs": list(runs), "run_id": runs[-1]["run_id"] if runs else "", **changes,
    }  # fmt: skip


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
        # What was read of files, four bytes at a time: name, offset, state.
        self.parts: list[tuple[str, int, str]] = []
        self.app = tmp_path / "app"
        self.app.mkdir()
        (self.app / "pyproject.toml").write_text(PROJECT)
        (self.app / "a.py").write_text("app = 1\n")
        monkeypatch.setattr(flower_run.display, "display", lambda text, *_args, **_more: self.said.append(text.strip()))
        monkeypatch.setattr(flower_run.display, "warning", lambda text, *_args, **_more: self.warned.append(text))
        self.clock = 0.0
        monkeypatch.setattr(flower_run.time, "sleep", self._sleep)
        monkeypatch.setattr(flower_run.time, "monotonic", self._time)
        monkeypatch.setattr(run_follow, "round_line", lambda one, total: f"round {one['round']} of {total}")
        monkeypatch.setattr(flower_run, "final_metrics", lambda rounds: {"rounds": len(rounds)})

    def _sleep(self, seconds: float) -> None:
        self.clock += seconds

    def _time(self) -> float:
        return self.clock

    def module(self, module_name: str, module_args: dict[str, Any], task_vars: Any = None) -> dict[str, Any]:
        assert module_name == flower_run.MODULE
        if module_args["step"]["operation"] == "file":
            return self._part(module_args["step"])
        self.clock += 1.0
        self.steps.append(module_args["step"])
        self.arguments.append(module_args)
        answer = self.answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer if "failed" in answer else {"run": answer}

    def _part(self, step: dict[str, Any]) -> dict[str, Any]:
        whole, offset = self.remote[f"{step['folder']}/{step['file']}"], step["offset"]
        self.parts.append((step["file"], offset, step["state"]))
        part = base64.b64encode(whole[offset : offset + 4]).decode()
        return {"run": {"name": step["file"], "size": len(whole), "state": "as it is", "content": part}}

    def run(self, *answers: Any, check: bool = False, **options: Any) -> dict[str, Any]:
        self.answers = list(answers)
        shell = SimpleNamespace(tmpdir="/tmp/remote", join_path=lambda *parts: "/".join(parts))
        connection = SimpleNamespace(_shell=shell)
        task = SimpleNamespace(
            args={key: value for key, value in {"app": str(self.app), **options}.items() if value != ""},
            check_mode=check, async_val=0, action="flower_run",
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
