# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheelhouse: what its key depends on, and how it is made; pip is played by a function here."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import tarfile
import threading
import time
import zipfile
from pathlib import Path

import pytest
from ansible_collections.opennebula.flower.plugins.module_utils.flower.wheelhouse import (
    Target,
    Wheelhouse,
    WheelhouseError,
    explain,
    platform_options,
    source_files,
)

NOT_FOUND = "Could not find a version that satisfies the requirement"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    (folder / "pkg").mkdir(parents=True)
    (folder / "pyproject.toml").write_text("[project]\nname='pkg'\n")
    (folder / "pkg/__init__.py").write_text("x = 1\n")
    return folder


def target(project: Path, *requirements: str, python: str = "3.11", architecture: str = "x86_64") -> Target:
    return Target(python, architecture, requirements or ("flwr==1.34.0",), (project,))


class Pip:
    """Plays pip through AnsibleModule.run_command."""

    def __init__(self, has: tuple[str, ...] = ("python3",), version: str = "3.11", delay: float = 0.0) -> None:
        self.has, self.version, self.delay = has, version, delay
        self.commands: list[list[str]] = []
        self.error = ""

    def __call__(self, words: list[str], **more: object) -> tuple[int, str, str]:
        self.commands.append(words)
        if words[1] == "-c":
            return (0, self.version + "\n", "") if words[0] in self.has else (1, "", "No module named pip")
        time.sleep(self.delay)
        if self.error:
            return 1, "", self.error
        option = "--wheel-dir" if "wheel" in words else "--dest"
        folder = Path(words[words.index(option) + 1])
        folder.mkdir(exist_ok=True)
        (folder / ("pkg-1.0-py3-none-any.whl" if "wheel" in words else "flwr-1.34.0-py3-none-any.whl")).write_text(
            "wheel"
        )
        return 0, "", ""


def test_key_follows_what_goes_in(project: Path) -> None:
    first = target(project).name
    assert target(project).name == first
    names = {first, target(project, "flwr==1.25.0").name, target(project, python="3.12").name}
    names.add(target(project, architecture="aarch64").name)
    (project / "pkg/__init__.py").write_text("x = 2\n")
    names.add(target(project).name)
    (project / "pkg/table.json").write_text("{}")
    names.add(target(project).name)
    (project / "pkg/table.csv.gz").write_bytes(b"x")
    names.add(target(project).name)
    assert len(names) == 7
    assert target(project, "a==1", "b==2").name == target(project, "b==2", "a==1").name


def test_key_ignores_what_builds_leave_behind(project: Path) -> None:
    first = target(project).name
    for name in (
        "pkg/__pycache__/x.py",
        "build/lib/x.py",
        "pkg.egg-info/top.txt",
        ".cache/x.py",
        "pkg/x.pyc",
        "pkg/.x.py.swp",
        "pkg/x.py~",
    ):
        (project / name).parent.mkdir(parents=True, exist_ok=True)
        (project / name).write_text("x")
    assert target(project).name == first and source_files(project) == ["pkg/__init__.py", "pyproject.toml"]


def test_second_call_runs_nothing(project: Path, tmp_path: Path) -> None:
    pip = Pip()
    house = Wheelhouse(tmp_path / "cache", pip, ["python3"])
    made, changed = house.build(target(project))
    assert changed and hashlib.sha256(Path(made["path"]).read_bytes()).hexdigest() == made["digest"]
    with tarfile.open(made["path"]) as archive:
        assert archive.getnames() == ["flwr-1.34.0-py3-none-any.whl"] == made["wheels"]
    count = len(pip.commands)
    assert house.build(target(project)) == (made, False) and len(pip.commands) == count
    assert [p.name for p in (tmp_path / "cache").iterdir() if p.name.startswith(".building")] == []


def test_source_folder_is_not_built_in(project: Path, tmp_path: Path) -> None:
    pip = Pip()
    Wheelhouse(tmp_path / "cache", pip, ["python3"]).build(target(project))
    (wheel,) = [words for words in pip.commands if "wheel" in words]
    assert not wheel[-1].startswith(str(project)) and wheel[-1].endswith("/project")


def test_download_is_for_the_target_and_holds_project_and_tools(project: Path, tmp_path: Path) -> None:
    pip = Pip()
    Wheelhouse(tmp_path / "cache", pip, ["python3"]).build(target(project, python="3.12", architecture="aarch64"))
    words = pip.commands[-1]
    assert words[words.index("--python-version") + 1] == "3.12" and "manylinux2014_aarch64" in words
    assert words[-4:] == ["flwr==1.34.0", "pkg==1.0", "uv", "pip"] and "--only-binary=:all:" in words
    assert not any("index" in word for word in words)


def test_torn_archive_is_made_again(project: Path, tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "cache", Pip(), ["python3"])
    made, _changed = house.build(target(project))
    Path(made["path"]).write_bytes(b"half")
    assert house.build(target(project)) == (made, True)


def test_failure_leaves_nothing_behind(project: Path, tmp_path: Path) -> None:
    pip = Pip()
    pip.error = "ERROR: boom"
    house = Wheelhouse(tmp_path / "cache", pip, ["python3"])
    with pytest.raises(WheelhouseError, match="Cannot build project: boom"):
        house.build(target(project))
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [".lock"]


def test_calls_at_the_same_time_make_it_once(project: Path, tmp_path: Path) -> None:
    pip = Pip(delay=0.1)
    results: list[bool] = []

    def build() -> None:
        results.append(Wheelhouse(tmp_path / "cache", pip, ["python3"]).build(target(project))[1])

    threads = [threading.Thread(target=build) for _turn in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False, False, True]


