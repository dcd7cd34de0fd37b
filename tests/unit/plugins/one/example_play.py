# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Runs tasks of documentation as a play."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from proof_cloud import COLLECTIONS

ROOT = Path(__file__).resolve().parents[4]


def run_playbook(folder: Path, tasks: list[dict[str, Any]], **play: Any) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine as a play of its own."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    hosts = {
        "superlink": {**local, "superlink_node": {"node": {"ca_cert": "-----BEGIN CERTIFICATE-----"}}},
        "node-1": {**local, "supernode_identity": {"node": {"node_pubkey": "ecdsa-sha2-nistp384 AAAA"}}},
        "localhost": local,
    }
    (folder / "playbooks").mkdir()
    (folder / "demos").symlink_to(ROOT / "demos")
    (folder / "playbooks/apps").symlink_to(ROOT / "roles/superlink/files/use_cases")
    book = folder / "playbooks" / "examples.yml"
    book.write_text(
        yaml.safe_dump([{"hosts": "superlink", "gather_facts": False, "tasks": tasks, **play}]), encoding="utf-8"
    )
    inventory = folder / "hosts.yml"
    inventory.write_text(yaml.safe_dump({"all": {"hosts": hosts}}), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", str(inventory), str(book)],
        env={
            **{key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")},
            "ANSIBLE_COLLECTIONS_PATH": COLLECTIONS,
            "ANSIBLE_LOCAL_TEMP": str(folder / "tmp"),
            "ANSIBLE_REMOTE_TEMP": str(folder / "remote"),
            "ANSIBLE_HOME": str(folder / "home"),
            "ANSIBLE_NOCOLOR": "true",
        },
        capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
