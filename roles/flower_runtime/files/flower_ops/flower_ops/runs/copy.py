# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""A copy of an app that holds the connections it should: those of a developer's machine out, ours in where needed.

Up to 1.25 flwr takes the connection from the app's own pyproject.toml. Later versions move what they find there into
the machine's settings and rewrite the file. The folder that a user submits must survive both.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from flower_ops.runs.app import App, load_app
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places, give_to

# What Flower bundles of an app, in any version, and what it reads while it does so; module_utils/flower/app_archive.py
# of the collection packs the same.
SUFFIXES = (".py", ".toml", ".md", ".yaml", ".yml", ".json", ".jsonl")
NAMES = ("LICENSE", ".gitignore")
FOLDERS_LEFT_OUT = ("__pycache__", "node_modules", "build", "dist")
_HEADER = re.compile(r"^\s*\[{1,2}\s*([^\[\]#]+?)\s*\]{1,2}\s*(#.*)?$")
_VERSION = re.compile(r"""(\s*version\s*=\s*["'])([^"'\\]*)["']""")
_SECTION = re.compile(r"tool\s*\.\s*flwr\s*\.\s*federations\b")


@contextlib.contextmanager
def ready_to_submit(places: Places, app: App, connection: str, mark: str = "") -> Iterator[Path]:
    """The app's folder, or a copy without its own connections and with `connection` (TOML), gone afterwards.

    `mark` is added to the version of the copy: of all that Flower tells of a run, only name and version of its app are
    for whoever submits it to choose, so by it a run is found again.
    """
    if not connection and not app.has_connections and not mark:
        yield app.path
        return
    # The account of apps could put a link in the place of what root makes in its folder.
    by_root = places.user is not None and os.geteuid() == 0
    parent = places.root / ("opt/flower" if by_root else "opt/flower/apps")
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder = Path(tempfile.mkdtemp(prefix="submit-", dir=parent))
    except OSError as error:
        raise RunError(f"Cannot copy the app to {parent}: {error.strerror}; is there space left?") from error
    try:
        copy_app(app.path, folder)
        project = folder / "pyproject.toml"
        text = without_connections(project.read_text(encoding="utf-8"))
        if mark:
            text = with_mark(text, app, mark)
        project.write_text(text, encoding="utf-8")
        if _has_connections(folder):
            raise RunError(
                f"The app {app.path} defines [tool.flwr.federations] in a way that cannot be left out; remove it from "
                "its pyproject.toml, connections belong to the machine that submits."
            )
        if connection:
            project.write_text(f"{text}\n{connection}", encoding="utf-8")
        # From the inside out: nobody reaches what lies in it before the folder itself changes hands.
        for place, names, files in os.walk(folder, topdown=False):
            for name in (*names, *files):
                give_to(Path(place) / name, places.user)
        give_to(folder, places.user)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def without_connections(text: str) -> str:
    """A pyproject.toml without the tables [tool.flwr.federations…]; all else stays as it is, byte by byte."""
    kept: list[str] = []
    inside = False
    for line in text.splitlines(keepends=True):
        header = _HEADER.match(line)
        if header:
            inside = bool(_SECTION.match(header[1]))
        if not inside:
            kept.append(line)
    return "".join(kept)


def with_mark(text: str, app: App, mark: str) -> str:
    """A pyproject.toml with `+mark` behind the version of the project; RunError where it cannot be found."""
    lines = text.splitlines(keepends=True)
    section = ""
    for number, line in enumerate(lines):
        header = _HEADER.match(line)
        section = header[1].strip() if header else section
        found = _VERSION.match(line) if section == "project" else None
        if found and found[2] == app.version:
            lines[number] = f"{found[1]}{marked(app.version, mark)}{line[found.end(2) :]}"
            return "".join(lines)
    raise RunError(
        f'The app {app.path} cannot be supervised: its pyproject.toml has no line version = "…" in [project]; add one.'
    )


def marked(version: str, mark: str) -> str:
    """A version with a mark: as a local version label of PEP 440."""
    return f"{version}{'.' if '+' in version else '+'}{mark}"


def has_mark(version: str, mark: str) -> bool:
    """Whether a version carries a mark."""
    return re.split(r"[+.]", version)[-1] == mark and "+" in version


def _has_connections(folder: Path) -> bool:
    """Whether the copy still names SuperLinks, or is no app any more because of what was cut out."""
    try:
        return load_app(folder).has_connections
    except RunError:
        return True


def bundled(source: Path) -> Iterator[Path]:
    """The files that Flower bundles of an app, in a fixed order."""
    for place, folders, names in os.walk(source):
        here = Path(place)
        folders[:] = sorted(
            name
            for name in folders
            if name not in FOLDERS_LEFT_OUT
            and not name.startswith(".")
            and not name.endswith(".egg-info")
            and not (here / name / "pyvenv.cfg").exists()
        )
        for name in sorted(names):
            path = here / name
            if (path.suffix in SUFFIXES or name in NAMES) and path.is_file() and not path.is_symlink():
                yield path


def copy_app(source: Path, target: Path) -> None:
    """Copy what Flower bundles of an app."""
    for path in bundled(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def same_app(one: Path, other: Path) -> bool:
    """Whether two folders hold the same app, as far as Flower would bundle it."""
    return _contents(one) == _contents(other)


def _contents(app: Path) -> dict[str, bytes]:
    return {path.relative_to(app).as_posix(): path.read_bytes() for path in bundled(app)}
