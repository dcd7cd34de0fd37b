# Copyright: opennebula.flower contributors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the SuperLink does: agree with the nodes on framework and data, average their models, no sample ever here."""

from __future__ import annotations

from functools import partial

from flower_ops.training.settings import Settings
from flower_ops.training.survey.server import agree, last_look
from flower_ops.training.train import train
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from image_classification import plan
from image_classification.arrays import new

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Train as the run configuration says."""
    wanted = str(context.run_config["framework"])
    plan.check(wanted)
    settings = Settings.read(context.run_config)
    surveyed = agree(grid, settings, partial(plan.decide, wanted=wanted), plan.fits)
    pieces = plan.pieces(surveyed.plan)
    train(
        surveyed,
        context,
        initial=new(pieces),
        evaluate=last_look(surveyed, settings),
        names=[piece.name for piece in pieces],
        tell=surveyed.tell,
    )
