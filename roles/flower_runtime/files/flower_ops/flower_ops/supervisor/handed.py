# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Trainings by hand: handed over with their app, asked for again, withdrawn, looked at."""

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

from flower_ops.runs import record as records
from flower_ops.runs.app import load_app
from flower_ops.runs.copy import copy_app
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.runs.status import status as run_status
from flower_ops.supervisor.asking import FOLDER, training
from flower_ops.supervisor.model import Asked, Memory
from flower_ops.supervisor.shelf import Shelf, own

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,59}")


def hand_over(places: Places, app_dir: str, run_config: Mapping[str, Any], name: str = "") -> dict[str, Any]:
    """Ask for a training of the app, a copy of which is kept; returns its description. RunError for what is wrong."""
    app = load_app(app_dir)
    name = name or re.sub(r"[^A-Za-z0-9._-]", "-", app.name).strip("-._") or "app"
    if not _NAME.fullmatch(name):
        raise RunError(f"{name!r} is no name of a training; use letters, digits and . _ -, at most 60 of them.")
    if not app.version:
        raise RunError(f"The app {app.path} has no version in its pyproject.toml; add one to [project].")
    shelf = Shelf(places)
    checkpoints = str(places.root / FOLDER.lstrip("/"))
    asked = training(app, run_config, name, secrets.token_hex(4), checkpoints, at=time.time())
    folder = shelf.folder / asked.name
    asked = replace(asked, app=str(folder / "app"))
    try:
        shelf.folder.mkdir(mode=0o750, parents=True, exist_ok=True)
        # Aside first: a folder without asked.json is no training.
        aside = Path(tempfile.mkdtemp(prefix=".new-", dir=shelf.folder))
        try:
            copy_app(app.path, aside / "app")
            for place, _folders, files in os.walk(aside):
                os.chmod(place, 0o750)
                for entry in (".", *files):
                    own(Path(place) / entry, places)
                for entry in files:
                    os.chmod(Path(place) / entry, 0o640)
            os.replace(aside, folder)
        except BaseException:
            shutil.rmtree(aside, ignore_errors=True)
            raise
    except OSError as error:
        raise RunError(f"The app cannot be kept in {folder}: {error.strerror}; is there space left?") from error
    shelf.ask(asked)
    return describe(places, asked)


def again(places: Places, name: str, run_config: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Ask for a training again, with other values where some are given: it goes on from its newest checkpoint."""
    shelf = Shelf(places)
    asked = shelf.one(name)
    fixed = {key: value for key, value in asked.run_config.items() if key != "training"}
    base = asked.name.removesuffix(f"-{asked.mark}")
    checkpoints = asked.place.rpartition("/")[0] or str(places.root / FOLDER.lstrip("/"))
    # Later than what was asked for before, whatever the clock says.
    at = max(time.time(), asked.at + 1.0)
    new = training(load_app(asked.app), {**fixed, **(run_config or {})}, base, asked.mark, checkpoints, at=at)
    new = replace(new, origin=asked.origin)
    shelf.ask(new)
    return describe(places, new)


def withdraw(places: Places, name: str) -> dict[str, Any]:
    """Ask for a training no longer: its run is stopped, its checkpoints stay."""
    shelf = Shelf(places)
    asked = replace(shelf.one(name), withdrawn=True)
    shelf.ask(asked)
    return describe(places, asked)


def status(places: Places, name: str) -> dict[str, Any]:
    """A training with its runs, and the latest run's own status."""
    asked = Shelf(places).one(name)
    found = describe(places, asked)
    last = found["run_id"]
    return {**found, "run": run_status(places, last) if last and places.record(last).exists() else None}


def trainings(places: Places) -> list[dict[str, Any]]:
    """All that were asked for, newest first."""
    return [describe(places, asked) for asked in reversed(Shelf(places).all())]


def describe(places: Places, asked: Asked) -> dict[str, Any]:
    """Name, state, reason, checkpoints and runs of a training."""
    memory = Shelf(places).recall(asked.name)
    memory = memory if memory.asked == asked.at else Memory(attempts=memory.attempts)
    runs = [
        {"run_id": one.run_id, "ended": one.cause or None, "reason": one.reason, "from_round": max(one.begun, 0)}
        for one in memory.attempts
    ]
    return {
        "training": asked.name,
        "origin": asked.origin,
        "state": memory.state.value,
        "finished": memory.state.final,
        "reason": memory.reason,
        "run_id": runs[-1]["run_id"] if runs else "",
        "runs": runs,
        "resumes": asked.resumes,
        "nodes": asked.nodes,
        "asked_at": records.timestamp(asked.at),
        "checkpoints": asked.place,
        "run_config": asked.run_config,
    }
