# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a SuperLink that hand the use case which was chosen at deployment to the supervisor, and start that."""

from __future__ import annotations

import json
import os
import time
from dataclasses import asdict, replace
from pathlib import Path

from flower_ops import context as variables
from flower_ops.machine.errors import NodeError
from flower_ops.node.node import Node
from flower_ops.runs.app import load_app
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor.asking import KEYS, from_variables, identity, same, training
from flower_ops.supervisor.model import Asked
from flower_ops.supervisor.shelf import ASKED, Shelf

UNIT = "flower-supervisor.service"
ORIGIN = "context"
DISK = "checkpoint-disk"


def trainings(node: Node) -> None:
    """Write down the training that the variables ask for; one of an earlier use case is no longer asked for."""
    use_case = node.value("USE_CASE")
    wanted = _wanted(node, use_case) if use_case != "none" else None
    for old in Shelf(Places(node.paths.root)).all():
        if old.origin != ORIGIN:
            continue
        if wanted is not None and old.name == wanted.name:
            # Asked for again only when it is something else: more rounds, say.
            wanted = old if same(old, wanted) else _again(old, wanted)
        elif not old.withdrawn:
            _write(node, replace(old, withdrawn=True))
    if wanted is not None:
        _write(node, wanted)
        node.facts["training"] = wanted.name


def supervisor(node: Node) -> None:
    """Run the supervisor, which trains what is asked for now or later."""
    if node.systemd.available and not node.systemd.state(UNIT).loaded:
        node.warnings.append(f"There is no unit {UNIT} on this VM, so trainings are not supervised; apply superlink")
        return
    node.start(UNIT, [])


def _wanted(node: Node, use_case: str) -> Asked:
    place = node.paths.at(f"{node.paths.use_cases}/{use_case}")
    config = from_variables(node.values)
    folder = node.paths.at(config["checkpoint-path"])
    config["checkpoint-path"] = str(folder)
    try:
        app = load_app(place)
        known = {key: value for key, value in config.items() if key in app.config}
        _check_known(node, set(config) - set(known))
        mark, disk = identity(use_case, node.values), _disk(node, folder)
        found = training(app, known, use_case, mark, str(folder), disk, time.time())
        return replace(found, origin=ORIGIN)
    except RunError as error:
        raise NodeError(
            f"The use case {use_case} cannot be trained from {place} on the SuperLink: {error}",
            "use_case_failed",
        ) from error


def _check_known(node: Node, unknown: set[str]) -> None:
    """A value that somebody chose must not be without effect."""
    defaults = {name: row.default for name, row in variables.table().items()}
    names = [f"ONEAPP_FL_{name}" for name, key in KEYS.items() if key in unknown]
    chosen = [name for name in names if node.values[name] != defaults[name]]
    if chosen:
        raise RunError(f"Its app has no use for {', '.join(chosen)}; leave out what it does not know.")


def _disk(node: Node, folder: Path) -> str:
    """Where a disk is mounted that holds the checkpoints: without it a later run would fill the disk of the system."""
    top = node.paths.at(node.paths.checkpoints)
    places = [place for place in (folder, *folder.parents) if place == top or top in place.parents]
    return next((str(place) for place in places if os.path.ismount(place)), "")


def _again(old: Asked, new: Asked) -> Asked:
    """The new one, later than the old whatever the clock says, with the disk of its checkpoints, mounted now or not."""
    new = replace(new, at=max(new.at, old.at + 1.0))
    disk = old.run_config.get(DISK)
    return replace(new, run_config={**new.run_config, DISK: disk}) if disk else new


def _write(node: Node, one: Asked) -> None:
    node.files.folder(f"{node.paths.trainings}/{one.name}", 0o750, "root:flower")
    text = json.dumps(asdict(one), indent=1) + "\n"
    node.files.write(f"{node.paths.trainings}/{one.name}/{ASKED}", text.encode(), 0o640, "root:flower")
