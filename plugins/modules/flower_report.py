#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write the report of a training run."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_report
short_description: Write the report of a training run as one HTML file
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Turns the result of M(opennebula.flower.flower_run) into one self-contained HTML file with loss and accuracy per
    round as pictures, a table of rounds, nodes, network traffic, duration and versions.
  - The file needs no network and no script, and follows the reader's light or dark setting.
  - Run it where the file shall lie, usually on the control machine.
options:
  run:
    description: What M(opennebula.flower.flower_run) returned, of a good run or a bad one.
    type: dict
    required: true
  dest:
    description: The HTML file. Its directory is made if missing.
    type: path
    required: true
    aliases: [path]
  title:
    description: Title of the report.
    type: str
    default: Training run
attributes:
  check_mode:
    support: full
    description: Says whether the file would change.
  diff_mode:
    support: none
    description: A difference of two reports tells a person nothing.
"""

EXAMPLES = r"""
- name: Write the report
  opennebula.flower.flower_report:
    run: "{{ training }}"
    dest: "{{ playbook_dir }}/reports/training.html"
    title: Digits on the demo federation
  delegate_to: localhost
"""

RETURN = r"""
path:
  description: The file.
  returned: success
  type: str
size:
  description: Its size in bytes.
  returned: when there is a run to draw
  type: int
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.report import render


def main() -> None:
    """Render the run and write the file if it differs."""
    module = AnsibleModule(
        argument_spec={
            "run": {"type": "dict", "required": True},
            "dest": {"type": "path", "required": True, "aliases": ["path"]},
            "title": {"type": "str", "default": "Training run"},
        },
        supports_check_mode=True,
    )
    run, dest = module.params["run"], module.params["dest"]
    if not run.get("run_id") and module.check_mode:
        # flower_run submits nothing in check mode, so there is nothing to draw yet.
        module.exit_json(changed=True, path=dest)
    if not run.get("run_id"):
        module.fail_json(msg="run holds no run_id; give it the registered result of opennebula.flower.flower_run.")
    content = render(run, module.params["title"]).encode()
    try:
        changed = not os.path.exists(dest) or _read(dest) != content
        if changed and not module.check_mode:
            _write(module, dest, content)
    except OSError as error:
        module.fail_json(msg=f"Cannot write the report {dest}: {error.strerror}; choose another dest.")
    module.exit_json(changed=changed, path=dest, size=len(content))


def _read(path: str) -> bytes:
    with open(path, "rb") as stream:
        return stream.read()


def _write(module: AnsibleModule, dest: str, content: bytes) -> None:
    os.makedirs(os.path.dirname(os.path.abspath(dest)), exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=module.tmpdir)
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
    module.atomic_move(temporary, dest)


if __name__ == "__main__":
    main()
