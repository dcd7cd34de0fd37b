# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What control machine and node must agree on: neither can import the other, so each has it of its own."""

from __future__ import annotations

from pathlib import Path

from ansible_collections.opennebula.flower.plugins.module_utils.flower import app_archive
from ansible_collections.opennebula.flower.plugins.plugin_utils import run_files
from flower_ops.runs import copy, files

PROJECT = "[project]\nname='toy'\nversion='2'\n[tool.flwr.app.components]\nserverapp='a:app'\nclientapp='b:app'\n"


def test_both_take_the_same_names_and_amounts_of_files_of_a_run() -> None:
    assert run_files.NAME == files.NAME
    assert (run_files.MAX_FILES, run_files.MAX_BYTES) == (files.MAX_FILES, files.MAX_BYTES)


def test_both_take_the_same_files_of_an_app(tmp_path: Path) -> None:
    for name in ("SUFFIXES", "NAMES", "FOLDERS_LEFT_OUT"):
        assert getattr(app_archive, name) == getattr(copy, name), name
    folders = ["", "sub/", "sub/deep/", ".git/", "toy.egg-info/", "venv/", *(f"{x}/" for x in copy.FOLDERS_LEFT_OUT)]
    others = ["a.pyc", "b.csv", "c.PY", "py", ".env", "key.pem"]
    for folder in folders:
        (tmp_path / folder).mkdir(exist_ok=True)
        for name in (*(f"x{suffix}" for suffix in copy.SUFFIXES), *copy.NAMES, *others):
            (tmp_path / folder / name).write_text("x")
    (tmp_path / "venv/pyvenv.cfg").write_text("")
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "link.py").symlink_to(tmp_path / "x.py")
    (tmp_path / "linked").symlink_to(tmp_path / "sub")
    packed = app_archive.pack(tmp_path).files
    assert sorted(path.relative_to(tmp_path).as_posix() for path in copy.bundled(tmp_path)) == list(packed)
    assert {name.rpartition("/")[0] for name in packed} == {"", "sub", "sub/deep"} and "link.py" not in packed