def test_old_archives_go_when_nobody_uses_them(project: Path, tmp_path: Path) -> None:
    house = Wheelhouse(tmp_path / "cache", Pip(), ["python3"])
    old, other = [Path(house.build(t)[0]["path"]) for t in (target(project), target(project, "x==1"))]
    for path in (old, other):
        os.utime(path, (0, 0))
    (project / "pkg/__init__.py").write_text("x = 3\n")
    house.build(target(project))
    assert not old.exists() and not old.with_suffix(".json").exists() and other.exists()


def test_pip_of_the_same_python_is_preferred(project: Path, tmp_path: Path) -> None:
    class Two(Pip):
        def __call__(self, words: list[str], **more: object) -> tuple[int, str, str]:
            self.version = "3.12" if words[0] == "python3.12" else "3.11"
            return super().__call__(words, **more)

    pip = Two(has=("python3", "python3.12"))
    Wheelhouse(tmp_path / "cache", pip, ["python3", "python3.12"]).build(target(project, python="3.12"))
    assert pip.commands[-1][0] == "python3.12"


def test_no_pip_at_all(project: Path, tmp_path: Path) -> None:
    pip = Pip(has=())
    pip.error = "No module named venv"
    with pytest.raises(WheelhouseError, match="install python3-venv"):
        Wheelhouse(tmp_path / "cache", pip, ["python3"]).build(target(project))


@pytest.mark.parametrize(
    ("output", "wanted"),
    [
        (
            f"ERROR: {NOT_FOUND} a==9 (from versions: 1.0, 2.0)\n",
            "there is no a==9 for this target; the newest one is 2.0.",
        ),
        (
            f"  ERROR: {NOT_FOUND} a (from versions: none)",
            "the package index of the control machine offers no a; check",
        ),
        ("broken by 'NewConnectionError(...)'", "cannot be reached; check"),
        ("ERROR: cannot reach https://user:secret@host/simple", "cannot reach https://host/simple."),
        ("", "pip said nothing."),
    ],
)
def test_pips_lines_become_a_sentence(output: str, wanted: str) -> None:
    said = explain("download the wheels", output)
    assert wanted in said and said.startswith("Cannot download the wheels: ") and "secret" not in said


@pytest.mark.parametrize(
    "wrong",
    [
        {"python_version": "2.7"},
        {"architecture": "sparc"},
        {"requirements": ("-r x",)},
        {"requirements": ("a @ https://x",)},
        {"projects": (Path("/nowhere"),)},
    ],
)
def test_wrong_input(wrong: dict[str, object]) -> None:
    given = {"python_version": "3.11", "architecture": "x86_64", "requirements": ("a==1",), "projects": (), **wrong}
    with pytest.raises(WheelhouseError):
        Target(**given).check()  # type: ignore[arg-type]


def test_platforms_are_ordered_from_new_to_old() -> None:
    tags = platform_options("x86_64")[1::2]
    assert tags[0] == "manylinux_2_36_x86_64" and "manylinux2014_x86_64" in tags and tags[-1] == "manylinux1_x86_64"
    assert "manylinux1_aarch64" not in platform_options("aarch64")


class PipOfProjects(Pip):
    """Builds project wheels that say what they need, as real ones do."""

    needs = "cryptography"

    def __call__(self, words: list[str], **more: object) -> tuple[int, str, str]:
        answer = super().__call__(words, **more)
        name = "pkg-1.0-py3-none-any.whl"
        if "wheel" in words:
            with zipfile.ZipFile(Path(words[words.index("--wheel-dir") + 1]) / name, "w") as wheel:
                wheel.writestr("pkg/__init__.py", (Path(words[-1]) / "pkg/__init__.py").read_bytes())
                wheel.writestr("pkg-1.0.dist-info/METADATA", f"Name: pkg\nRequires-Dist: {self.needs}\n")
        elif "download" in words and "pkg==1.0" in words:
            built, wheels = (Path(words[words.index(option) + 1]) for option in ("--find-links", "--dest"))
            shutil.copyfile(built / name, wheels / name)
        return answer


def downloads(pip: Pip) -> int:
    return sum("download" in words for words in pip.commands)


def test_a_changed_project_takes_the_other_wheels_over(project: Path, tmp_path: Path) -> None:
    pip = PipOfProjects()
    house = Wheelhouse(tmp_path / "cache", pip, ["python3"])
    first, _made = house.build(target(project))
    (project / "pkg/__init__.py").write_text("x = 2\n")
    second, made = house.build(target(project))
    assert made and downloads(pip) == 1 and second["digest"] != first["digest"]
    assert second["wheels"] == first["wheels"] == ["flwr-1.34.0-py3-none-any.whl", "pkg-1.0-py3-none-any.whl"]
    with tarfile.open(second["path"]) as archive:
        own = archive.extractfile("pkg-1.0-py3-none-any.whl")
        assert own is not None
        with zipfile.ZipFile(io.BytesIO(own.read())) as wheel:
            assert wheel.read("pkg/__init__.py") == b"x = 2\n"


def test_a_project_that_needs_something_else_is_resolved_again(project: Path, tmp_path: Path) -> None:
    pip = PipOfProjects()
    house = Wheelhouse(tmp_path / "cache", pip, ["python3"])
    house.build(target(project))
    (project / "pkg/__init__.py").write_text("x = 2\n")
    pip.needs = "cryptography>=44"
    house.build(target(project))
    assert downloads(pip) == 2


def test_other_requirements_are_downloaded(project: Path, tmp_path: Path) -> None:
    pip = PipOfProjects()
    house = Wheelhouse(tmp_path / "cache", pip, ["python3"])
    house.build(target(project))
    house.build(target(project, "flwr==1.25.0"))
    house.build(Target("3.11", "x86_64", ("flwr==1.34.0",), ()))
    assert downloads(pip) == 3
