# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What holds for the order of plays, where only a whole cloud would show it otherwise."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
ADDING = ("add_host", "inventory.yml", "known.yml", "known")


def words(value: Any) -> set[str]:
    """All texts of a playbook or a list of tasks, names of modules without their collection."""
    if isinstance(value, dict):
        return words(list(value)) | words(list(value.values()))
    if isinstance(value, list):
        return set().union(*map(words, value))
    return {str(value).removeprefix("ansible.builtin.")}


def test_scaling_down_leaves_no_removed_vm_in_the_inventory() -> None:
    scale = yaml.safe_load((ROOT / "playbooks/scale.yml").read_text(encoding="utf-8"))
    walk = next(number for number, play in enumerate(scale) if "single_site.yml" in words(play))
    entry = yaml.safe_load((ROOT / "roles/cluster/tasks/exists.yml").read_text(encoding="utf-8"))
    assert "exists" in words(scale[:walk])
    assert not words(scale[:walk]) & set(ADDING)
    assert not words(entry) & set(ADDING)
    known = yaml.safe_load((ROOT / "roles/cluster/tasks/known.yml").read_text(encoding="utf-8"))
    assert words(known) & set(ADDING)


def plays(name: str) -> list[dict[str, Any]]:
    return list(yaml.safe_load((ROOT / f"playbooks/{name}.yml").read_text(encoding="utf-8")))


def test_no_play_that_configures_vms_is_for_those_that_configure_themselves() -> None:
    configuring = [play for play in plays("single_site") if "opennebula.flower.flower_runtime" in words(play)]
    assert len(configuring) == 2
    assert all(play["hosts"].endswith(":!not_configured_from_here") for play in configuring)
    # The group exists before, also where nobody is in it: Ansible warns of one that it does not know.
    present = yaml.safe_load((ROOT / "roles/cluster/tasks/present.yml").read_text(encoding="utf-8"))
    grouping = next(number for number, task in enumerate(present) if "group_by" in words(list(task)))
    waiting = next(number for number, task in enumerate(present) if "hosts.yml" in words(task))
    assert grouping < waiting


def test_playbooks_that_find_vms_without_a_service_ask_for_no_oneflow() -> None:
    for name in ("plain_vms", "train", "connect", "verify", "teardown", "privacy_audit"):
        [role] = [
            role
            for play in plays(name)
            for role in play.get("roles", [])
            if role["role"] == "opennebula.flower.federation"
        ]
        assert role["vars"] == {"federation_oneflow": False}, name


def test_every_play_on_vms_gets_the_variables_of_nodes() -> None:
    for name in ("single_site", "plain_vms", "train", "connect", "verify", "privacy_audit"):
        for play in plays(name):
            if str(play.get("hosts", "")).startswith("this_"):
                assert play["vars_files"][0] == "vars/node.yml", name
