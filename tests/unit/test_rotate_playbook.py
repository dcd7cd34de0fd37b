# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The order in which the playbook rotate asks the hosts, with an agent that only notes what it is asked."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
COLLECTIONS = next(
    path for path in (*ROOT.parents, ROOT / ".cache/collections") if (path / "ansible_collections").is_dir()
)
# Notes its host and words, and answers as the real one does.
AGENT = """#!/bin/sh
cat >/dev/null
echo "$NODE $2" >> {notes}
case "$2 $NODE" in
  "node-key {broken}") echo '{{"changed": false, "message": "It is broken."}}'; exit 1 ;;
  server*) row='{{"what": "server certificate", "before": "aaaa", "after": "bbbb", "valid_until": "2027-01-01"}}' ;;
  ca-begin*) row='{{"what": "authority (begun)", "before": "cccc", "after": "dddd", "valid_until": "2036-01-01"}}' ;;
  ca-finish*) row='{{"what": "authority", "before": "cccc", "after": "dddd", "valid_until": "2036-01-01"}}' ;;
  node-key*) row='{{"what": "node key", "before": "eeee", "after": "ffff", "valid_until": ""}}' ;;
esac
echo "{{\\"changed\\": true, \\"replaced\\": [$row]}}"
"""


def rotate(folder: Path, what: list[str], broken: str = "nobody") -> tuple[list[str], str]:
    """Run the plays that rotate on three hosts; returns (words to the agents in their order, output)."""
    notes = folder / "notes"
    notes.write_text("")
    plays: list[dict[str, Any]] = yaml.safe_load((ROOT / "playbooks/rotate.yml").read_text(encoding="utf-8"))[1:]
    for play in plays:
        for key in ("pre_tasks", "vars_files"):
            play.pop(key)
        play["roles"] = [role for role in play.get("roles", []) if not role["role"].endswith(".verify")]
        play["environment"] = {"NODE": "{{ inventory_hostname }}"}
        play["module_defaults"] = {"opennebula.flower.flower_rotate": {"binary": str(folder / "flower-ops")}}
    agent = folder / "flower-ops"
    agent.write_text(AGENT.format(notes=notes, broken=broken))
    agent.chmod(0o755)
    (folder / "book.yml").write_text(yaml.safe_dump(plays))
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    groups = {
        "this_superlink": {"hosts": {"superlink": local}},
        "this_supernode": {"hosts": {"node-1": local, "node-2": local}},
    }
    (folder / "hosts.yml").write_text(yaml.safe_dump({"all": {"children": groups, "vars": {"rotate_what": what}}}))
    environment = {key: value for key, value in os.environ.items() if not key.startswith("ANSIBLE_")}
    settings = {"COLLECTIONS_PATH": COLLECTIONS, "LOCAL_TEMP": folder / "tmp", "REMOTE_TEMP": folder / "remote"}
    environment |= {f"ANSIBLE_{key}": str(value) for key, value in {**settings, "HOME": folder, "NOCOLOR": "1"}.items()}
    done = subprocess.run(
        [sys.executable, "-m", "ansible.cli.playbook", "-i", folder / "hosts.yml", folder / "book.yml"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert bool(done.returncode) == (broken != "nobody"), done.stdout + done.stderr
    return notes.read_text().splitlines(), done.stdout


def test_an_authority_overlaps_and_keys_follow_one_by_one(tmp_path: Path) -> None:
    asked, output = rotate(tmp_path, ["server", "ca", "node_keys"])
    assert asked[:2] == ["superlink idle", "superlink ca-begin"]
    assert sorted(asked[2:4]) == sorted(asked[5:7]) == ["node-1 trust", "node-2 trust"]
    assert asked[4] == "superlink ca-finish" and asked[7:] == [
        "node-1 idle", "node-1 node-key", "node-2 idle", "node-2 node-key"
    ]  # fmt: skip
    table = [line for line in output.splitlines() if "->" in line and "valid until" in line]
    assert len(table) == 3 and "begun" not in output.partition("Show what was replaced")[2]
    assert all(word in table[0] for word in ("superlink", "cccc", "dddd", "2036-01-01"))
    assert "node-1" in table[1] and "node-2" in table[2] and "eeee" in table[2]


def test_a_node_that_fails_stops_the_keys_of_the_others(tmp_path: Path) -> None:
    asked, output = rotate(tmp_path, ["node_keys"], broken="node-1")
    assert asked == ["superlink idle", "node-1 idle", "node-1 node-key"] and "It is broken." in output
