# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Steps of a SuperLink that hand the use case which was chosen at deployment to the supervisor, and start that.

CONTEXT says the same at every boot, and whoever looks after the federation may have said otherwise since: stopped the
training, or resumed it with more rounds. That holds until CONTEXT says something else than it said before.
"""

from __future__ import annotations

import json
import time
from dataclasses import asdict, replace
from typing import Any

from flower_ops import context as variables
from flower_ops.machine.errors import NodeError
from flower_ops.node.node import Node
from flower_ops.runs.app import App, load_app
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places
from flower_ops.supervisor.asking import DISK, KEYS, from_variables, identity, mounted, same, training
from flower_ops.supervisor.model import Asked
from flower_ops.supervisor.shelf import ASKED, Shelf, alone

UNIT = "flower-supervisor.service"
ORIGIN = "context"
#: Keys of a run configuration that nobody chooses.
OWN = ("training", DISK)


def trainings(node: Node) -> None:
    """Write down the training that the variables ask for; one of an earlier use case is no longer asked for."""
    shelf = Shelf(Places(node.paths.root))
    try:
        # What an operator says between our look and our writing would be lost.
        with alone(shelf, node.check):
            _ask(node, shelf)
    except RunError as error:
        raise NodeError(f"What shall be trained cannot be written down: {error}", "use_case_failed") from error


def _ask(node: Node, shelf: Shelf) -> None:
    use_case = node.value("USE_CASE")
    known = [one for one in shelf.all() if one.origin == ORIGIN]
    wanted = _wanted(node, use_case, known) if use_case != "none" else None
    for old in known:
        if old.context and (wanted is None or old.name != wanted.name):
            _write(node, replace(old, withdrawn=True, context={}))
    if wanted is not None:
        _write(node, wanted)
        node.facts["training"] = wanted.name


def supervisor(node: Node) -> None:
    """Run the supervisor, which trains what is asked for now or later."""
    if node.systemd.available and not node.systemd.state(UNIT).loaded:
        node.warnings.append(f"There is no unit {UNIT} on this VM, so trainings are not supervised; apply superlink")
        return
    node.start(UNIT, [])


def _wanted(node: Node, use_case: str, before: list[Asked]) -> Asked:
    """The training that the variables ask for, as it shall be written down."""
    place = node.paths.at(f"{node.paths.use_cases}/{use_case}")
    config = from_variables(node.values)
    folder = node.paths.at(config["checkpoint-path"])
    config["checkpoint-path"] = str(folder)
    try:
        app = load_app(place)
        said = {key: value for key, value in config.items() if key in app.config}
        _check_known(node, set(config) - set(said))
        mark = identity(use_case, node.values)
        old = next((one for one in before if one.mark == mark), None)
        values = said if old is None else {**said, **_by_operator(old, said, app)}
        disk = mounted(folder, node.paths.at(node.paths.checkpoints))
        found = training(app, values, use_case, mark, str(folder), disk, time.time())
        found = replace(found, origin=ORIGIN, context=said)
        return found if old is None else _again(old, found)
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


def _by_operator(old: Asked, said: dict[str, str], app: App) -> dict[str, Any]:
    """Values that the training has and keeps: all but those about which CONTEXT says something else than before."""
    if not old.context:
        return {}
    kept = {key: value for key, value in old.run_config.items() if key in app.config and key not in OWN}
    return {key: value for key, value in kept.items() if key not in said or said[key] == old.context.get(key)}


def _again(old: Asked, new: Asked) -> Asked:
    """The new one, with the disk of its checkpoints, mounted now or not; asked for only if CONTEXT has changed."""
    disk = old.run_config.get(DISK)
    new = replace(new, run_config={**new.run_config, DISK: disk}) if disk else new
    # A key that the app knows only now was never asked for before.
    both = new.context.keys() & old.context.keys()
    changed = not old.context or any(new.context[key] != old.context[key] for key in both)
    if not changed or (same(old, new) and not old.withdrawn):
        # Another state of the app asks for nothing: what it needs is taken over, and what has ended stays ended.
        new = replace(new, at=old.at, withdrawn=old.withdrawn)
        return replace(old, context=new.context) if same(old, new) else new
    # Later than the old one whatever the clock says.
    return replace(new, at=max(new.at, old.at + 1.0))


def _write(node: Node, one: Asked) -> None:
    node.files.folder(f"{node.paths.trainings}/{one.name}", 0o750, "root:flower")
    text = json.dumps(asdict(one), indent=1) + "\n"
    node.files.write(f"{node.paths.trainings}/{one.name}/{ASKED}", text.encode(), 0o640, "root:flower")
