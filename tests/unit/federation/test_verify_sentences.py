# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the role verify concludes from members that Flower lists and VMs that there are; the list is given here."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[3]
PLAY = """\
- hosts: localhost
  connection: local
  gather_facts: false
  vars:
    ansible_python_interpreter: "{{ ansible_playbook_python }}"
  tasks:
    - ansible.builtin.add_host:
        name: "{{ item.name }}"
        groups: [this_supernode]
        one_vm_id: "{{ item.vm }}"
        one_vm_name: "{{ item.vm_name }}"
        one_attributes: "{{ item.attributes }}"
      loop: "{{ given_hosts }}"
    - ansible.builtin.include_vars: "{{ verify_folder }}/defaults/main.yml"
    - ansible.builtin.include_vars: "{{ verify_folder }}/vars/main.yml"
    - ansible.builtin.set_fact:
        told: "{{ told | default({}) | combine({item.key: {'faults': verify_faults, 'wanted': verify_wanted | int}}) }}"
      vars:
        verify_members: {supernodes: "{{ item.value }}", num_partitions: 6}
      loop: "{{ cases | dict2items }}"
    - ansible.builtin.copy:
        content: "{{ told | to_json }}"
        dest: "{{ answer }}"
        mode: "0600"
"""


def member(name: str, vm: str, partition: int, status: str = "online", site: str = "local") -> dict[str, Any]:
    return {
        "site": site, "name": name, "vm_id": vm, "partition_id": partition, "node_id": f"9{partition}",
        "status": status,
    }  # fmt: skip


def concluded(folder: Path, cases: dict[str, list[dict[str, Any]]]) -> dict[str, Any]:
    """Faults and wanted number by case, of a federation with VMs 5 and 6, of which 6 was refused."""
    refused = {"FL_ADMISSION_ERROR": "All 2 partitions are in use"}
    hosts = [
        {"name": "f-supernode-5", "vm": 5, "vm_name": "supernode_0", "attributes": {}},
        {"name": "f-supernode-6", "vm": 6, "vm_name": "supernode_1", "attributes": refused},
    ]
    (folder / "play.yml").write_text(PLAY, encoding="utf-8")
    given = {
        "given_hosts": hosts, "cases": cases, "answer": str(folder / "told.json"),
        "verify_folder": str(ROOT / "roles/verify"),
    }  # fmt: skip
    (folder / "given.json").write_text(json.dumps(given), encoding="utf-8")
    done = subprocess.run(
        ["ansible-playbook", "-i", "localhost,", "play.yml", "-e", "@given.json"],
        cwd=folder, env=dict(os.environ), text=True, check=False, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
    return dict(json.loads((folder / "told.json").read_text(encoding="utf-8")))


def test_unregistered_refused_and_offline_nodes_are_named(tmp_path: Path) -> None:
    both = [member("vm-5", "5", 0), member("vm-6", "6", 1)]
    cases = {
        "well": both,
        "by hand": [member("supernode_0", "", 0), member("supernode_1", "", 1)],
        "refused": both[:1],
        "offline": [both[0], {**both[1], "status": "offline"}],
        "foreign": [*both, member("node-1", "", 2, site="hospital-b")],
        "foreign offline": [*both, member("node-1", "", 2, "offline", "hospital-b")],
        "gone": [*both, member("vm-4", "4", 2)],
        "shared": [both[0], {**both[1], "partition_id": 0}],
    }
    told = concluded(tmp_path, cases)
    faults = {name: " ".join(found["faults"]) for name, found in told.items()}
    assert [name for name, text in faults.items() if not text] == ["well", "by hand", "foreign"]
    assert faults["refused"].startswith(
        "Not registered with the SuperLink: f-supernode-6 (VM 6, refused with: All 2 partitions are in use); look at"
    )
    assert "f-supernode-5" not in faults["refused"]
    assert "1 SuperNodes are online instead of 2 (not local/vm-6: offline); look at" in faults["offline"]
    assert told["foreign"]["wanted"] == 3
    assert "2 SuperNodes are online instead of 3 (not hospital-b/node-1: offline)" in faults["foreign offline"]
    # Its VM is gone, and the registrar has not noticed yet.
    assert "3 SuperNodes are online instead of 2" in faults["gone"]
    assert "SuperNodes share a partition (0, 0)" in faults["shared"]
