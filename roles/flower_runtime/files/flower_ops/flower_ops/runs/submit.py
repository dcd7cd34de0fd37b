# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Submitting a run: check everything first, hand the app to Flower, start the watcher."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flower_ops.flower_cli.flwr_cli import FlwrCli, FlwrCliError
from flower_ops.machine import foreign
from flower_ops.runs import app as apps
from flower_ops.runs import output
from flower_ops.runs import record as records
from flower_ops.runs.copy import ready_to_submit
from flower_ops.runs.errors import RunError
from flower_ops.runs.record import Places

UNIT = "flower-run@{}.service"
SYSTEMD_IS_RUNNING = Path("/run/systemd/system")
CONFIG_FILE = "run-config.toml"


@dataclass(frozen=True)
class Supervised:
    """What a run has beyond others when it belongs to a training: the training's name and mark, and who submits it.

    `follow` is called with the places and the run's id in place of the unit that follows other runs.
    """

    training: str
    mark: str
    cli: FlwrCli
    follow: Callable[[Places, str], None]


def submit(
    places: Places,
    app_dir: str | Path,
    run_config: Mapping[str, Any],
    output_dir: str | None = None,
    supervised: Supervised | None = None,
) -> dict[str, Any]:
    """Submit the app; returns the new record. RunError, and nothing left behind, when it cannot be submitted.

    An app that declares the configuration key `output-dir` gets a folder of its own for its files.
    """
    app = apps.load_app(app_dir)
    overrides = apps.check_run_config(app, run_config)
    folder = _output_folder(places, app.name, output_dir or str(overrides.get(apps.OUTPUT_KEY) or ""))
    made = not folder.exists()
    if apps.OUTPUT_KEY in app.config:
        overrides.setdefault(apps.OUTPUT_KEY, str(folder))
    try:
        config_file = folder / CONFIG_FILE
        config = (CONFIG_FILE, apps.render_toml(overrides)) if overrides else ()
        output.make(folder, places.user, *config)
        cli = supervised.cli if supervised else places.cli()
        with ready_to_submit(places, app, cli.own_connection(), supervised.mark if supervised else "") as prepared:
            run_id = cli.run(prepared, config_file if overrides else None)
    except (FlwrCliError, RunError, OSError) as error:
        if made:
            output.remove(folder, places.user)
        if isinstance(error, RunError):
            raise
        raise RunError(str(error)) from error
    described = {"name": app.name, "version": app.version}
    training = supervised.training if supervised else ""
    record = records.new_record(run_id, described, Path(str(overrides.get(apps.OUTPUT_KEY, folder))), training)
    records.save(places.record(run_id), record, places.user)
    (supervised.follow if supervised else start_watcher)(places, run_id)
    return record


def foresee(app_dir: str | Path, run_config: Mapping[str, Any]) -> dict[str, Any]:
    """What would be submitted: `app` and `run_config`. RunError for what would be refused before Flower is asked."""
    app = apps.load_app(app_dir)
    config = apps.check_run_config(app, run_config)
    return {"app": {"name": app.name, "version": app.version}, "run_config": config, "changed": True}


def start_watcher(places: Places, run_id: str) -> None:
    """Start the unit that follows the run; a detached process where systemd does not manage this root."""
    if places.user is not None and SYSTEMD_IS_RUNNING.is_dir():
        unit = UNIT.format(run_id)
        done = subprocess.run(
            ["systemctl", "start", "--no-block", unit], capture_output=True, text=True, check=False, timeout=30
        )
        if done.returncode != 0:
            raise RunError(
                f"Run {run_id} was submitted, but {unit} cannot be started to follow it ({done.stderr.strip()}); "
                f"apply the role superlink, then start the unit."
            )
        return
    watch_by_process(places, run_id)


def watch_by_process(places: Places, run_id: str) -> None:
    """Follow the run by a process of its own, which outlives this one unless a unit ends both."""
    command = [sys.executable, "-m", "flower_ops.runs", "watch", "--run-id", run_id, "--root", str(places.root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    place = places.record(run_id).with_suffix(".watch.log")
    with os.fdopen(foreign.opened(place, os.O_WRONLY | os.O_CREAT | os.O_APPEND), "ab") as log:
        subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment, start_new_session=True
        )


def _output_folder(places: Places, name: str, wanted: str) -> Path:
    if wanted:
        folder = Path(wanted)
        if not folder.is_absolute():
            raise RunError(f"The output folder {wanted} is not an absolute path; give one on the SuperLink.")
        return folder
    safe = "".join(c if c.isalnum() or c in "-_" else "-" for c in name) or "run"
    stem = f"{safe}-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}"
    for number in range(1, 1000):
        folder = places.runs / (stem if number == 1 else f"{stem}-{number}")
        if not folder.exists():
            return folder
    raise RunError(f"{places.runs} holds a thousand folders called {stem}; remove old ones.")
