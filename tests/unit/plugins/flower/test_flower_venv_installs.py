# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Installing a wheelhouse without an index: pip is once the real one, else it and uv only unpack."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from module_runner import ModuleResult, run_module
from wheels import UNPACK, UV, pack, packed_again, stand_ins, toy


class Node:
    """A machine in a folder."""

    def __init__(self, root: Path, tools: list[Path]) -> None:
        self.root, self.tools = root, tools
        self.link = root / "opt/flower/venv"
        self.environments = root / "opt/flower/venvs"

    def archive(self, version: str) -> Path:
        """A wheelhouse with this version of the toy."""
        path = self.root / f"{version}.tar"
        return path if path.exists() else pack(path, [*self.tools, toy(self.root, version)])

    def install(self, version: str, check: bool = False, **more: object) -> ModuleResult:
        """Run the module; the digest is the version."""
        given = {"archive": str(self.archive(version)), "digest": version, "path": str(self.link)}
        return run_module("flower_venv", {**given, "environments": str(self.environments), **more}, check)

    def says(self, link: str = "opt/flower/venv") -> str:
        """What the toy of the environment in use prints."""
        return subprocess.run([self.root / link / "bin/toy"], capture_output=True, text=True, check=True).stdout.strip()

    @property
    def present(self) -> list[str]:
        return sorted(path.name for path in self.environments.iterdir())


@pytest.fixture
def node(tmp_path: Path) -> Node:
    """A machine whose wheelhouses hold stand-ins for pip and uv."""
    return Node(tmp_path, stand_ins(tmp_path))


def test_with_the_real_pip(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the wheelhouse that the control machine builds, whose index is a folder here."""
    index = tmp_path / "index"
    index.mkdir()
    for wheel in (packed_again(index, "pip"), toy(index, "0", "uv", UNPACK + UV), toy(index, "1.0")):
        assert wheel.exists()
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    wanted = {"python_version": "3.11", "requirements": ["toy==1.0"], "cache_dir": str(tmp_path / "cache")}
    house = run_module("flower_wheelhouse", wanted)
    assert house.ok and house["changed"] and len(house["wheels"]) == 3, house
    assert not run_module("flower_wheelhouse", wanted)["changed"]
    missing = run_module("flower_wheelhouse", {**wanted, "requirements": ["toy==2.0"]})
    assert not missing.ok and "there is no toy==2.0 for this target; the newest one is 1.0" in missing["msg"]

    link = tmp_path / "venv"
    given = {"archive": house["path"], "digest": house["digest"], "path": str(link), "environments": f"{link}s"}
    assert run_module("flower_venv", given)["changed"]
    assert subprocess.run([link / "bin/toy"], capture_output=True, text=True, check=True).stdout == "1.0\n"
    assert not run_module("flower_venv", given)["changed"]


def test_installs_once_and_keeps_the_former_for_a_way_back(node: Node) -> None:
    foreseen = node.install("1.0", check=True)
    assert foreseen.ok and foreseen["changed"] and not node.environments.exists()
    done = node.install("1.0")
    assert done["changed"] and node.says() == "1.0" and done["environment"] == str(node.environments / "1.0")
    (node.root / "1.0.tar").unlink()
    (node.root / "1.0.tar").touch()
    again = node.install("1.0")
    assert again.ok and not again["changed"]

    changed = node.install("2.0")
    assert node.says() == "2.0" and node.present == ["1.0", "2.0"]
    assert changed["diff"]["before"].endswith("/1.0\n") and changed["diff"]["after"].endswith("/2.0\n")
    # Back again takes what is there: the archive holds nothing any more.
    assert node.install("1.0")["changed"] and node.says() == "1.0"
    node.install("3.0")
    assert node.present == ["1.0", "3.0"]


def test_environments_that_other_links_use_stay(node: Node) -> None:
    framework = node.root / "opt/flower/frameworks/torch"
    node.install("1.0", links=[str(framework)])
    assert node.says() == node.says("opt/flower/frameworks/torch") == "1.0"
    for version in ("2.0", "3.0"):
        node.install(version)
    assert node.says("opt/flower/frameworks/torch") == "1.0" and node.present == ["1.0", "2.0", "3.0"]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("nothing", "there is no pip in it; build it again"),
        ("torn", "is not a whole archive; bring it"),
        ("no uv", "Installing uv failed"),
        ("broken", "Installing the wheels failed"),
    ],
)
def test_a_broken_wheelhouse_leaves_the_working_runtime(node: Node, content: str, said: str) -> None:
    node.install("1.0")
    path = node.root / "2.0.tar"
    broken = node.root / "toy-2.0-py3-none-any.whl"
    if content == "torn":
        path.write_bytes(node.archive("1.0").read_bytes()[:700])
    elif content == "broken":
        broken.write_bytes(b"no wheel")
        pack(path, [*node.tools, broken])
    else:
        pack(path, [] if content == "nothing" else node.tools[:1])
    failed = node.install("2.0")
    assert not failed.ok and said in failed["msg"] and "\n" not in failed["msg"]
    assert node.says() == "1.0" and node.present == ["1.0"]


def test_a_link_that_cannot_be_made_is_told(node: Node) -> None:
    (node.root / "taken/inside").mkdir(parents=True)
    failed = node.install("1.0", path=str(node.root / "taken"))
    assert not failed.ok and failed["msg"].startswith("A link to ") and (node.root / "taken/inside").is_dir()
