# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""flower_run on the control machine: hand over the app, show every round, judge by state, fetch the files."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail, AnsibleConnectionFailure
from ansible.plugins.action import ActionBase
from ansible.utils.display import Display
from ansible_collections.opennebula.flower.plugins.module_utils.flower.app_archive import AppError, PackedApp, pack
from ansible_collections.opennebula.flower.plugins.module_utils.flower.figures import final_metrics
from ansible_collections.opennebula.flower.plugins.module_utils.flower.run_options import OPTIONS, fault
from ansible_collections.opennebula.flower.plugins.plugin_utils.run_files import Read, fetch
from ansible_collections.opennebula.flower.plugins.plugin_utils.run_follow import Follower, uniform

display = Display()
MODULE = "opennebula.flower.flower_run"
# Seconds that the SuperLink may be out of reach, for example while its VM is started again: the run goes on without us.
LOST_S = 300.0
# Seconds that the supervisor may be away, for example while its unit starts it again.
UNSUPERVISED_S = 30.0
# Seconds that a run may take to end after it was stopped.
STOPPING_S = 60
NO_SUPERVISOR = (
    "nobody supervises trainings on this SuperLink: flower-supervisor.service does not run; "
    "look at 'journalctl -u flower-supervisor' there"
)
RETURNED = (
    *("training", "run_id", "app", "status", "reason", "degraded", "runs", "rounds", "initial", "num_rounds", "nodes"),
    *("bytes_sent", "bytes_recv", "submitted_at", "started_at", "finished_at", "duration_s", "checkpoint_rounds"),
    *("versions", "files", "files_left_out", "output_dir", "log_tail"),
)
LISTS = ("runs", "rounds", "files", "files_left_out", "checkpoint_rounds", "log_tail")


#: Codes by which processes end by themselves; others, or none, tell of a signal, as when a machine shuts down.
OWN_CODES = range(129)


class CutOff(AnsibleActionFail):
    """The module, or flower-ops below it, was ended before it could answer."""


