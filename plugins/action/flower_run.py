# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_run on the control machine: hand over the app, show every round, judge by state, fetch the files."""

from __future__ import annotations

import base64
import os
import tempfile
import time
from pathlib import Path, PurePosixPath
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.opennebula.flower.plugins.module_utils.flower.app_archive import AppError, PackedApp, pack
from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import final_metrics, round_line

display = Display()
MODULE = "opennebula.flower.flower_run"
# A look that finds the connection broken is tried again: the run goes on without us.
CONNECTION_TRIES = 5
RETURNED = (
    *("run_id", "app", "status", "reason", "degraded", "rounds", "initial", "num_rounds", "nodes"),
    *("bytes_sent", "bytes_recv", "submitted_at", "started_at", "finished_at", "duration_s"),
    *("versions", "files", "output_dir", "log_tail"),
)


class ActionModule(ActionBase):
    """Several short calls of the module on the SuperLink, one per piece of news."""

    # The folder for files is made when there is an app to hand over: a wrong one is told without a login.
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Train and return the run; the task fails unless the run succeeded."""
        super().run(tmp, task_vars)
        self._vars = task_vars or {}
        _checked, options = self.validate_argument_spec(
            {
                "app": {"type": "path", "required": True},
                "run_config": {"type": "dict", "default": {}},
                "timeout": {"type": "int", "default": 3600},
                "stop_on_timeout": {"type": "bool", "default": True},
                "poll_interval": {"type": "int", "default": 20},
                "fetch_to": {"type": "path"},
                "flower_home": {"type": "path", "default": "/opt/flower"},
            }
        )
        self._options = options
        try:
            app = pack(self._loader.path_dwim(options["app"]))
        except AppError as error:
            raise AnsibleActionFail(str(error)) from error
        if self._task.check_mode:
            settings = ", ".join(f"{key}={value}" for key, value in sorted(options["run_config"].items()))
            text = f"Would run the app {app.name} {app.version} ({len(app.files)} files)"
            # Empty values of the real answer, so that tasks which use it can be checked as well.
            nothing = {"run_id": "", "status": "", "degraded": False, "rounds": [], "files": [], "metrics": {}}
            return {**nothing, "changed": True, "msg": f"{text}{' with ' + settings if settings else ''}."}
        return self._train(app)

    def _train(self, app: PackedApp) -> dict[str, Any]:
        run = self._submit(app)
        self._say(f"run {run['run_id']} of {app.name} {app.version} submitted")
        deadline = time.monotonic() + self._options["timeout"]
        shown = 0
        waiting = None
        while not run.get("finished"):
            left = deadline - time.monotonic()
            if left <= 0:
                return self._give_up(run)
            run = self._look(run, min(left, self._options["poll_interval"]))
            if run.get("waiting") and run["waiting"] != waiting:
                self._say(run["waiting"])
            waiting = run.get("waiting")
            finished_rounds = [one for one in run["rounds"] if one["done"]]
            for one in finished_rounds[shown:]:
                self._say(round_line(one, run.get("num_rounds")))
            shown = len(finished_rounds)
        return self._conclude(run)

    def _submit(self, app: PackedApp) -> dict[str, Any]:
        """Put the packed app beside the module's own temporary files and submit it."""
        made_here = not self._connection._shell.tmpdir
        if made_here:
            self._make_tmp_path()
        folder = self._connection._shell.tmpdir
        remote = self._connection._shell.join_path(folder, "app.tar.gz")
        descriptor, local = tempfile.mkstemp(suffix=".tar.gz")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(app.archive)
            self._transfer_file(local, remote)
            self._fixup_perms2((folder, remote))
            return self._step({"operation": "submit", "archive": remote}, self._options["run_config"])
        finally:
            os.unlink(local)
            self._remove_tmp_path(folder)

    def _look(self, run: dict[str, Any], wait: float) -> dict[str, Any]:
        step = {"operation": "status", "run_id": run["run_id"], "wait": round(wait, 1), "seen": run.get("progress", "")}
        for attempt in range(CONNECTION_TRIES):
            try:
                return self._step(step)
            except AnsibleConnectionFailure:
                if attempt == CONNECTION_TRIES - 1:
                    raise
                self._say("connection lost, the run goes on; trying again")
                time.sleep(2 * (attempt + 1))
        return run

    def _step(self, step: dict[str, Any], run_config: dict[str, Any] | None = None) -> dict[str, Any]:
        arguments = {
            "app": self._options["app"],
            "run_config": run_config or {},
            "flower_home": self._options["flower_home"],
            "step": step,
        }
        result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=self._vars)
        if result.get("failed"):
            raise AnsibleActionFail(str(result.get("msg", "the module gave no answer")))
        return dict(result["run"])

    def _give_up(self, run: dict[str, Any]) -> dict[str, Any]:
        seconds = self._options["timeout"]
        text = f"Run {run['run_id']} had not finished after {seconds} s ({run.get('waiting') or run['status']})"
        if self._options["stop_on_timeout"]:
            run = self._step({"operation": "stop", "run_id": run["run_id"]})
            text += f" and was stopped (now {run['status']})"
        else:
            text += " and goes on"
        return {**self._result(run), "failed": True, "msg": f"{text}; give it a larger timeout or fewer rounds."}

    def _conclude(self, run: dict[str, Any]) -> dict[str, Any]:
        result = self._result(run)
        if run["succeeded"]:
            if self._options["fetch_to"]:
                result["files"] = self._fetch(result["files"])
            if run["degraded"]:
                display.warning(f"run {run['run_id']} completed, but {run['reason']}")
            return result
        if run["status"] == "finished:completed":
            text = f"trained nothing: {run['reason']}"
        else:
            text = f"ended as {run['status']}: {run['reason']}"
        return {**result, "failed": True, "msg": f"Run {run['run_id']} of the app {run['app']['name']} {text}"}

    def _result(self, run: dict[str, Any]) -> dict[str, Any]:
        kept = {key: run.get(key) for key in RETURNED}
        return {**kept, "metrics": final_metrics(run.get("rounds", [])), "changed": True}

    def _fetch(self, files: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Copy the run's files to the control machine; their names come from there and are not trusted."""
        folder = Path(self._loader.path_dwim(self._options["fetch_to"]))
        fetched = []
        for one in files:
            parts = PurePosixPath(one["name"]).parts
            if not parts or one["name"].startswith("/") or ".." in parts:
                raise AnsibleActionFail(f"The SuperLink offers a file called {one['name']!r}, which is not fetched.")
            target = folder.joinpath(*parts)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._fetch_one(one["path"], target)
            if target.stat().st_size != one["size"]:
                raise AnsibleActionFail(f"{one['path']} arrived with {target.stat().st_size} of {one['size']} bytes.")
            fetched.append({**one, "dest": str(target)})
        return fetched

    def _fetch_one(self, source: str, target: Path) -> None:
        temporary = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            if self._connection.become:
                # The connection's own account may not read the file; slurp runs with the task's privileges.
                answer = self._execute_module("ansible.legacy.slurp", {"src": source}, task_vars=self._vars)
                if answer.get("failed"):
                    raise AnsibleActionFail(f"Cannot fetch {source}: {answer.get('msg')}")
                temporary.write_bytes(base64.b64decode(answer["content"]))
            else:
                self._connection.fetch_file(source, str(temporary))
            temporary.replace(target)
        finally:
            temporary.unlink(missing_ok=True)

    def _say(self, text: str) -> None:
        host = self._vars.get("inventory_hostname", "superlink")
        display.display(f"  {host}: {text}")
