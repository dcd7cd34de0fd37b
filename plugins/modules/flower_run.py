#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Train: run a Flower app on a federation."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_run
short_description: Run a Flower app on a federation and follow it to its end
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Hands an app directory of the control machine to the SuperLink, prints a line per round while it runs, and returns
    rounds, metrics and files. Also waits for, stops or goes on with what was handed over before.
  - An app that keeps checkpoints becomes a I(training), which the supervisor of the SuperLink sees to its end. It
    submits a run when enough nodes are online, and another one, from the last checkpoint, when a crash or reboot ended
    the first. Other apps are submitted once, as a I(run); Flower never goes on with one that broke.
  - Both are judged by their state as Flower reports it and by the results that rounds received, never by exit codes.
    What Flower calls completed although no node returned anything fails the task.
  - Run it on the SuperLink host.
notes:
  - The SuperLink stays reachable for Flower's own command line; M(opennebula.flower.flower_run_info) shows runs that
    were submitted with it too, and O(state=stopped) stops them.
options:
  app:
    description:
      - Directory of the Flower app on the control machine, the one that holds C(pyproject.toml).
      - Only files of the kinds that Flower bundles are handed over (Python, TOML, Markdown, YAML, JSON, C(LICENSE)).
      - Needed with O(state=started), and with O(state=finished) unless O(name) or O(run_id) names what runs already.
    type: path
  state:
    description:
      - V(finished) submits O(app) and waits for its end. Without O(app) it only waits for the training or run that
        O(name) or O(run_id) names, for example one that an earlier task started.
      - V(started) hands O(app) over and does not wait.
      - V(stopped) stops a training or run. Checkpoints and files stay. One that has ended stays as it is.
      - V(resumed) goes on with a training that has ended, from its newest checkpoint, for example with more rounds in
        O(run_config). One that has completed all its rounds stays as it is. So does one that is under way; where
        O(run_config) has other values, another run with them follows its present one.
    type: str
    choices: [finished, started, stopped, resumed]
    default: finished
  name:
    description:
      - Name of a training. With O(app), the beginning of the name that it gets (the app's own by default). While a
        training of that name, with the same app and values, is under way, no second one is begun; with another app or
        other values the task fails.
      - Without O(app), the training that is meant, by its whole name or by the beginning that it was given; of several,
        the one that is under way, else the latest.
    type: str
    aliases: [training]
  run_id:
    description: Flower's id of a run that exists. The run of a training stands for the training.
    type: str
  supervised:
    description:
      - Whether the app is handed to the supervisor, so that the training outlives a crash.
      - By default, apps are whose configuration declares C(training) and C(checkpoint-path), as those do that train
        with C(flower_ops.training). Others can be, but they have nothing to go on from.
    type: bool
  run_config:
    description:
      - Overrides of the app's C([tool.flwr.app.config]).
      - A key that the app does not declare is refused, and a value is converted to the declared type.
    type: dict
    default: {}
  wait:
    description: Whether O(state=resumed) waits for the end.
    type: bool
    default: true
  timeout:
    description: Seconds after which the task fails when the run or training has not finished.
    type: int
    default: 3600
  stop_on_timeout:
    description:
      - Whether what has not finished after O(timeout) is stopped, if this task began it or made it go on.
      - What was under way before and is only waited for goes on in any case.
    type: bool
    default: true
  poll_interval:
    description:
      - Seconds that one look waits for news on the SuperLink, at most. Rounds and states are news, so they are shown at
        once whatever the number.
      - Every look is one connection; a small number only costs more of them.
    type: int
    default: 20
  fetch_to:
    description:
      - Directory on the control machine for the files that the app wrote, such as the model. It is made if missing.
      - An app gets a folder for its files through its configuration key C(output-dir), if it declares one.
      - Fetched are regular files, at most 1000 of them and 8 GiB. Checkpoints and hidden files stay where they are.
        What else is left out, such as links, is told in a warning and in RV(files_left_out).
    type: path
  flower_home:
    description: Folder of the Flower runtime on the SuperLink.
    type: path
    default: /opt/flower
  step:
    description: Set by the action plugin, which calls this module several times. Leave it unset.
    type: dict
    default: {}
seealso:
  - module: opennebula.flower.flower_run_info
  - module: opennebula.flower.flower_report
attributes:
  check_mode:
    support: full
    description: Has the SuperLink check the app and its configuration, and submits nothing.
  diff_mode:
    support: none
    description: A run is an event, it has no state to compare.
"""

EXAMPLES = r"""
- name: Train the demo app for five rounds
  opennebula.flower.flower_run:
    app: "{{ playbook_dir }}/../demos/sklearn"
    run_config:
      num-server-rounds: 5
    fetch_to: "{{ playbook_dir }}/reports"
    timeout: 900
  register: training

- name: Fail below a wanted accuracy
  ansible.builtin.assert:
    that: training.metrics.accuracy >= 0.9

- name: Begin a long training, and no second one while it is under way (after its end, this begins a new one)
  opennebula.flower.flower_run:
    app: "{{ playbook_dir }}/../demos/pytorch"
    name: night
    state: started
    run_config:
      num-server-rounds: 200

- name: Wait for it in the morning, and fetch the model
  opennebula.flower.flower_run:
    name: night
    fetch_to: "{{ playbook_dir }}/reports"

- name: Fifty rounds more
  opennebula.flower.flower_run:
    name: night
    state: resumed
    run_config:
      num-server-rounds: 250

- name: End it
  opennebula.flower.flower_run:
    name: night
    state: stopped
"""

RETURN = r"""
training:
  description: Whole name of the training; empty for a run that is not supervised.
  returned: success
  type: str
  sample: digits-3f9a21c0
run_id:
  description: Flower's id of the run, of a training the latest one. A string, because it is an unsigned 64-bit number.
  returned: success
  type: str
  sample: "10294912736111219735"
runs:
  description: The runs of the training, oldest first; of a run that is not supervised, that one.
  returned: success
  type: list
  elements: dict
  contains:
    run_id:
      description: Flower's id of the run.
      type: str
      returned: always
    ended:
      description:
        - How it ended. V(done), V(stopped), V(app) (by an error of the app), V(broken) (by what carried it; another run
          may go on), or V(failed) where nobody supervised it. None while it goes on.
      type: str
      returned: always
    reason:
      description: Why it ended.
      type: str
      returned: always
    from_round:
      description: Round of the checkpoint from which it went on, 0 for the beginning.
      type: int
      returned: always
status:
  description: State in Flower's words, V(finished:completed) when all is well.
  returned: success
  type: str
reason:
  description: Why it failed, was stopped, or is degraded.
  returned: success
  type: str
degraded:
  description:
    - Whether it completed although fewer results, or evaluations, than chosen nodes came back in a round, or the
      strategy used none of them, for example because they were too few for it. RV(reason) names the rounds and says
      why.
    - V(null) when nobody knows, because the log of a run could not be read to its end.
  returned: success
  type: bool
rounds:
  description:
    - One entry per round with C(round), C(train), C(evaluate), C(central) (metrics or null), C(nodes) chosen,
      C(results), C(failures), C(errors) (of nodes, the first ones), C(dropped) (why the strategy used none of the
      results, or null), C(seconds) and C(run_id).
    - A round that a later run of the training did again is there once, as it was done last.
  returned: success
  type: list
  elements: dict
metrics:
  description: Metrics of the last round; on central test data if the app evaluates there, else from the nodes.
  returned: success
  type: dict
  sample: {accuracy: 0.955, loss: 0.175}
files:
  description: Files that the app wrote, with C(name), C(path) on the SuperLink, C(size) and, when fetched, C(dest).
  returned: success
  type: list
  elements: dict
files_left_out:
  description: Phrases about what lies in the folder of files and cannot be fetched, such as links.
  returned: success
  type: list
  elements: str
  sample: [latest.npz is a link]
checkpoint_rounds:
  description: Rounds of the checkpoints that are kept.
  returned: success
  type: list
  elements: int
duration_s:
  description: Seconds from the start to the end; of a training, those of its runs together.
  returned: when it has finished
  type: float
nodes:
  description: Nodes chosen in the last round.
  returned: when a round was run
  type: int
bytes_sent:
  description: Bytes that the SuperLink sent to nodes.
  returned: when it has finished
  type: int
bytes_recv:
  description: Bytes that the SuperLink received from nodes.
  returned: when it has finished
  type: int
versions:
  description: Versions of C(flwr), C(flower_ops) and C(python) on the SuperLink.
  returned: when a run was submitted
  type: dict
log_tail:
  description: Last lines of the latest run's log.
  returned: success
  type: list
  elements: str
"""

from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.run_commands import (
    RunCommands,
    RunCutOff,
    RunFailed,
)
from ansible_collections.opennebula.flower.plugins.module_utils.flower.run_options import OPTIONS


def main() -> None:
    """One step on the SuperLink: submit, status, file, stop or resume."""
    module = AnsibleModule(argument_spec={**OPTIONS, "step": {"type": "dict", "default": {}}}, supports_check_mode=True)
    commands = RunCommands(module.run_command, module.params["flower_home"])
    try:
        answer = perform(commands, module.params["step"], module.params["run_config"], module.check_mode)
    except RunFailed as error:
        module.fail_json(msg=str(error), cut_off=isinstance(error, RunCutOff))
    module.exit_json(changed=bool(answer.get("changed")), run=answer)


def perform(commands: RunCommands, step: dict[str, Any], run_config: dict[str, Any], check: bool) -> dict[str, Any]:
    """The answer of flower-ops with `changed`; RunFailed where it refuses, or the step is none."""
    operation = step.get("operation")
    if operation == "submit":
        if check and not commands.installed:
            # Played in check mode before the playbook that would make this machine a SuperLink.
            return {"changed": True}
        if step.get("supervised"):
            return commands.start(step["archive"], run_config, step.get("name"), check)
        return {**commands.submit(step["archive"], run_config, check), "changed": True}
    if operation == "status":
        wait, seen = float(step.get("wait", 0)), step.get("seen")
        if step.get("name"):
            return {**commands.training(step["name"], wait, seen), "changed": False}
        return {**commands.status(step["run_id"], wait, seen), "changed": False}
    if operation == "file":
        return {**commands.file(step["folder"], step["file"], int(step["offset"]), step["state"]), "changed": False}
    if operation == "stop":
        return stop(commands, step, check)
    if operation == "resume":
        return commands.resume(step.get("name") or training_of(commands, step["run_id"]), run_config, check)
    raise RunFailed("flower_run works through its action plugin; call it as opennebula.flower.flower_run.")


def stop(commands: RunCommands, step: dict[str, Any], check: bool) -> dict[str, Any]:
    """Stop a training, by its name or one of its runs, or a run."""
    if step.get("name"):
        return commands.withdraw(step["name"], check)
    (run,) = commands.runs(step["run_id"])["runs"]
    if run.get("training"):
        return commands.withdraw(run["training"], check)
    if check or run["finished"]:
        return {**run, "changed": not run["finished"]}
    stopped = commands.stop(step["run_id"])
    return {**stopped, "recorded": run["recorded"], "changed": stopped["stopped"]}


def training_of(commands: RunCommands, run_id: str) -> str:
    """The training that a run belongs to; RunFailed where it belongs to none."""
    (run,) = commands.runs(run_id)["runs"]
    if not run.get("training"):
        raise RunFailed(
            f"Run {run_id} belongs to no training, so nothing was kept from which it could go on; submit its app again."
        )
    return str(run["training"])


if __name__ == "__main__":
    main()