class ActionModule(ActionBase):
    """Several short calls of the module on the SuperLink, one per piece of news."""

    # The folder for files is made when there is an app to hand over: a wrong one is told without a login.
    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Do what the state asks for; the task fails unless a run that is waited for succeeds."""
        super().run(tmp, task_vars)
        self._vars = task_vars or {}
        _checked, self._options = self.validate_argument_spec(OPTIONS)
        wrong = fault(self._options)
        if wrong:
            raise AnsibleActionFail(f"The options of flower_run do not fit together: {wrong}.")
        self._follower = Follower(self._say)
        self._changed = False
        if self._options["app"]:
            return self._train(self._pack())
        state = self._options["state"]
        if state == "stopped":
            return self._stop()
        return self._resume() if state == "resumed" else self._wait_for(self._first_look())

    # -- states ----------------------------------------------------------------------------------------------------

    def _train(self, app: PackedApp) -> dict[str, Any]:
        supervised = self._options["supervised"]
        if supervised is None:
            supervised = app.keeps_checkpoints
        if self._options["name"] and not supervised:
            raise AnsibleActionFail(
                f"The app {app.name} is submitted as a plain run, which has no name (its configuration does not "
                "declare training and checkpoint-path, or supervised is false); leave out name, or set supervised to "
                "true."
            )
        run = self._submit(app, supervised)
        self._changed = bool(run.get("changed", True))
        what = f"{app.name} {app.version}"
        if self._task.check_mode:
            return self._foreseen(app, run)
        if supervised:
            self._say(f"training {run['training']} of {what} " + ("asked for" if self._changed else "is under way"))
        else:
            self._say(f"run {run['run_id']} of {what} submitted")
        # What went on before is no news, and the run that was just submitted has been told.
        self._follower.pass_over(run)
        if self._options["state"] == "started":
            run = self._look(run, 0)
            if run.get("supervised") is False:
                display.warning(f"training {run['training']}: {NO_SUPERVISOR}")
            return self._result(run)
        return self._wait_for(run)

    def _resume(self) -> dict[str, Any]:
        run = self._step({"operation": "resume", **self._named()}, self._options["run_config"])
        self._changed = bool(run["changed"])
        training = run["training"]
        if self._task.check_mode:
            word = "go on with" if self._changed else "leave"
            return {**self._result(run), "msg": f"Would {word} the training {training}, which is {run['state']}."}
        self._follower.pass_over(run)
        run = self._look(run, 0)
        if not self._changed and run["finished"]:
            return self._conclude(run)
        self._say(f"training {training} " + ("goes on" if self._changed else "is under way"))
        return self._wait_for(run) if self._options["wait"] else self._result(run)

    def _stop(self) -> dict[str, Any]:
        run = self._step({"operation": "stop", **self._named()})
        self._changed = bool(run["changed"])
        if not run.get("recorded", True):
            return self._result(run)
        run = self._look(run, 0)
        if self._task.check_mode:
            return self._result(run)
        run = self._until_stopped(run)
        if not run["finished"]:
            text = f"{_called(run)} was told to stop and has not done so within {STOPPING_S} s (it is {run['status']})"
            unit = "flower-supervisor" if run["training"] else "flower-superlink"
            return {**self._result(run), "failed": True, "msg": f"{text}; look at the journal of {unit} there."}
        return self._result(run)

    def _until_stopped(self, run: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + STOPPING_S
        while not run["finished"] and time.monotonic() < deadline:
            run = self._look(run, 5)
        return run

    def _first_look(self) -> dict[str, Any]:
        """A run that exists, named by its id: that of a training stands for the training."""
        run = self._step({"operation": "status", **self._named()})
        if not run["training"] or "state" in run:
            return run
        return self._look(run, 0)

    def _wait_for(self, run: dict[str, Any]) -> dict[str, Any]:
        deadline = time.monotonic() + self._options["timeout"]
        alone_since: float | None = None
        self._follower.tell(run)
        if self._task.check_mode:
            return self._result(run)
        while not run.get("finished"):
            now = time.monotonic()
            if now >= deadline:
                return self._give_up(run)
            if _unattended(run):
                alone_since = alone_since or now
                if now - alone_since > UNSUPERVISED_S:
                    return {**self._result(run), "failed": True, "msg": f"{_called(run)} waits: {NO_SUPERVISOR}."}
            else:
                alone_since = None
            run = self._look(run, min(deadline - now, self._options["poll_interval"]))
            self._follower.tell(run)
        return self._conclude(run)

    # -- ends ------------------------------------------------------------------------------------------------------

    def _foreseen(self, app: PackedApp, run: dict[str, Any]) -> dict[str, Any]:
        settings = ", ".join(f"{key}={value}" for key, value in sorted(self._options["run_config"].items()))
        text = f"Would run the app {app.name} {app.version} ({len(app.files)} files)"
        text += f" with {settings}" if settings else ""
        if not self._changed:
            text = f"The training {run['training']} of the app {app.name} {app.version} is under way"
        # Empty values of the real answer, so that tasks which use it can be checked as well.
        nothing = {"run_id": "", "status": "", "training": "", "degraded": False, "metrics": {}}
        return {**nothing, **{key: [] for key in LISTS}, "changed": self._changed, "msg": f"{text}."}

    def _give_up(self, run: dict[str, Any]) -> dict[str, Any]:
        seconds = self._options["timeout"]
        text = f"{_called(run)} had not finished after {seconds} s ({_doing(run)})"
        # What goes on anyway, and was only waited for, is not this task's to end.
        stopped = self._options["stop_on_timeout"] and self._changed
        if stopped:
            name = {"name": run["training"]} if run["training"] else {"run_id": run["run_id"]}
            self._step({"operation": "stop", **name})
            run = self._until_stopped(self._look(run, 0))
            text += f" and was stopped (now {run['status']})"
        else:
            text += " and goes on"
        advice = "resume it with a larger timeout" if run["training"] else "give it a larger timeout or fewer rounds"
        if not stopped:
            advice = "wait for it again, or end it with state stopped"
        return {**self._result(run), "failed": True, "msg": f"{text}; {advice}."}

    def _conclude(self, run: dict[str, Any]) -> dict[str, Any]:
        result = self._result(run)
        if run["succeeded"]:
            if self._options["fetch_to"]:
                folder = Path(self._loader.path_dwim(self._options["fetch_to"]))
                result["files"], new = fetch(self._reader(run), folder, result["files"])
                result["changed"] = result["changed"] or new
                if result["files_left_out"]:
                    display.warning(f"{_called(run)}: not fetched: {'; '.join(result['files_left_out'])}")
            if run["degraded"]:
                display.warning(f"{_called(run)} completed, but {run['reason']}")
            elif run["degraded"] is None:
                display.warning(f"{_called(run)} completed; nobody knows whether results were missing in some round")
            return result
        if run["status"] == "finished:completed":
            known = run["succeeded"] is not None
            text = f"{'trained nothing' if known else 'completed, but nobody knows with what results'}: {run['reason']}"
        else:
            text = f"ended as {run['status']}: {run['reason']}"
        return {**result, "failed": True, "msg": f"{_called(run)} of the app {run['app']['name']} {text}"}

    def _result(self, run: dict[str, Any]) -> dict[str, Any]:
        kept = {key: run.get(key) for key in RETURNED}
        lists = {key: run.get(key) or [] for key in LISTS}
        words = {"training": run.get("training") or "", "run_id": run.get("run_id") or ""}
        return {**kept, **lists, **words, "metrics": final_metrics(lists["rounds"]), "changed": self._changed}

    # -- calls of the SuperLink --------------------------------------------------------------------------------------

    def _pack(self) -> PackedApp:
        try:
            return pack(self._loader.path_dwim(self._options["app"]))
        except AppError as error:
            raise AnsibleActionFail(str(error)) from error

    def _named(self) -> dict[str, str]:
        return {key: self._options[key] for key in ("name", "run_id") if self._options[key]}

    def _submit(self, app: PackedApp, supervised: bool) -> dict[str, Any]:
        """Put the packed app beside the module's own temporary files and submit it."""
        if not self._connection._shell.tmpdir:
            self._make_tmp_path()
        folder = self._connection._shell.tmpdir
        remote = self._connection._shell.join_path(folder, "app.tar.gz")
        descriptor, local = tempfile.mkstemp(suffix=".tar.gz")
        try:
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(app.archive)
            self._transfer_file(local, remote)
            self._fixup_perms2((folder, remote))
            step = {"operation": "submit", "archive": remote, "supervised": supervised, "name": self._options["name"]}
            return self._step(step, self._options["run_config"])
        finally:
            os.unlink(local)
            self._remove_tmp_path(folder)

    def _look(self, run: dict[str, Any], wait: float) -> dict[str, Any]:
        """The next look at a training or run: at its next piece of news, or after `wait` seconds."""
        name = {"name": run["training"]} if run["training"] else {"run_id": run["run_id"]}
        step = {"operation": "status", **name, "wait": round(wait, 1), "seen": run.get("progress", "")}
        lost_since: float | None = None
        while True:
            try:
                return self._step(step)
            except (AnsibleConnectionFailure, CutOff) as error:
                # A machine that shuts down ends processes first, connections later. A plain run ends with them.
                if isinstance(error, CutOff) and not run["training"]:
                    raise
                now = time.monotonic()
                if lost_since is None:
                    lost_since = now
                    self._say("connection lost, the run goes on; trying again")
                elif now - lost_since > LOST_S:
                    raise
                time.sleep(5)

    def _reader(self, run: dict[str, Any]) -> Read:
        """Reads parts of the files of a run there."""

        def read(name: str, offset: int, state: str) -> dict[str, Any]:
            step = {"operation": "file", "folder": run["output_dir"], "file": name, "offset": offset, "state": state}
            return self._call(step)

        return read

    def _step(self, step: dict[str, Any], run_config: dict[str, Any] | None = None) -> dict[str, Any]:
        return uniform(self._call(step, run_config))

    def _call(self, step: dict[str, Any], run_config: dict[str, Any] | None = None) -> dict[str, Any]:
        arguments = {"run_config": run_config or {}, "flower_home": self._options["flower_home"], "step": step}
        result = self._execute_module(module_name=MODULE, module_args=arguments, task_vars=self._vars)
        if result.get("failed"):
            text = str(result.get("msg", "the module gave no answer"))
            unanswered = result.get("_ansible_parsed") is False and result.get("rc") not in OWN_CODES
            raise CutOff(text) if unanswered or result.get("cut_off") else AnsibleActionFail(text)
        answer: dict[str, Any] = result["run"]
        return answer

    def _say(self, text: str) -> None:
        host = self._vars.get("inventory_hostname", "superlink")
        display.display(f"  {host}: {text}")


def _unattended(run: dict[str, Any]) -> bool:
    """Whether a training has no run under way, and nobody to submit one."""
    return run.get("supervised") is False and bool((run.get("run") or {}).get("finished", True))


def _doing(run: dict[str, Any]) -> str:
    return str(run.get("waiting") or run.get("status") or run["state"])


def _called(run: dict[str, Any]) -> str:
    return f"Training {run['training']}" if run["training"] else f"Run {run['run_id']}"
