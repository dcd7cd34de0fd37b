#!/usr/bin/python
# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Judge a privacy audit and write its report."""

from __future__ import annotations

DOCUMENTATION = r"""
module: flower_audit_report
short_description: Judge a privacy audit and write it down as one HTML file
version_added: 0.1.0
author:
  - opennebula.flower contributors (@opennebula)
description:
  - Takes what M(opennebula.flower.flower_audit) returned on all hosts of a federation, says whether samples left their
    node, and writes verdict and figures into one self-contained HTML file.
  - Run it on the control machine. It does not fail for a leak; a task that looks at RV(verdict) does.
attributes:
  check_mode:
    support: full
    description: Judges and writes nothing.
  diff_mode:
    support: none
    description: A difference of two reports tells a person nothing.
options:
  run:
    description: What M(opennebula.flower.flower_run) returned.
    type: dict
    required: true
  superlink:
    description: The SuperLink, with C(name), and as C(disk) the answer of the step V(search).
    type: dict
    required: true
  nodes:
    description: SuperNodes likewise, and with the answers of V(fingerprint) as C(samples) and V(stop) as C(network).
    type: list
    elements: dict
    required: true
  restarted:
    description: Whether SuperNodes connected anew during the capture, so that a TLS handshake must have been seen.
    type: bool
    default: true
  known_places:
    description: Beginnings of paths, on any of the hosts, where samples may lie.
    type: list
    elements: str
    default: []
  dest:
    description: The HTML file. Its directory is made if missing.
    type: path
    required: true
  title:
    description: Title of the report.
    type: str
    default: Privacy audit
seealso:
  - module: opennebula.flower.flower_audit
"""

EXAMPLES = r"""
- name: Judge
  opennebula.flower.flower_audit_report:
    run: "{{ audit_run }}"
    superlink: "{{ audit_superlink }}"
    nodes: "{{ audit_nodes }}"
    dest: reports/privacy.html
  register: judged

- name: No sample has left its node
  ansible.builtin.assert:
    that: judged.verdict == 'clean'
"""

RETURN = r"""
verdict:
  description:
    - V(clean) when nothing was found by means that would have found it, V(leak) when samples were seen elsewhere or
      bytes went where none should go, V(unproven) when something is missing for either.
  returned: success
  type: str
failures:
  description: What speaks against V(clean), each with C(kind), C(node) (empty for all of them) and C(text).
  returned: success
  type: list
  elements: dict
nodes:
  description: Figures of each node, as in the report.
  returned: success
  type: list
  elements: dict
lines:
  description: The same as a table of text.
  returned: success
  type: list
  elements: str
path:
  description: The file.
  returned: success
  type: str
"""

import os
import tempfile

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.opennebula.flower.plugins.module_utils.flower.audit_page import render
from ansible_collections.opennebula.flower.plugins.module_utils.flower.audit_verdict import judge, table


def main() -> None:
    """Judge and write."""
    module = AnsibleModule(
        argument_spec={
            "run": {"type": "dict", "required": True},
            "superlink": {"type": "dict", "required": True},
            "nodes": {"type": "list", "elements": "dict", "required": True},
            "restarted": {"type": "bool", "default": True},
            "known_places": {"type": "list", "elements": "str", "default": []},
            "dest": {"type": "path", "required": True},
            "title": {"type": "str", "default": "Privacy audit"},
        },
        supports_check_mode=True,
    )
    audit = {key: module.params[key] for key in ("run", "superlink", "nodes", "restarted", "known_places")}
    for machine, parts in [
        (audit["superlink"], ("name", "disk")),
        *((node, ("name", "samples", "network", "disk")) for node in audit["nodes"]),
    ]:
        missing = [part for part in parts if not machine.get(part)]
        if missing:
            module.fail_json(
                msg=f"{machine.get('name') or 'A host'} lacks {' and '.join(missing)}: a step of the audit was not "
                "taken there, so there is nothing to judge."
            )
    judged = judge(audit)
    dest, content = module.params["dest"], render(audit, judged, module.params["title"]).encode()
    try:
        if not module.check_mode:
            os.makedirs(os.path.dirname(os.path.abspath(dest)), exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=module.tmpdir)
            with os.fdopen(descriptor, "wb") as stream:
                stream.write(content)
            module.atomic_move(temporary, dest)
    except OSError as error:
        module.fail_json(msg=f"Cannot write the report {dest}: {error.strerror}; choose another dest.")
    module.exit_json(changed=True, path=dest, lines=table(judged["nodes"]), **judged)


if __name__ == "__main__":
    main()
