# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Every variable of a role is specified, described and has one default, whichever file it is read in."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROLES = Path(__file__).resolve().parents[2] / "roles"
NAMES = sorted(path.name for path in ROLES.iterdir() if path.is_dir())


def read(role: str, file: str) -> Any:
    return yaml.safe_load((ROLES / role / file).read_text(encoding="utf-8")) or {}


def entry_points(role: str) -> dict[str, Any]:
    return dict(read(role, "meta/argument_specs.yml")["argument_specs"])


def test_there_are_roles() -> None:
    assert {"cluster", "flower_runtime", "sandbox", "superlink", "supernode"} <= set(NAMES)


@pytest.mark.parametrize("role", NAMES)
def test_defaults_equal_those_of_the_specification(role: str) -> None:
    defaults = read(role, "defaults/main.yml")
    options = {
        name: option for point in entry_points(role).values() for name, option in point.get("options", {}).items()
    }
    secret = {name for name, option in options.items() if option.get("no_log")}
    # Ansible shows the whole specification when an argument is wrong: a secret's default stays out of it.
    assert not [name for name in secret if "default" in options[name]]
    assert {name for name in secret if not options[name].get("required")} <= set(defaults)
    specified = {name: option["default"] for name, option in options.items() if "default" in option}
    assert {name: value for name, value in defaults.items() if name not in secret} == specified


@pytest.mark.parametrize("role", NAMES)
def test_entry_points_agree(role: str) -> None:
    points = entry_points(role)
    main = points["main"].get("options", {})
    for name, point in points.items():
        assert (ROLES / role / "tasks" / f"{name}.yml").is_file(), f"there are no tasks for entry point {name}"
        for option, values in point.get("options", {}).items():
            if option in main:
                assert values.get("default") == main[option].get("default"), f"{name}: {option}"


@pytest.mark.parametrize("role", NAMES)
def test_options_are_described_and_carry_the_roles_name(role: str) -> None:
    for point in entry_points(role).values():
        assert point["short_description"]
        for name, option in point.get("options", {}).items():
            assert name.startswith(f"{role}_"), f"{name} does not start with {role}_"
            assert option.get("description"), f"{name} has no description"
            assert option.get("type"), f"{name} has no type"
            assert not (option.get("required") and "default" in option), f"{name} is required and has a default"


def texts(node: Any) -> Iterator[str]:
    """Every string of a task file that Ansible evaluates; words to people may name whatever helps them."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key not in ("name", "msg", "fail_msg", "success_msg"):
                yield from texts(value)
    elif isinstance(node, list):
        for value in node:
            yield from texts(value)
    elif isinstance(node, str):
        yield node


@pytest.mark.parametrize("role", NAMES)
def test_a_role_reads_no_variable_of_another(role: str) -> None:
    """What a role needs it is given; only playbooks know several roles."""
    foreign = {
        option
        for name in NAMES
        if name != role
        for point in entry_points(name).values()
        for option in point.get("options", {})
    }
    folders = [ROLES / role / name for name in ("tasks", "handlers", "vars", "defaults")]
    files = [path for folder in folders for path in folder.glob("*.yml")]
    assert foreign and files
    for path in files:
        words = {
            word
            for text in texts(yaml.safe_load(path.read_text(encoding="utf-8")))
            for word in re.findall(r"\b[a-z][a-z0-9_]*\b", text)
        }
        assert not words & foreign, f"{path.relative_to(ROLES)}"
