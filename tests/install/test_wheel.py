# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The wheel that nodes install is made of what the wheelhouse copies, and holds whatever flower_ops reads."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

from ansible_collections.opennebula.flower.plugins.module_utils.flower.wheelhouse import source_files

FLOWER_OPS = Path(__file__).parents[2] / "roles/flower_runtime/files/flower_ops"


def test_the_wheel_of_flower_ops_is_whole(tmp_path: Path) -> None:
    """The data that use cases train on where a node has no data of its own are files of it."""
    for name in source_files(FLOWER_OPS):
        (tmp_path / "project" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(FLOWER_OPS / name, tmp_path / "project" / name)
    build = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", f"--wheel-dir={tmp_path}"]
    subprocess.run([*build, str(tmp_path / "project")], check=True)
    (wheel,) = tmp_path.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    assert "flower_ops/training/data/files/iris.csv" in packed
    tree = {path.relative_to(FLOWER_OPS).as_posix() for path in FLOWER_OPS.rglob("*") if path.is_file()}
    missing = {name for name in tree - packed if "__pycache__" not in name and ".egg-info/" not in name}
    assert missing == {"pyproject.toml"}
