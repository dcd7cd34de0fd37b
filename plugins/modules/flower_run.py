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
    rounds, metrics and files.
  - A run is judged by its state as Flower reports it and by the results that its rounds received, never by exit codes.
    A run that Flower calls completed although no node returned anything fails the task.
  - Run it on the SuperLink host.
notes:
  - The SuperLink stays reachable for Flower's own command line; runs submitted with it do not appear here.
options:
  app:
    description:
      - Directory of the Flower app on the control machine, the one that holds C(pyproject.toml).
      - Only files of the kinds that Flower bundles are handed over (Python, TOML, Markdown, YAML, JSON, C(LICENSE)).
    type: path
    required: true
  run_config:
    description:
      - Overrides of the app's C([tool.flwr.app.config]).
      - A key that the app does not declare is refused, and a value is converted to the declared type.
    type: dict
    default: {}
  timeout:
    description: Seconds from submission after which a run that has not finished is given up.
    type: int
    default: 3600
  stop_on_timeout:
    description: Whether a run that is given up is stopped.
    type: bool
    default: true
  poll_interval:
    description:
      - Seconds that one look at the run waits for news on the SuperLink, at most. Rounds and states are news, so they
        are shown at once whatever the number.
      - Every look is one connection; a small number only costs more of them.
    type: int
    default: 20
  fetch_to:
    description:
      - Directory on the control machine for the files that the app wrote, such as the model. It is made if missing.
      - An app gets a folder for its files through its configuration key C(output-dir), if it declares one.
    type: path
  flower_home:
    description: Folder of the Flower runtime on the SuperLink.
    type: path
    default: /opt/flower
  step:
    description: Set by the action plugin, which calls this module several times. Leave it unset.
    type: dict
    default: {}
attributes:
  check_mode:
    support: full
    description: Checks the app and says what would be run; nothing is submitted.
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
"""

RETURN = r"""
run_id:
  description: Flower's id of the run. A string, because it is an unsigned 64-bit number.
  returned: when a run was submitted
  type: str
  sample: "10294912736111219735"
status:
  description: State of the run, V(finished:completed) when all is well.
  returned: when a run was submitted
  type: str
reason:
  description: Why a run failed, was stopped, or is degraded.
  returned: when a run was submitted
  type: str
degraded:
  description: Whether a completed run received fewer results than it chose nodes, in any round.
  returned: when a run was submitted
  type: bool
rounds:
  description:
    - One entry per round with C(round), C(train), C(evaluate), C(central) (metrics or null), C(nodes) chosen,
      C(results), C(failures), C(errors) and C(seconds).
  returned: when a run was submitted
  type: list
  elements: dict
metrics:
  description: Metrics of the last round; on central test data if the app evaluates there, else from the nodes.
  returned: when a run was submitted
  type: dict
  sample: {accuracy: 0.955, loss: 0.175}
files:
  description: Files that the app wrote, with C(name), C(path) on the SuperLink, C(size) and, when fetched, C(dest).
  returned: when a run was submitted
  type: list
  elements: dict
duration_s:
  description: Seconds from the start of the run to its end.
  returned: when the run has finished
  type: float
nodes:
  description: Nodes chosen in the last round.
  returned: when a run was submitted
  type: int
bytes_sent:
  description: Bytes that the SuperLink sent to nodes in this run.
  returned: when the run has finished
  type: int
bytes_recv:
  description: Bytes that the SuperLink received from nodes in this run.
  returned: when the run has finished
  type: int
versions:
  description: Versions of C(flwr), C(flower_ops) and C(python) on the SuperLink.
  returned: when a run was submitted
  type: dict
log_tail:
  description: Last lines of the run's log.
  returned: when a run was submitted
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.run_commands import RunCommands, RunFailed


def main() -> None:
    """One step on the SuperLink: submit, status or stop."""
    module = AnsibleModule(
        argument_spec={
            "app": {"type": "path", "required": True},
            "run_config": {"type": "dict", "default": {}},
            "timeout": {"type": "int", "default": 3600},
            "stop_on_timeout": {"type": "bool", "default": True},
            "poll_interval": {"type": "int", "default": 20},
            "fetch_to": {"type": "path"},
            "flower_home": {"type": "path", "default": "/opt/flower"},
            "step": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    step = module.params["step"]
    commands = RunCommands(module.run_command, module.params["flower_home"])
    operation = step.get("operation")
    try:
        if operation == "submit" and not module.check_mode:
            answer = commands.submit(step["archive"], module.params["run_config"])
        elif operation == "status":
            answer = commands.status(step["run_id"], float(step.get("wait", 0)), step.get("seen"))
        elif operation == "stop" and not module.check_mode:
            answer = commands.stop(step["run_id"])
        elif module.check_mode:
            answer = {}
        else:
            module.fail_json(msg="flower_run works through its action plugin; call it as opennebula.flower.flower_run.")
    except RunFailed as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=operation != "status", run=answer)


if __name__ == "__main__":
    main()
