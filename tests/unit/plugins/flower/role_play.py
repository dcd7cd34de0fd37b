# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""One role by ansible-playbook, on a SuperLink that lies in a folder of this machine."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml
from ops_machine import OpsMachine

ROOT = Path(__file__).resolve().parents[4]
COLLECTIONS = next(
    path for path in (*ROOT.parents, ROOT / ".cache/collections") if (path / "ansible_collections").is_dir()
)
MODULES = ("flower_run", "flower_run_info", "flower_connection_info")


def play(machine: OpsMachine, folder: Path, role: str, *words: str, **variables: Any) -> tuple[int, str]:
    """Exit code and output. Variables of the host are the role's and those of a connection, which is not used."""
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **variables}
    defaults = {f"opennebula.flower.{name}": {"flower_home": str(machine.home)} for name in MODULES}
    book = [
        {
            "hosts": "superlink",
            "gather_facts": False,
            "module_defaults": defaults,
            "roles": [{"role": f"opennebula.flower.{role}"}],
        }
    ]
    (folder / "book.yml").write_text(yaml.safe_dump(book))
    (folder / "hosts.yml").write_text(json.dumps({"all": {"hosts": {"superlink": local}}}))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    settings = {"COLLECTIONS_PATH": COLLECTIONS, "LOCAL_TEMP": folder / "tmp", "REMOTE_TEMP": folder / "remote"}
    environment |= {f"ANSIBLE_{key}": str(value) for key, value in {**settings, "HOME": folder, "NOCOLOR": "1"}.items()}
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", folder / "hosts.yml", folder / "book.yml", *words],
        env={**environment, "PWD": str(folder)},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    return done.returncode, done.stdout + done.stderr
