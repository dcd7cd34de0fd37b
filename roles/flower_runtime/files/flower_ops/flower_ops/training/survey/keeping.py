# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Where a plan is kept: in the checkpoints of its training, by `train`, and beside the results for people."""

from __future__ import annotations

import json
from pathlib import Path

from flower_ops.training.checkpoint import atomic
from flower_ops.training.flower import LOG
from flower_ops.training.settings import Settings
from flower_ops.training.survey.plan import Values, read
from flower_ops.training.train import TOLD, store_of

FILE = "plan.json"


def kept(settings: Settings) -> Values | None:
    """The plan of a training that has a checkpoint: it goes on with the data and the model that it began with."""
    if not settings.training or not (settings.checkpoint_path or settings.output_dir):
        # Without a name a run is gone on with by none.
        return None
    store = store_of(settings)
    found = store.latest(run=settings.training) if store else None
    told = found.settings.get(TOLD) if found else None
    if not told:
        return None
    LOG.info("The plan is the one that this training began with.")
    return read(told)


def keep(settings: Settings, plan: Values) -> None:
    """Write plan.json into `output-dir`, where there is one: it names the data and the classes of the model."""
    if settings.output_dir:
        folder = Path(settings.output_dir)
        folder.mkdir(parents=True, exist_ok=True)
        text = f"{json.dumps(plan, indent=1, sort_keys=True)}\n".encode()
        atomic.write(folder / FILE, lambda stream: stream.write(text))
