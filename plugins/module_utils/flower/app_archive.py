# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A Flower app directory as one small archive: exactly the kinds of file that Flower bundles, nothing else.

Data, virtual environments and version control stay where they are, so handing an app over never hands out data by
accident. The same files give the same bytes.
"""

from __future__ import annotations

import gzip
import io
import os
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# What Flower puts into a bundle (1.34: common/constant.py, FAB_INCLUDE_PATTERNS), and its own limit for it. The node
# copies the same of an app: flower_ops/runs/copy.py.
SUFFIXES = (".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl")
NAMES = ("LICENSE", ".gitignore")
FOLDERS_LEFT_OUT = ("__pycache__", "node_modules", "build", "dist")
MAX_BYTES = 10 * 1024 * 1024
# Keys that flower_ops.training reads: under which name checkpoints are kept, and where.
CHECKPOINT_KEYS = frozenset({"training", "checkpoint-path"})


class AppError(Exception):
    """The directory cannot be handed to Flower; the text is one sentence for a person."""


@dataclass(frozen=True)
class PackedApp:
    """An app's name, version, the content of the .tar.gz and the relative names in it.

    `keeps_checkpoints`: its configuration has what a training needs to go on where it ended.
    """

    name: str
    version: str
    archive: bytes
    files: tuple[str, ...]
    keeps_checkpoints: bool = False


def pack(directory: str | Path) -> PackedApp:
    """Check that `directory` holds a Flower app and pack it; AppError otherwise."""
    folder = Path(directory).expanduser()
    project, config = _project(folder)
    files = tuple(_files(folder))
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for name in files:
            content = (folder / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size, entry.mode, entry.mtime = len(content), 0o644, 0
            archive.addfile(entry, io.BytesIO(content))
    packed = gzip.compress(raw.getvalue(), mtime=0)
    if len(packed) > MAX_BYTES:
        raise AppError(
            f"The app {folder} packs to {len(packed) / 1048576:.1f} MiB, and Flower takes 10 MiB at most; "
            "move data out of the app directory."
        )
    name, version = str(project.get("name", folder.name)), str(project.get("version", ""))
    return PackedApp(name, version, packed, files, set(config) >= CHECKPOINT_KEYS)


def _project(folder: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The tables [project] and [tool.flwr.app.config] of the app; AppError when this is no Flower app."""
    # Only the control machine packs apps, and Ansible needs Python 3.11 or newer there.
    import tomllib

    if not folder.is_dir():
        raise AppError(f"There is no app directory {folder} on the control machine; give the folder of a Flower app.")
    project_file = folder / "pyproject.toml"
    if not project_file.is_file():
        raise AppError(f"{folder} is not a Flower app: it has no pyproject.toml; give the folder that holds it.")
    try:
        content = tomllib.loads(project_file.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise AppError(f"{project_file} is not valid TOML: {error}; correct the file.") from error
    app = content.get("tool", {}).get("flwr", {}).get("app")
    components = app.get("components", {}) if isinstance(app, dict) else {}
    if not {"serverapp", "clientapp"} <= set(components):
        raise AppError(
            f"{folder} is not a Flower app: its pyproject.toml has no [tool.flwr.app.components] with serverapp and "
            "clientapp; give the folder of an app, or add that section."
        )
    project, config = content.get("project", {}), app.get("config", {})
    return project if isinstance(project, dict) else {}, config if isinstance(config, dict) else {}


def _files(folder: Path) -> list[str]:
    """Relative names of the files to pack, sorted. Links are left out: what they point at may lie outside the app."""
    found: list[str] = []
    for place, subfolders, names in os.walk(folder):
        here = Path(place)
        subfolders[:] = sorted(
            name
            for name in subfolders
            if name not in FOLDERS_LEFT_OUT
            and not name.startswith(".")
            and not name.endswith(".egg-info")
            and not (here / name / "pyvenv.cfg").exists()
        )
        for name in names:
            path = here / name
            if (path.suffix in SUFFIXES or name in NAMES) and path.is_file() and not path.is_symlink():
                found.append(path.relative_to(folder).as_posix())
    return sorted(found)
