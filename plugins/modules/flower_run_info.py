#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Look at what is trained, or was."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_run_info
short_description: Look at the runs and trainings of a Flower federation
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Lists the trainings that the SuperLink supervises and the runs that it knows, with state, rounds, reasons,
    checkpoints and files. Runs that somebody submitted with Flower's own command line are among them, without rounds
    and files.
  - Run it on the SuperLink host.
options:
  name:
    description: Only this training and its runs, by its whole name or by the beginning that it was given.
    type: str
    aliases: [training]
  run_id:
    description: Only this run, and the training that it belongs to, if any.
    type: str
  flower_home:
    description: Folder of the Flower runtime on the SuperLink.
    type: path
    default: /opt/flower
seealso:
  - module: opennebula.flower.flower_run
attributes:
  check_mode:
    support: full
    description: Changes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: What is going on?
  opennebula.flower.flower_run_info:
  register: known

- name: Show it
  ansible.builtin.debug:
    msg: "{{ known.trainings | map(attribute='training') | zip(known.trainings | map(attribute='state')) }}"

- name: How far is the training of this night?
  opennebula.flower.flower_run_info:
    name: night
  register: night

- name: Say it
  ansible.builtin.debug:
    msg: "{{ night.trainings[0].rounds | length }} of {{ night.trainings[0].num_rounds }} rounds"
"""

RETURN = r"""
trainings:
  description: Trainings, newest first.
  returned: success
  type: list
  elements: dict
  contains:
    training:
      description: Its whole name.
      type: str
      returned: always
    origin:
      description: Who asked for it, V(operator), or V(context) for the use case of the deployment.
      type: str
      returned: always
    state:
      description: V(waiting), V(running), V(completed), V(failed) or V(stopped).
      type: str
      returned: always
    reason:
      description: Why it waits, failed, was stopped, or is degraded.
      type: str
      returned: always
    runs:
      description: Its runs with C(run_id), C(ended), C(reason) and C(from_round), oldest first.
      type: list
      elements: dict
      returned: always
    rounds:
      description: Its rounds, as M(opennebula.flower.flower_run) returns them.
      type: list
      elements: dict
      returned: always
    num_rounds:
      description: Rounds that are planned.
      type: int
      returned: when a run has begun
    degraded:
      description:
        - Whether it completed with results missing, or rounds whose results the strategy did not use.
        - V(null) when nobody knows, because a record of its runs is lost or a log could not be read to its end.
      type: bool
      returned: always
    succeeded:
      description: Whether it completed with a result of use; V(null) when nobody knows.
      type: bool
      returned: always
    checkpoints:
      description: Folder of its checkpoints on the SuperLink; empty for an app that keeps none.
      type: str
      returned: always
    checkpoint_rounds:
      description: Rounds of the checkpoints that are there.
      type: list
      elements: int
      returned: always
    files:
      description: Files that the app wrote, with C(name), C(path) and C(size).
      type: list
      elements: dict
      returned: always
    files_left_out:
      description: Phrases about what lies among them and cannot be fetched, such as links.
      type: list
      elements: str
      returned: always
    supervised:
      description: Whether the supervisor runs.
      type: bool
      returned: always
runs:
  description: Runs, newest first, those of trainings too.
  returned: success
  type: list
  elements: dict
  contains:
    run_id:
      description: Flower's id of the run.
      type: str
      returned: always
    app:
      description: C(name) and C(version) of its app.
      type: dict
      returned: always
    training:
      description: The training that it belongs to.
      type: str
      returned: always
    recorded:
      description: Whether it was submitted through this collection, so that rounds and files are known.
      type: bool
      returned: always
    status:
      description: State in Flower's words.
      type: str
      returned: always
    reason:
      description: Why it failed, was stopped, or is degraded.
      type: str
      returned: always
    degraded:
      description:
        - Whether it completed with results missing, or rounds whose results the strategy did not use.
        - V(null) for a completed run whose rounds are unknown, such as one without a record.
      type: bool
      returned: always
    succeeded:
      description: Whether it completed with a result of use; V(null) for a completed run whose rounds are unknown.
      type: bool
      returned: always
    rounds:
      description: Its rounds.
      type: list
      elements: dict
      returned: always
    files:
      description: Files that the app wrote, with C(name), C(path) and C(size).
      type: list
      elements: dict
      returned: always
    files_left_out:
      description: Phrases about what lies among them and cannot be fetched, such as links.
      type: list
      elements: str
      returned: always
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.run_commands import RunCommands, RunFailed


def main() -> None:
    """Ansible's entry point."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "aliases": ["training"]},
            "run_id": {"type": "str"},
            "flower_home": {"type": "path", "default": "/opt/flower"},
        },
        mutually_exclusive=[("name", "run_id")],
        supports_check_mode=True,
    )
    name, run_id = module.params["name"], module.params["run_id"]
    commands = RunCommands(module.run_command, module.params["flower_home"])
    try:
        trainings = [commands.training(name)] if name else commands.trainings()
        answer = commands.runs(run_id)
    except RunFailed as error:
        module.fail_json(msg=str(error))
    runs = answer["runs"]
    if name:
        mine = {one["run_id"] for one in trainings[0]["runs"]}
        runs = [one for one in runs if one["run_id"] in mine]
    elif run_id:
        belongs = {one.get("training") for one in runs}
        trainings = [one for one in trainings if one["training"] in belongs]
    for warning in answer["warnings"]:
        module.warn(warning)
    module.exit_json(changed=False, trainings=trainings, runs=runs)


if __name__ == "__main__":
    main()
