# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From an app and a wish to a training: its name, its configuration, where its checkpoints lie, what it needs."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from flower_ops.runs.app import App, check_run_config
from flower_ops.supervisor.model import Asked

#: Where the specification's container has the checkpoints, and where they are on a VM.
CONTAINER, FOLDER = "/app/checkpoints", "/opt/flower/checkpoints"
#: Key of the run configuration that says where a disk must be mounted.
DISK = "checkpoint-disk"
#: Keys of the run configuration by the variables that set them.
KEYS = {
    "STRATEGY": "strategy",
    "NUM_ROUNDS": "num-server-rounds",
    "MIN_FIT_CLIENTS": "min-fit-clients",
    "MIN_EVALUATE_CLIENTS": "min-evaluate-clients",
    "MIN_AVAILABLE_CLIENTS": "min-available-clients",
    "PROXIMAL_MU": "proximal-mu",
    "SERVER_LR": "server-lr",
    "CLIENT_LR": "client-lr",
    "NUM_MALICIOUS": "num-malicious",
    "TRIM_BETA": "trim-beta",
    "CHECKPOINT_ENABLED": "checkpoint-enabled",
    "CHECKPOINT_INTERVAL": "checkpoint-interval",
    "CHECKPOINT_PATH": "checkpoint-path",
}
#: What may change while a training stays the same: more rounds go on where fewer ended.
_NOT_IDENTITY = ("NUM_ROUNDS", "CHECKPOINT_ENABLED", "CHECKPOINT_INTERVAL", "CHECKPOINT_PATH")


def on_the_vm(path: str) -> str:
    """A checkpoint folder of the specification's container as a folder of the VM; ValueError for any other place.

    The SuperLink's service may write below FOLDER and nowhere else; a disk of its own is mounted there.
    """
    for start in (CONTAINER, FOLDER):
        inner = path.removeprefix(start).strip("/")
        if (path == start or path.startswith(f"{start}/")) and not {"..", "."} & set(inner.split("/")):
            return f"{FOLDER}/{inner}" if inner else FOLDER
    raise ValueError(f"expected {CONTAINER} or {FOLDER}, or a folder below one of them")


def mounted(folder: Path, top: Path) -> str:
    """Where a disk is mounted that holds the checkpoints in `folder`, from there up to `top`; empty without one.

    Asked for with the training: without its disk, a later run would begin anew and fill the disk of the system.
    """
    places = [place for place in (folder, *folder.parents) if place == top or top in place.parents]
    return next((str(place) for place in places if os.path.ismount(place)), "")


def from_variables(values: Mapping[str, str]) -> dict[str, str]:
    """Run configuration of the variables of a SuperLink (by full name), as text."""
    config = {key: values[f"ONEAPP_FL_{name}"] for name, key in KEYS.items()}
    config["checkpoint-enabled"] = "true" if config["checkpoint-enabled"] == "YES" else "false"
    config["checkpoint-path"] = on_the_vm(config["checkpoint-path"])
    return config


def token(*parts: Any) -> str:
    """Eight hexadecimal digits that stand for some values."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:8]


def identity(use_case: str, values: Mapping[str, str]) -> str:
    """What makes a training of a use case the same one after a reboot, or on a SuperLink made anew."""
    parts = {name: values[f"ONEAPP_FL_{name}"] for name in KEYS if name not in _NOT_IDENTITY}
    return token(use_case, parts)


def training(
    app: App, wanted: Mapping[str, Any], name: str, mark: str, checkpoints: str, disk: str = "", at: float = 0.0
) -> Asked:
    """A training of an app. `checkpoints`: folder for those of all trainings; `disk`: where a disk must be mounted.

    Raises RunError for a configuration that the app does not know.
    """
    full = f"{name}-{mark}"
    config = check_run_config(app, wanted)
    own = {"training": full, "checkpoint-path": checkpoints, DISK: disk}
    for key, value in own.items():
        if key in app.config and (key == "training" or (value and not config.get(key))):
            config[key] = value

    def effective(key: str, default: Any) -> Any:
        return config.get(key, app.config.get(key, default))

    waits = [effective(key, 0.0) for key in ("round-timeout", "node-wait-timeout")]
    limits = [float(one) if isinstance(one, (int, float)) else 0.0 for one in waits]
    keeps = {"training", "checkpoint-path"} <= set(app.config) and effective("checkpoint-enabled", True) is True
    sizes = [effective(f"min-{kind}-clients", 1) for kind in ("available", "fit")]
    return Asked(
        name=full,
        mark=mark,
        app=str(app.path),
        run_config=config,
        nodes=max((one for one in sizes if isinstance(one, int)), default=1),
        at=at,
        resumes=keeps,
        place=f"{config['checkpoint-path']}/{full}" if keeps else "",
        # An app that does not bound its rounds is waited for, whatever else it bounds.
        deadline=max(limits) if limits[0] > 0 else 0.0,
    )


def same(one: Asked, other: Asked) -> bool:
    """Whether they ask for the same, whenever they did and whatever CONTEXT says.

    Which disk there is belongs to the first time: were it taken over later, a disk that is lost would no longer be
    missed, and the training would begin anew on the disk of the system.
    """

    def wish(asked: Asked) -> Asked:
        config = {key: value for key, value in asked.run_config.items() if key != DISK}
        return replace(asked, at=0.0, run_config=config, context={})

    return wish(one) == wish(other)
