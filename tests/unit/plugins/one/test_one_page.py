# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The page about OpenNebula is true: its play and its inventory run as they stand there, by Ansible's own commands. So
are our tasks of the page for those who come from community.general."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]


def blocks() -> list[str]:
    """The YAML blocks of the page: the play, the inventory."""
    page = (ROOT / "docs/opennebula.md").read_text(encoding="utf-8")
    return re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)


def command(cloud: Any, home: Path, program: str, *arguments: str) -> str:
    """Run one of Ansible's commands as a user of the cloud does, and return what it prints."""
    collections = next(path for path in sys.path if (Path(path) / "ansible_collections" / "opennebula").is_dir())
    result = subprocess.run(
        [str(Path(sys.executable).parent / program), *arguments],
        cwd=home,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "LC_ALL": "C.UTF-8",
            "ANSIBLE_COLLECTIONS_PATH": collections,
            "ANSIBLE_LOCALHOST_WARNING": "false",
            "ANSIBLE_INVENTORY_UNPARSED_WARNING": "false",
            "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
            "ANSIBLE_CACHE_PLUGIN": "ansible.builtin.memory",
            "ONE_URL": cloud.api["api_url"],
            "ONEFLOW_URL": cloud.api["oneflow_url"],
            "ONE_USERNAME": cloud.api["api_username"],
            "ONE_PASSWORD": cloud.api["api_password"],
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert cloud.api["api_password"] not in result.stdout + result.stderr
    return result.stdout


@pytest.fixture
def page(tmp_path: Path) -> Path:
    """A folder with the files that the page describes."""
    play, inventory = blocks()
    (tmp_path / "shop.yml").write_text(play)
    (tmp_path / "shop.opennebula.yml").write_text(inventory)
    return tmp_path


def test_the_play_runs_twice_and_its_vms_are_in_the_inventory(empty_cloud: Any, page: Path) -> None:
    empty_cloud.calls.reset()
    check = command(empty_cloud, page, "ansible-playbook", "shop.yml", "--check", "--diff")
    assert re.search(r"localhost .*changed=[1-9].* failed=0 ", check), check
    # The id of what is not there yet is its name; the warnings about it go to standard error.
    assert re.search(r'template_id"?: "?shop"?', check), check
    assert empty_cloud.calls.writes == 0, empty_cloud.calls.by_method
    first = command(empty_cloud, page, "ansible-playbook", "shop.yml")
    assert re.search(r"localhost .*changed=[1-9]", first) and re.search(r"\d+ free", first)
    empty_cloud.calls.reset()
    second = command(empty_cloud, page, "ansible-playbook", "shop.yml", "--diff")
    assert re.search(r"localhost .*changed=0 ", second), second
    assert empty_cloud.calls.writes == 0, empty_cloud.calls.by_method
    inventory = json.loads(command(empty_cloud, page, "ansible-inventory", "-i", "shop.opennebula.yml", "--list"))
    assert len(inventory["web"]["hosts"]) == 3 and len(inventory["db"]["hosts"]) == 1
    assert len(inventory["service_shop"]["hosts"]) == 4
    # The next command finds what this one has read.
    empty_cloud.calls.reset()
    cached = command(empty_cloud, page, "ansible-inventory", "-i", "shop.opennebula.yml", "--list")
    assert json.loads(cached) == inventory
    assert empty_cloud.calls.total == 0, empty_cloud.calls.by_method
    check = command(empty_cloud, page, "ansible-playbook", "shop.yml", "--check", "--diff")
    assert re.search(r"localhost .*changed=0 ", check), check


def test_our_tasks_in_the_comparison_run(empty_cloud: Any) -> None:
    page = (ROOT / "docs/comparison.md").read_text(encoding="utf-8")
    found = re.findall(r"^```yaml\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    tasks = {key: task[key] for block in found for task in yaml.safe_load(block) for key in task}
    for name in ("debian-12", "shop"):
        empty_cloud.converge("one_template", name=name, template={"CPU": 1, "MEMORY": 64})
    body = {
        "roles": [{"name": "web", "type": "vm", "template": "shop", "cardinality": 1}],
        "user_inputs": {"STAGE": "O|text|Stage|| "},
    }
    empty_cloud.converge("one_service_template", name="shop", template=body)
    vms = empty_cloud.converge("one_vm", **tasks["opennebula.flower.one_vm"])["vms"]
    assert [vm["name"] for vm in vms] == ["web-0", "web-1", "web-2"]
    assert {(vm["memory"], vm["permissions"]) for vm in vms} == {(2048, "640")}
    service = empty_cloud.converge("one_service", **tasks["opennebula.flower.one_service"])["service"]
    assert service["roles"]["web"]["cardinality"] == 3 and service["permissions"] == "640"
