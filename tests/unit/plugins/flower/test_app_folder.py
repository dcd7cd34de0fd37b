# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An app as people name it: a folder, a demo, a use case."""

from __future__ import annotations

from pathlib import Path

import pytest
from ansible.errors import AnsibleFilterError
from ansible_collections.opennebula.flower.plugins.filter import app_folder as plugin
from ansible_collections.opennebula.flower.plugins.filter.app_folder import FilterModule

ROOT = Path(__file__).parents[4]
app_folder = FilterModule().filters()["app_folder"]


def app(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "pyproject.toml").touch()
    return folder


def test_a_folder_from_where_one_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = app(tmp_path / "mine/app")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert app_folder("mine/app", tmp_path) == str(own) == app_folder("app", tmp_path / "mine")
    assert app_folder(str(own), "/nowhere") == app_folder("~/mine/app", "/nowhere") == str(own)


def test_demos_and_use_cases_by_name(tmp_path: Path) -> None:
    assert app_folder("sklearn", tmp_path) == str(ROOT / "demos/sklearn")
    place = ROOT / "roles/superlink/files/use_cases/image-classification"
    assert app_folder("image-classification", tmp_path) == str(place)
    # A folder of one's own goes first, but not one that only happens to have the name.
    (tmp_path / "sklearn").mkdir()
    assert app_folder("sklearn", tmp_path) == str(ROOT / "demos/sklearn")
    (tmp_path / "sklearn/pyproject.toml").touch()
    assert app_folder("sklearn", tmp_path) == str(tmp_path / "sklearn")


def test_what_is_no_app_is_told_with_what_there_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    demo = app(tmp_path / "demos/one").parent
    monkeypatch.setattr(plugin, "_SHIPPED", (("demo", demo), ("use case", tmp_path / "missing")))
    for name in ("two", "one/two", "../demos"):
        with pytest.raises(AnsibleFilterError, match=r"There is no app .* \(demos: one\)\."):
            app_folder(name, "/nowhere")
    (tmp_path / "empty").mkdir()
    # What a folder lacks is for flower_run to say.
    assert app_folder("empty", tmp_path) == str(tmp_path / "empty")
    for nothing in ("", " ", None, 3):
        with pytest.raises(AnsibleFilterError, match="No app is named"):
            app_folder(nothing, tmp_path)
