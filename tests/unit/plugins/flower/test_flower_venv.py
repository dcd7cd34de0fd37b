# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Environments and the links to them. Installing is played by a function here; molecule does it for real."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path
from typing import Any

import pytest
from ansible_collections.opennebula.flower.plugins.modules import flower_venv
from module_runner import ModuleResult, run_module

INSTALL = flower_venv.install


class Machine:
    """/opt/flower below a folder; `installed` are the digests in the order in which they were installed."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.home = root / "opt/flower"
        self.installed: list[str] = []
        monkeypatch.setattr(flower_venv, "install", self._install)

    def _install(self, archive: Path, environment: Path) -> None:
        environment.mkdir(parents=True)
        if archive.name == "broken.tar":
            raise flower_venv.InstallError("Installing the wheels failed: no space left")
        self.installed.append(environment.name)

    def venv(self, digest: str, path: str, *links: str, check: bool = False, archive: str = "a.tar") -> ModuleResult:
        given: dict[str, Any] = {
            "archive": str(self.home / archive),
            "digest": digest,
            "path": str(self.home / path),
            "links": [str(self.home / link) for link in links],
            "environments": str(self.home / "venvs"),
        }
        return run_module("flower_venv", given, check)

    def names(self, link: str) -> str:
        return Path(os.readlink(self.home / link)).name

    @property
    def environments(self) -> list[str]:
        return sorted(path.name for path in (self.home / "venvs").iterdir())


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    return Machine(tmp_path, monkeypatch)


def test_one_environment_under_two_names(machine: Machine) -> None:
    planned = machine.venv("a1", "venv", "frameworks/sklearn", check=True)
    assert planned["changed"] and not machine.home.exists()
    done = machine.venv("a1", "venv", "frameworks/sklearn")
    assert done["changed"] and done["diff"]["before"] == "" and "frameworks/sklearn -> " in done["diff"]["after"]
    assert machine.names("venv") == machine.names("frameworks/sklearn") == "a1"
    assert not machine.venv("a1", "venv", "frameworks/sklearn")["changed"]
    assert machine.installed == ["a1"]


def test_a_second_framework_leaves_the_first_alone(machine: Machine) -> None:
    machine.venv("a1", "venv", "frameworks/sklearn")
    machine.venv("b1", "frameworks/pytorch")
    assert machine.environments == ["a1", "b1"]
    assert (machine.names("venv"), machine.names("frameworks/pytorch")) == ("a1", "b1")


def test_the_former_environment_stays_and_older_ones_go(machine: Machine) -> None:
    machine.venv("b1", "frameworks/pytorch")
    for digest in ("a1", "a2", "a3"):
        machine.venv(digest, "venv", "frameworks/sklearn")
    assert machine.environments == ["a2", "a3", "b1"]
    back = machine.venv("a2", "venv", "frameworks/sklearn")
    assert back["changed"] and machine.names("venv") == "a2"
    assert machine.installed.count("a2") == 1


def test_a_lost_link_comes_back_without_an_installation(machine: Machine) -> None:
    machine.venv("a1", "venv", "frameworks/sklearn")
    (machine.home / "frameworks/sklearn").unlink()
    assert machine.venv("a1", "venv", "frameworks/sklearn")["changed"]
    assert machine.names("frameworks/sklearn") == "a1" and machine.installed == ["a1"]


def test_a_broken_installation_changes_no_link(machine: Machine) -> None:
    machine.venv("a1", "venv")
    failed = machine.venv("a2", "venv", archive="broken.tar")
    assert failed["failed"] and not failed["changed"] and "no space left" in failed["msg"]
    assert machine.names("venv") == "a1" and machine.environments == ["a1"]


def test_half_an_environment_is_made_again(machine: Machine) -> None:
    machine.venv("a1", "venv")
    (machine.home / "venvs/a1/wheelhouse-a1").unlink()
    machine.installed.clear()
    for path in (machine.home / "venvs/a1").iterdir():
        path.unlink()
    (machine.home / "venvs/a1").rmdir()
    assert machine.venv("a1", "venv")["changed"] and machine.installed == ["a1"]


def test_an_archive_that_is_no_wheelhouse(machine: Machine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flower_venv, "install", INSTALL)
    machine.home.mkdir(parents=True)
    with tarfile.open(machine.home / "a.tar", "w") as tar:
        tar.add(__file__, "other.whl")
    failed = machine.venv("a1", "venv")
    assert failed["failed"] and "is not a wheelhouse" in failed["msg"]
    assert machine.environments == []
