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
