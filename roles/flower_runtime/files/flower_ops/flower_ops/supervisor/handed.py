# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings by hand: handed over with their app, asked for again, withdrawn. How they look: view.py.

Each answers with the training's description and `changed`; with `check` nothing is written, and `changed` foretells.
"""

from __future__ import annotations

import os
import re
import secrets
import shutil
import tempfile
import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flower_ops import durable
from flower_ops.runs.app import App, load_app
from flower_ops.runs.copy import copy_app, same_app
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor.asking import DISK, FOLDER, mounted, training
from flower_ops.supervisor.model import Asked, State
from flower_ops.supervisor.retired import prune, remove
from flower_ops.supervisor.shelf import Shelf, alone, own
from flower_ops.supervisor.view import base, describe, find, is_open, status, trainings

__all__ = ["again", "describe", "hand_over", "remove", "status", "trainings", "withdraw"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def hand_over(
    places: Places,
    app_dir: str,
    run_config: Mapping[str, Any],
    name: str = "",
    once: bool = False,
    check: bool = False,
) -> dict[str, Any]:
    """Ask for a training of the app, a copy of which is kept. RunError for what is wrong.

    With `once`, one that is under way with the same name, app and values is taken instead of a second one. Under a name
    that was given, another app or other values are refused then; under the app's own they make another training.
    """
    app = load_app(app_dir)
    given = bool(name)
    name = name or re.sub(r"[^A-Za-z0-9._-]", "-", app.name).strip("-._") or "app"
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is no name of a training; use letters, digits and . _ -, at most 60 of them.")
    if not app.version:
        raise RunError(f"The app {app.path} has no version in its pyproject.toml; add one to [project].")
    shelf = Shelf(places)
    checkpoints = str(_top(places))
    disk = mounted(Path(str(run_config.get("checkpoint-path") or checkpoints)), _top(places))
    asked = training(app, run_config, name, secrets.token_hex(4), checkpoints, disk, time.time())
    with alone(shelf, check):
        if once and (same := _under_way(shelf, app, asked, name, given)) is not None:
            return {**describe(places, same), "changed": False}
        if check:
            return {**describe(places, replace(asked, name=name)), "changed": True}
        asked = replace(asked, app=str(shelf.folder / asked.name / "app"))
        _keep(shelf, app, asked)
        shelf.ask(asked)
        prune(shelf)
    return {**describe(places, asked), "changed": True}


def _top(places: Places) -> Path:
    """Folder of the checkpoints of all trainings."""
    return places.root / FOLDER.lstrip("/")


def _under_way(shelf: Shelf, app: App, new: Asked, name: str, given: bool) -> Asked | None:
    """The training that is asked for already. RunError when it has the name but is not the same."""
    differing = ""
    for old in reversed(shelf.all()):
        if base(old) != name or not is_open(shelf, old):
            continue
        values = _differences(app, old, new)
        if not values and same_app(app.path, Path(old.app)):
            return old
        differing = differing or f"{old.name} is under way with {values or 'another state of the app'}"
    if given and differing:
        raise RunError(f"The training {differing}; stop it, wait for its end, or give another name.")
    return None


def _differences(app: App, old: Asked, new: Asked) -> str:
    """Values of the run configuration in which two trainings differ, in words; their own names do not count."""
    was, now = ({**app.config, **one.run_config} for one in (old, new))
    keys = sorted((set(was) | set(now)) - {"training", DISK})
    return ", ".join(f"{key} {was.get(key)} instead of {now.get(key)}" for key in keys if was.get(key) != now.get(key))


def _keep(shelf: Shelf, app: App, asked: Asked) -> None:
    """Put a copy of the app into the folder of the training."""
    folder = shelf.folder / asked.name
    try:
        # Aside first: a folder without asked.json is no training.
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=shelf.folder))
        try:
            copy_app(app.path, aside / "app")
            for place, _folders, files in os.walk(aside):
                os.chmod(place, 0o750)
                for entry in (".", *files):
                    own(Path(place) / entry, shelf.places)
                for entry in files:
                    os.chmod(Path(place) / entry, 0o640)
            # Before the record that asks for it, which outlives a power cut.
            durable.sync_tree(aside)
            os.replace(aside, folder)
            durable.sync(shelf.folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise RunError(f"The app cannot be kept in {folder}: {error.strerror}; is there space left?") from error


def again(
    places: Places, name: str, run_config: Mapping[str, Any] | None = None, check: bool = False
) -> dict[str, Any]:
    """Ask for a training again, with other values where some are given: it goes on from its newest checkpoint.

    One that is under way, or has completed, stays as it is unless a value differs. The disk of its checkpoints, mounted
    now or not, is that of the first time, unless they are to lie elsewhere. RunError where nothing can go on.
    """
    shelf = Shelf(places)
    with alone(shelf, check):
        asked = find(shelf, name)
        if not asked.resumes:
            raise RunError(
                f"The training {asked.name} keeps no checkpoints from which it could go on; start it anew instead."
            )
        fixed = {key: value for key, value in asked.run_config.items() if key != "training"}
        checkpoints, disk = asked.place.rpartition("/")[0], ""
        place = str((run_config or {}).get("checkpoint-path") or checkpoints)
        if place != checkpoints:
            fixed.pop(DISK, None)
            disk = mounted(Path(place), _top(places))
        # Later than what was asked for before, whatever the clock says.
        at = max(time.time(), asked.at + 1.0)
        wanted = {**fixed, **(run_config or {})}
        app = load_app(asked.app)
        new = training(app, wanted, base(asked), asked.mark, checkpoints, disk, at)
        new = replace(new, origin=asked.origin, context=asked.context)
        done = shelf.recall(asked.name).state is State.COMPLETED
        if not _differences(app, asked, new) and (is_open(shelf, asked) or done):
            return {**describe(places, asked), "changed": False}
        if not check:
            shelf.ask(new)
    return {**describe(places, asked if check else new), "changed": True}


def withdraw(places: Places, name: str, check: bool = False) -> dict[str, Any]:
    """Ask for a training no longer: its run is stopped, its checkpoints stay. One that has ended stays as it is."""
    shelf = Shelf(places)
    with alone(shelf, check):
        asked = find(shelf, name)
        changed = is_open(shelf, asked)
        if changed and not check:
            asked = replace(asked, withdrawn=True)
            shelf.ask(asked)
    return {**describe(places, asked), "changed": changed}
