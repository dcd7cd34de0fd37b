# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Apps from a folder here to a folder there: whole, the same every time, and nothing besides."""

from __future__ import annotations

import base64
import io
import tarfile
from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.filter.packed_apps import packed_apps
from module_runner import ModuleResult, run_module

ROOT = Path(__file__).resolve().parents[4]
USE_CASES = ROOT / "roles/superlink/files/use_cases"
PROJECT = '[tool.flwr.app.components]\nserverapp = "a.s:app"\nclientapp = "a.c:app"\n'


@pytest.fixture
def apps(tmp_path: Path) -> Path:
    for name in ("one", "two"):
        package = tmp_path / f"apps/{name}/package"
        package.mkdir(parents=True)
        (package / "server.py").write_text(f"# {name}\n")
        (package.parent / "pyproject.toml").write_text(PROJECT)
    return tmp_path / "apps"


def put(apps: Path, path: Path, check: bool = False) -> ModuleResult:
    return run_module("flower_apps", {"apps": packed_apps(str(apps)), "path": str(path)}, check)


def test_apps_are_put_down_once(apps: Path, tmp_path: Path) -> None:
    path = tmp_path / "there"
    planned = put(apps, path, check=True)
    assert planned["changed"] and not path.exists()
    done = put(apps, path)
    assert done["changed"] and done["apps"] == ["one", "two"] and "one/package/server.py" in done["diff"]["after"]
    assert (path / "two/package/server.py").read_text() == "# two\n"
    assert {one.stat().st_mode & 0o777 for one in path.rglob("*") if one.is_file()} == {0o644}
    assert {one.stat().st_mode & 0o777 for one in path.rglob("*") if one.is_dir()} == {0o755}
    assert not put(apps, path)["changed"] and not put(apps, path, check=True)["changed"]


def test_what_changed_and_what_is_no_more(apps: Path, tmp_path: Path) -> None:
    path = tmp_path / "there"
    put(apps, path)
    (path / "one/package/extra.py").write_text("")
    (path / "two/package/server.py").chmod(0o666)
    (path / "foreign").mkdir()
    assert put(apps, path)["changed"]
    assert sorted(one.name for one in path.iterdir()) == ["one", "two"]
    assert not (path / "one/package/extra.py").exists()
    (apps / "two/package/server.py").write_text("# newer\n")
    assert put(apps, path)["changed"] and (path / "two/package/server.py").read_text() == "# newer\n"


def test_a_folder_without_apps_is_told(apps: Path, tmp_path: Path) -> None:
    with pytest.raises(AnsibleFilterError, match="no folder"):
        packed_apps(str(tmp_path / "none"))
    (apps / "two/pyproject.toml").unlink()
    with pytest.raises(AnsibleFilterError, match="has no pyproject.toml"):
        packed_apps(str(apps))


@pytest.mark.parametrize("name", ["../escape.py", "/etc/escape.py"])
def test_no_archive_reaches_out_of_its_place(name: str, tmp_path: Path) -> None:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w:gz") as tar:
        tar.addfile(tarfile.TarInfo(name), io.BytesIO())
    given = {"apps": {"one": base64.b64encode(raw.getvalue()).decode()}, "path": str(tmp_path / "there")}
    answer = run_module("flower_apps", given)
    assert not answer.ok and "is no file of an app" in answer["msg"] and not (tmp_path / "there").exists()


@pytest.mark.parametrize(("name", "archive"), [("..", ""), ("one", "rubbish"), ("one", "cnViYmlzaA==")])
def test_rubbish_is_refused_in_a_sentence(name: str, archive: str, tmp_path: Path) -> None:
    answer = run_module("flower_apps", {"apps": {name: archive}, "path": str(tmp_path)})
    assert not answer.ok and answer["msg"].startswith("The apps cannot be put into")


def test_the_use_cases_pack(tmp_path: Path) -> None:
    found = packed_apps(str(USE_CASES))
    assert sorted(found) == ["anomaly-detection", "image-classification", "llm-fine-tuning"]
    # It travels with one task, and an argument is no place for much.
    assert sum(map(len, found.values())) < 100_000
